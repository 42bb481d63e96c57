"""Calls over sealed links: who they come from, beside plain ones, and with the wrong key."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import TaskGroup

from jsonrpc_iot import (
    ConnectFailed,
    Limits,
    Server,
    Unauthorized,
    connect,
    serve,
)
from jsonrpc_iot.channel.contract import Listener
from jsonrpc_iot.server.server import Server as RunningServer
from jsonrpc_iot.transports import open_listener
from jsonrpc_iot.transports.sealed import greeting
from tests.waiting import SECONDS, eventually

from .rig import Device, Ring, joined, option

pytestmark = pytest.mark.anyio

URLS: dict[str, Callable[[Path], str]] = {
    "udp": lambda folder: "udp://127.0.0.1:0",
    "udp segments": lambda folder: "udp://127.0.0.1:0?segment=1&max=200",
    "tcp": lambda folder: "tcp://127.0.0.1:0",
    "pipe": lambda folder: f"pipe://sealed?dir={folder}",
    "memory": lambda folder: "memory://sealed",
    "uart": lambda folder: "uart+pty://",
    "uart msgpack": lambda folder: "uart+pty://?codec=msgpack",
    "tuya-dp": lambda folder: "tuya-dp+pty://?gap=0",
}
"""One of each kind; those that need a broker or a radio have tests of their own."""

SERIAL = ("uart", "uart msgpack", "tuya-dp")


PARAMS = [
    pytest.param(name, marks=[pytest.mark.only_on("asyncio")] if name in SERIAL else [])
    for name in URLS
]


@pytest.fixture(params=PARAMS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return URLS[request.param](tmp_path)


class Served:
    """A device behind a listener with keys."""

    def __init__(self, device: Device, ring: Ring, url: str) -> None:
        self.device, self.ring, self.url = device, ring, url
        self.may_begin: Callable[[], Awaitable[object]] = anyio.lowlevel.checkpoint

    async def __aenter__(self) -> "Served":
        self._stack = AsyncExitStack()
        stack = await self._stack.__aenter__()
        stack.enter_context(anyio.fail_after(SECONDS))
        # What `serve` does with a keyring, whose file is no matter here.
        self.server: Server = await stack.enter_async_context(
            serve(self.device.dispatcher, "memory://beside")
        )
        listener = await open_listener(self.url, Limits(), keys=self.ring.find)
        await stack.enter_async_context(listener)
        tasks = await stack.enter_async_context(anyio.create_task_group())
        tasks.start_soon(self._serve, listener, tasks)
        stack.callback(tasks.cancel_scope.cancel)
        (self.address,) = listener.addresses
        return self

    async def _serve(self, listener: Listener, tasks: TaskGroup) -> None:
        await self.may_begin()
        assert isinstance(self.server, RunningServer)
        await listener.serve(self.server._serve, tasks)

    async def __aexit__(self, *error: object) -> None:
        await self._stack.__aexit__(None, None, None)


@pytest.fixture
async def device(url: str) -> AsyncIterator[Served]:
    async with Served(Device(), Ring(permissions=frozenset({"wifi"})), url) as served:
        yield served


async def test_who_calls_and_what_they_may(device: Served, tmp_path: Path) -> None:
    for name in ("app", "monitor"):
        async with connect(joined(device.address, option(tmp_path, name))) as client:
            assert client.info.is_sealed
            assert await client.call("who") == name
            assert await client.call("secret") == "42"
    async with connect(device.address) as client:
        assert not client.info.is_sealed
        assert await client.call("who") is None
        with pytest.raises(Unauthorized):
            await client.call("secret")


async def test_a_wrong_key_is_told_of_in_time(
    device: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(greeting, "_PING_SECONDS", 0.05)
    with pytest.raises(ConnectFailed, match="something answers there, but not to this key"):
        async with connect(joined(device.address, option(tmp_path, "wrong")), connect_timeout=4.0):
            pass
    async with connect(joined(device.address, option(tmp_path))) as client:
        assert await client.call("who") == "app"


async def test_a_server_that_answers_late_is_sealed_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client asks in the clear meanwhile whether anybody is there, behind its hello."""
    asked = anyio.Event()

    def message(ping: greeting._Ping) -> bytes:
        asked.set()
        return make(ping)

    make = greeting._Ping.message
    monkeypatch.setattr(greeting._Ping, "message", message)
    monkeypatch.setattr(greeting, "_PING_SECONDS", 0.01)
    device = Served(Device(), Ring(), "tcp://127.0.0.1:0")
    device.may_begin = asked.wait
    async with device, connect(joined(device.address, option(tmp_path))) as client:
        assert await client.call("who") == "app"


async def test_messages_up_to_the_largest(device: Served, tmp_path: Path) -> None:
    async with connect(joined(device.address, option(tmp_path))) as client:
        largest = min(client.info.max_message or 2000, 2000)
        text = "x" * (largest - 100)
        assert await client.call("note", [text]) == 1
        assert await client.call("note", [text]) == 2


async def test_pushes_arrive_sealed(device: Served, tmp_path: Path) -> None:
    async with connect(joined(device.address, option(tmp_path))) as client:
        await client.call("who")
        async with client.notifications("lamp.*") as notes:
            await eventually(lambda: device.server.broadcast("lamp.changed", [1]))
            assert (await notes.receive()).method == "lamp.changed"


async def test_the_server_calls_back(device: Served, tmp_path: Path) -> None:
    async with connect(joined(device.address, option(tmp_path))) as client:

        async def answer(value: str) -> str:
            return value.upper()

        client._dispatcher.method("ask")(answer)
        await client.call("who")
        (peer,) = [each for each in device.server.peers if each.info.is_sealed]
        assert await peer.call("ask", ["yes"]) == "YES"


async def test_what_is_sealed_is_shown_opened(device: Served, tmp_path: Path) -> None:
    shown: list[tuple[str, bytes]] = []
    there = joined(device.address, option(tmp_path))
    async with connect(there, trace=lambda way, data: shown.append((way, data))) as client:
        await client.call("who")
    assert any(way == "*>" and b"who" in data for way, data in shown)
    assert any(way == "<*" and b"app" in data for way, data in shown)
    assert not any(way in ("->", "<-") for way, _ in shown)
    on_the_link = [data for way, data in shown if way in ("<=", "=>")]
    assert not any(b"who" in data or b"app" in data for data in on_the_link)
