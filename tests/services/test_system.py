"""The `system` service, through the dispatcher and called directly."""

import importlib.metadata
import platform
from typing import Any

import msgspec
import pytest

from jsonrpc_iot import Dispatcher
from jsonrpc_iot.services import System

pytestmark = pytest.mark.anyio


def serving(system: System) -> Dispatcher:
    dispatcher = Dispatcher()
    dispatcher.include(system)
    return dispatcher


@pytest.mark.parametrize(
    "value",
    [
        b"null",
        b"true",
        b"-0.5",
        b"12345678901234567",
        b'"\xe7\x81\xaf"',
        b"[]",
        b'{"a":[1,{"b":null}]}',
    ],
)
async def test_echo_returns_its_argument(value: bytes) -> None:
    dispatcher = serving(System("lamp"))
    by_name = b'{"method":"echo","id":1,"params":{"value":' + value + b"}}"
    by_position = b'{"method":"echo","id":1,"params":[' + value + b"]}"
    assert await dispatcher.dispatch(by_name) == b'{"id":1,"result":' + value + b"}"
    assert dispatcher.dispatch_sync(by_position) == b'{"id":1,"result":' + value + b"}"


def test_echo_needs_an_argument() -> None:
    reply = serving(System("lamp")).dispatch_sync(b'{"method":"echo","id":1}')
    assert reply is not None
    assert msgspec.json.decode(reply)["error"]["code"] == -32602


async def test_info_says_what_the_device_is() -> None:
    now = 50.0
    system = System("lamp", "2.1", clock=lambda: now)
    now = 61.23456
    reply = await serving(system).dispatch(b'{"method":"sys.info","id":1}')

    assert reply is not None
    result: dict[str, Any] = msgspec.json.decode(reply)["result"]
    assert result == {
        "name": "lamp",
        "version": "2.1",
        "python": platform.python_version(),
        "platform": f"{platform.system()}-{platform.machine()}",
        "uptime": 11.235,
    }


def test_the_version_is_the_packages_by_default() -> None:
    try:
        installed = importlib.metadata.version("jsonrpc-iot")
    except importlib.metadata.PackageNotFoundError:
        installed = "unknown"
    assert System("lamp").info().version == installed


def test_uptime_runs() -> None:
    system = System("lamp")
    first, second = system.info().uptime, system.info().uptime
    assert 0 <= first <= second < 60
