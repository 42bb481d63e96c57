"""A device whose calls can be held, and raw ends of connections to it."""

import contextlib
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol
from urllib.parse import urlsplit

import anyio
import anyio.lowlevel
from anyio.abc import SocketAttribute, SocketStream, TaskGroup
from anyio.streams.buffered import BufferedByteReceiveStream

from jsonrpc_iot import (
    CallTimeout,
    ChannelClosed,
    Context,
    Dispatcher,
    Limits,
    Server,
    connect,
    serve,
)

from .leaks import open_sockets
from .waiting import SECONDS, Tally, eventually

ANYWHERE = "tcp://127.0.0.1:0"
GONE = (anyio.EndOfStream, anyio.BrokenResourceError)


class Device:
    """A dispatcher whose slow calls are held until `gate` opens."""

    def __init__(self, limits: Limits = Limits()) -> None:
        self.dispatcher = Dispatcher(limits=limits)
        self.gate = anyio.Event()
        self.began = Tally()
        self.ended = Tally()
        self.cancelled = Tally()
        self.deadlines: list[float | None] = []
        self.dispatcher.method(self.hold)
        self.dispatcher.method("hold.serial", serial=True)(self.hold)
        self.dispatcher.notification("hold.note")(self.hold)
        self.dispatcher.method(echo)
        self.dispatcher.method(big)
        self.dispatcher.method("big.later")(big_later)
        self.dispatcher.method("ask")(self.ask)

    async def hold(self, tag: Any = None, *, context: Context) -> Any:
        self.deadlines.append(context.deadline)
        self.began.add(tag)
        try:
            await self.gate.wait()
        except anyio.get_cancelled_exc_class():
            self.cancelled.add(tag)
            raise
        self.ended.add(tag)
        return tag

    async def ask(self, method: str, params: Any = None, *, context: Context) -> Any:
        self.began.add(method)
        try:
            return await context.call(method, params, timeout=None)
        except anyio.get_cancelled_exc_class():
            self.cancelled.add(method)
            raise


class HasDispatcher(Protocol):
    dispatcher: Dispatcher


class Restarts:
    """A server that goes away and comes back at the same URL."""

    def __init__(self, device: HasDispatcher, tasks: TaskGroup, url: str = ANYWHERE) -> None:
        self._device = device
        self._tasks = tasks
        self._leave = anyio.Event()
        self._gone = anyio.Event()
        self.server: Any = None
        self.url = url

    async def start(self) -> None:
        self._leave, self._gone = anyio.Event(), anyio.Event()
        up = anyio.Event()
        self._tasks.start_soon(self._run, up)
        await up.wait()

    async def stop(self) -> None:
        self._leave.set()
        await self._gone.wait()

    async def _run(self, up: anyio.Event) -> None:
        async with serve(self._device.dispatcher, self.url, grace=0) as self.server:
            self.url = self.server.urls[0]
            up.set()
            await self._leave.wait()
        self._gone.set()


async def outcome(call: Callable[[], Awaitable[object]], into: Tally) -> None:
    try:
        into.add(await call())
    except (ChannelClosed, CallTimeout) as error:
        into.add(type(error))


def echo(value: Any) -> Any:
    return value


def response(id: int, result: object) -> str:
    return json.dumps({"id": id, "result": result})


def big(size: int) -> str:
    return "x" * size


async def big_later(size: int) -> str:
    await anyio.lowlevel.checkpoint()
    return "x" * size


class Raw:
    """One end of a connection that says what it likes, one JSON message a line."""

    def __init__(self, stream: SocketStream) -> None:
        self.stream = stream
        self._lines = BufferedByteReceiveStream(stream)

    @classmethod
    @asynccontextmanager
    async def to(cls, url: str) -> AsyncIterator["Raw"]:
        raw = await cls.open(url)
        async with raw.stream:
            yield raw

    @classmethod
    async def open(cls, url: str) -> "Raw":
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        return cls(await anyio.connect_tcp(parts.hostname, parts.port))

    async def send(self, *messages: str | bytes) -> None:
        texts = [text.encode() if isinstance(text, str) else text for text in messages]
        await self.stream.send(b"".join(text + b"\n" for text in texts))

    async def request(self, id: int, method: str, *params: object, **members: object) -> None:
        await self.send(json.dumps({"id": id, "method": method, "params": params, **members}))

    async def receive(self) -> Any:
        with anyio.fail_after(SECONDS):
            return json.loads(await self._lines.receive_until(b"\n", 1 << 25))

    async def receive_all(self) -> list[Any]:
        """All messages until the other end closes."""
        messages = []
        with anyio.fail_after(SECONDS):
            while True:
                try:
                    messages.append(await self.receive())
                except (anyio.IncompleteRead, *GONE):
                    return messages

    async def replies(self, count: int) -> dict[Any, Any]:
        """The next responses by id: the result, or the error's code."""
        found = {}
        for _ in range(count):
            reply = await self.receive()
            found[reply["id"]] = reply["error"]["code"] if "error" in reply else reply["result"]
        assert len(found) == count
        return found

    async def reset(self) -> None:
        """Break the connection off with RST."""
        raw = self.stream.extra(SocketAttribute.raw_socket)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await anyio.aclose_forcefully(self.stream)


class Mute:
    """A client that sends and never reads: not even its event loop does, only the kernel."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect((parts.hostname, parts.port))
        self.socket.setblocking(False)

    def __enter__(self) -> "Mute":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.socket.close()

    async def send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            await anyio.wait_writable(self.socket)
            with contextlib.suppress(BlockingIOError):
                rest = rest[self.socket.send(rest) :]

    async def wait_until_dropped(self) -> None:
        """Read at last, until the other end turns out to have closed or reset the connection."""
        with anyio.fail_after(SECONDS):
            while True:
                await anyio.wait_readable(self.socket)
                try:
                    if not self.socket.recv(1 << 16):
                        return
                except ConnectionError:
                    return


@asynccontextmanager
async def far_end() -> AsyncIterator[tuple[str, Callable[[], Awaitable[Raw]]]]:
    """A server that is played by the test: its URL, and a function that accepts as `Raw`."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:

        async def accept() -> Raw:
            with anyio.fail_after(SECONDS):
                return Raw(await listener.listeners[0].accept())  # type: ignore[attr-defined]

        yield f"tcp://127.0.0.1:{listener.extra(SocketAttribute.local_port)}", accept


@asynccontextmanager
async def unharmed(
    limits: Limits = Limits(), url: str = ANYWHERE
) -> AsyncIterator[tuple[Server, Device]]:
    """A server that must be as good as new when the block ends."""
    device = Device(limits)
    async with serve(device.dispatcher, url, grace=1.0) as server:
        await call_well(server)
        tasks, sockets = len(anyio.get_running_tasks()), open_sockets()
        yield server, device
        await eventually(lambda: not server.peers)
        await call_well(server)
        await eventually(lambda: len(anyio.get_running_tasks()) <= tasks)
        await eventually(lambda: open_sockets() <= sockets)


async def call_well(server: Server) -> None:
    """A good client's call is answered."""
    with anyio.fail_after(SECONDS):
        async with connect(server.urls[0]) as client:
            assert await client.call("echo", ["well"]) == "well"
    await eventually(lambda: not server.peers)
