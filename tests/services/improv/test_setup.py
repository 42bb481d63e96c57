"""`set_up`: a key and a network for a new device, by one link; first the key."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from jsonrpc_iot import (
    CallTimeout,
    ConnectFailed,
    Dispatcher,
    Forbidden,
    Keyring,
    MethodNotFound,
    Pairing,
    Unauthorized,
    UsageError,
    serve,
)
from jsonrpc_iot.protocol.improv.messages import State
from jsonrpc_iot.services.improv import (
    DeviceInfo,
    Improv,
    ImprovError,
    serve_port,
    set_up,
    setup,
    share_port,
)
from jsonrpc_iot.testing import virtual_radio, virtual_serial_pair
from jsonrpc_iot.trust.keyring import key_id
from tests.services._wifi import HOME, KEY, instant, serving
from tests.waiting import SECONDS

from .test_bluetooth import device as bluetooth_device

pytestmark = [pytest.mark.anyio, pytest.mark.only_on("asyncio")]

CODE = "1234-5678"
INFO = DeviceInfo("lamp-firmware", "1.4.0", "ESP32-C3", "Lamp")
URLS = ["http://192.0.2.7/"]


@pytest.fixture
def pairing(tmp_path: Path) -> Pairing:
    path = tmp_path / "keys.toml"
    path.touch(mode=0o600)
    made = Pairing(Keyring(path), CODE, ["*"])
    made.open()
    return made


@asynccontextmanager
async def device(**options: Any) -> AsyncIterator[tuple[str, Improv]]:
    """Where a device is, at one port of which it has the other, and its state."""
    wifi = instant()
    async with virtual_serial_pair(paths=True) as serial, Improv(wifi, INFO, lambda: URLS) as lamp:
        url = f"uart://{serial.second}"
        port = {url: share_port(lamp)}
        async with serve(serving(wifi), url, transports=port, grace=0, **options):
            with anyio.fail_after(SECONDS):
                yield f"uart://{serial.first}", lamp


@pytest.mark.parametrize("segment", ["", "?segment=1"])
async def test_a_device_gets_a_key_and_then_a_network(pairing: Pairing, segment: str) -> None:
    steps: list[object] = []
    async with device(pairing=pairing, strangers=False) as (url, improv):

        def on_key(key: bytes) -> None:
            steps.append(improv.state)  # nobody else could reach it yet
            assert pairing.keyring.by_key_id(key_id(key)) is not None
            assert not pairing.is_open

        run = partial(set_up, url + segment, HOME, KEY, code=CODE, name="phone")
        assert await run(on_key=on_key, on_step=steps.append) == URLS
    assert steps == ["looking for the device", "pairing", State.AUTHORIZED, f"joining {HOME}"]
    assert "phone" in pairing.keyring


async def test_a_device_that_does_not_pair_learns_no_network(pairing: Pairing) -> None:
    async with device(pairing=pairing) as (url, improv):
        with pytest.raises(Unauthorized, match="Wrong code"):
            await set_up(url, HOME, KEY, code="1234-5679")
        pairing.close()
        with pytest.raises(Forbidden, match="not open"):
            await set_up(url, HOME, KEY, code=CODE)
        assert improv.state is State.AUTHORIZED
        assert await set_up(url, HOME, KEY) == URLS
    async with device() as (url, improv):
        with pytest.raises(MethodNotFound):
            await set_up(url, HOME, KEY, code=CODE)
        assert improv.state is State.AUTHORIZED


async def test_a_network_that_is_not_to_be_had_takes_no_key_away(pairing: Pairing) -> None:
    keys: list[bytes] = []
    async with device(pairing=pairing) as (url, _):
        with pytest.raises(ImprovError, match="Unable to connect"):
            await set_up(url, HOME, "not the right key", code=CODE, on_key=keys.append)
        assert await set_up(url, HOME, KEY) == URLS
    assert [pairing.keyring.by_key_id(key_id(key)) is not None for key in keys] == [True]


async def test_a_device_without_rpc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "_RPC_SECONDS", 0.2)
    async with (
        virtual_serial_pair(paths=True) as serial,
        Improv(instant(), INFO, lambda: URLS) as improv,
        anyio.create_task_group() as tasks,
    ):
        await tasks.start(serve_port, improv, f"uart://{serial.second}")
        url = f"uart://{serial.first}"
        with pytest.raises(CallTimeout, match="no RPC is answered here"):
            await set_up(url, HOME, KEY, code=CODE)
        assert improv.state is State.AUTHORIZED
        assert await set_up(url, HOME, KEY) == URLS
        tasks.cancel_scope.cancel()


async def test_a_port_without_a_device() -> None:
    async with virtual_serial_pair(paths=True) as serial:
        with pytest.raises(CallTimeout, match="no Improv device answers"):
            await set_up(f"uart://{serial.first}", HOME, KEY, code=CODE, timeout=0.1)


@pytest.mark.parametrize("code", ["1234", "abcdefgh"])
async def test_what_is_no_code(code: str) -> None:
    async with device() as (url, improv):
        with pytest.raises(UsageError):
            await set_up(url, HOME, KEY, code=code)
        assert improv.state is State.AUTHORIZED


async def test_over_bluetooth_both_services_are_used(pairing: Pairing) -> None:
    keys: list[bytes] = []
    async with virtual_radio() as radio, bluetooth_device(radio):
        url = radio.url("lamp")
        with pytest.raises(ConnectFailed, match="no RPC is answered here"):
            await set_up(url, HOME, KEY, code=CODE, timeout=1.0)
        async with serve(Dispatcher(), url, pairing=pairing, strangers=False, grace=0):
            assert await set_up(url, HOME, KEY, code=CODE, on_key=keys.append) == URLS
    assert len(keys) == 1
