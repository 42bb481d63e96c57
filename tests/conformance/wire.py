"""Raw ends of connections, which carry bytes as they are, over every transport.

`TRANSPORTS` is the list to extend: a new transport is one line, and a function that opens it.
"""

import json
import socket
import tempfile
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from math import inf
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import httpx2
import pytest
from anyio.abc import ByteStream, SocketAttribute, SocketListener, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.stapled import MultiListener
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as websocket_connect
from websockets.exceptions import ConnectionClosed

from jsonrpc_iot import Limits, connect, serve
from jsonrpc_iot.channel.contract import Channel
from jsonrpc_iot.channel.url import Url
from jsonrpc_iot.protocol.tuya.module import Module
from jsonrpc_iot.protocol.tuya.role import Mcu, Product
from jsonrpc_iot.testing import virtual_serial_pair
from jsonrpc_iot.transports import open_channel
from jsonrpc_iot.transports.serial import tuya_dp, uart
from jsonrpc_iot.transports.serial.line import TuyaLine
from tests.brokers import mosquitto

from .backends import BACKENDS
from .device import Device
from .model import Case

NAME = "conformance"

OpenChannel = Callable[[str], Awaitable[Channel]]

_SOCKETS = 3


class Wire(ABC):
    """One raw connection to the device."""

    @abstractmethod
    async def send(self, message: bytes) -> None:
        """Send one message, framed."""

    @abstractmethod
    async def receive(self) -> bytes:
        """Wait for one message, unframed; raises `anyio.EndOfStream` when there are no more."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close the connection."""


class StreamWire(Wire):
    """A byte stream with a newline behind each message.

    Args:
        stream: the connected socket.
    """

    def __init__(self, stream: ByteStream) -> None:
        self.stream = stream
        self._reader = BufferedByteReceiveStream(stream)

    async def send(self, message: bytes) -> None:
        await self.stream.send(message + b"\n")

    async def receive(self) -> bytes:
        try:
            return await self._reader.receive_until(b"\n", 1 << 24)
        except anyio.IncompleteRead:
            raise anyio.EndOfStream from None

    async def aclose(self) -> None:
        await self.stream.aclose()


class PacketWire(Wire):
    """A channel that keeps messages apart by itself.

    Args:
        channel: the connected channel.
    """

    def __init__(self, channel: Channel) -> None:
        self.channel = channel

    async def send(self, message: bytes) -> None:
        await self.channel.send(message)

    async def receive(self) -> bytes:
        return await self.channel.receive()

    async def aclose(self) -> None:
        await self.channel.aclose()


class WebSocketWire(Wire):
    """A WebSocket of the `websockets` library, with one message a text frame.

    Args:
        connection: is open.
    """

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def send(self, message: bytes) -> None:
        await self._connection.send(message, text=True)

    async def receive(self) -> bytes:
        try:
            return await self._connection.recv(decode=False)
        except ConnectionClosed:
            raise anyio.EndOfStream from None

    async def aclose(self) -> None:
        await self._connection.close()


class UdpWire(Wire):
    """Datagrams from as many sockets as it takes for each request to be a new one.

    A server answers what it gets twice within half a second without running it again, as the
    protocol wants it on a lossy link. Here the cases are one long list, in which much comes again;
    only the sentinel may be answered from the store.

    Args:
        url: the device's.
        channel: connected to it.
        opener: opens more of the kind.
    """

    def __init__(self, url: str, channel: Channel, opener: OpenChannel = open_channel) -> None:
        self._url = url
        self._opener = opener
        self._channels = [channel]
        self._sent: set[str] = set()
        self._received: deque[bytes] = deque()

    @classmethod
    async def open(cls, url: str, directory: Path, opener: OpenChannel = open_channel) -> "UdpWire":
        return cls(url, await opener(url), opener)

    async def send(self, message: bytes) -> None:
        identity = self._identity(message)
        if identity in self._sent and b'"sentinel' not in message:
            self._sent.clear()
            self._channels.append(await self._opener(self._url))
            for channel in self._channels[:-_SOCKETS]:
                await channel.aclose()
            del self._channels[:-_SOCKETS]
        self._sent.add(identity)
        await self._channels[-1].send(message)

    @staticmethod
    def _identity(message: bytes) -> str:
        """What the server tells requests apart by."""
        try:
            value = json.loads(message)
        except (ValueError, RecursionError):
            return repr(message)
        if not isinstance(value, dict):
            return repr(value)
        return repr([value.get(name) for name in ("id", "method", "params")])

    async def receive(self) -> bytes:
        while not self._received:
            found: dict[int, bytes] = {}

            async def receive(index: int, found: dict[int, bytes] = found) -> None:
                found[index] = await self._channels[index].receive()
                task_group.cancel_scope.cancel()

            async with anyio.create_task_group() as task_group:
                for index in range(len(self._channels)):
                    task_group.start_soon(receive, index)
            for index in sorted(found):
                if not await self._answer(found[index], self._channels[index]):
                    self._received.append(found[index])
        return self._received.popleft()

    @staticmethod
    async def _answer(message: bytes, channel: Channel) -> bool:
        """Show that somebody is here, if that was asked: until then much is held back."""
        if b'"method":"rpc.ping"' not in message:
            return False
        await channel.send(json.dumps({"id": json.loads(message)["id"], "result": True}).encode())
        return True

    async def aclose(self) -> None:
        for channel in self._channels:
            await channel.aclose()


async def accept(listener: MultiListener[SocketStream]) -> SocketStream:
    """Wait for one connection."""
    first = listener.listeners[0]
    assert isinstance(first, SocketListener)
    return await first.accept()


OpenWire = Callable[[], Awaitable[Wire]]
Served = Callable[[Device, str, Limits], AbstractAsyncContextManager[OpenWire]]


@dataclass(frozen=True)
class Transport:
    """How to serve the device and to reach it.

    Args:
        name: part of the test's id.
        served: given a device, options for the URL (`?max=400` or nothing) and limits, serves the
            device and gives a function that opens wires.
        stream: framed as a stream, so that newlines end messages.
        cuts: a message may be larger than `max`.
        lossy: what comes twice runs once, and replies may overtake each other.
        small: messages are small whatever `max` says.
        one_call: one call of an end is open at a time.
        shared: what answers others may arrive there, too.
        needs: the address family that the machine must have.
        one_way: the device cannot call, and what it pushes is for everybody.
        backends: the event loops that it works on.
        takes: whether a case can be sent over it.
    """

    name: str
    served: Served
    stream: bool = True
    cuts: bool = False
    lossy: bool = False
    small: bool = False
    one_call: bool = False
    shared: bool = False
    needs: str = ""
    one_way: bool = False
    backends: tuple[str, ...] = tuple(BACKENDS)
    takes: Callable[[Case], bool] = lambda case: True

    def marks(self) -> list[pytest.MarkDecorator]:
        """Keeps tests to machines that have the transport, and to its event loops."""
        missing = bool(self.needs) and not _has_family(self.needs)
        marks = [pytest.mark.skipif(missing, reason=f"no {self.needs} on this machine")]
        return marks if "trio" in self.backends else [*marks, pytest.mark.only_on("asyncio")]


def served_at(url: str, opener: Callable[[str, Path], Awaitable[Wire]]) -> Served:
    """Serve at that URL, `DIR` in it being a directory of its own."""

    @asynccontextmanager
    async def served(device: Device, options: str, limits: Limits) -> AsyncIterator[OpenWire]:
        with tempfile.TemporaryDirectory() as directory:
            place = url.replace("DIR", directory)
            if options:
                place += ("&" if "?" in place else "?") + options
            async with serve(device.dispatcher, place, limits=limits) as server:
                server._ended._began = -inf  # it has been there for long, and knows all
                yield lambda: opener(server.urls[0], Path(directory))

    return served


@asynccontextmanager
async def _by_mqtt(device: Device, options: str, limits: Limits) -> AsyncIterator[OpenWire]:
    """Serve a topic of its own, with room for every case, unless the test sets a limit."""
    url = mosquitto().url(f"?{options or 'max=1000000'}")
    async with serve(device.dispatcher, url, limits=limits, grace=0.5) as server:
        server._ended._began = -inf  # as above
        yield lambda: UdpWire.open(server.urls[0], Path())


async def _open_memory(url: str, directory: Path) -> Wire:
    return PacketWire(await open_channel(url))


async def _open_pipe(url: str, directory: Path) -> Wire:
    return StreamWire(await anyio.connect_unix(directory / f"{NAME}-jsonrpc.socket"))


async def _open_websocket(url: str, directory: Path) -> Wire:
    return WebSocketWire(await websocket_connect(url.partition("?")[0], proxy=None))


async def _open_tcp(url: str, directory: Path) -> Wire:
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    return StreamWire(await anyio.connect_tcp(parts.hostname, parts.port))


def _by_udp(device: Device, options: str, limits: Limits) -> AbstractAsyncContextManager[OpenWire]:
    """Serve with room for every case, unless the test sets a limit of its own."""
    return served_at("udp://127.0.0.1:0", UdpWire.open)(device, options or "max=65507", limits)


def _in_segments(
    device: Device, options: str, limits: Limits
) -> AbstractAsyncContextManager[OpenWire]:
    """Serve with packets that are smaller than some of the cases."""
    return served_at("udp://127.0.0.1:0?segment=1", UdpWire.open)(
        device, options or "max=100", limits
    )


Ends = Callable[[ByteStream, ByteStream, str], tuple[Channel, Channel]]


def _by_line(make_ends: Ends, usual: str) -> Served:
    """The device serves serial lines in memory, from the first end of each."""

    @asynccontextmanager
    async def served(device: Device, options: str, limits: Limits) -> AsyncIterator[OpenWire]:
        async with (
            AsyncExitStack() as lines,
            serve(device.dispatcher, f"memory://{NAME}-beside", limits=limits) as server,
        ):

            async def open_line(url: str) -> Channel:
                line = await lines.enter_async_context(virtual_serial_pair())
                here, there = make_ends(line.first, line.second, url)
                await server.add(here)
                return there

            yield lambda: UdpWire.open(f"uart:///dev/x?{options or usual}", Path(), open_line)

    return served


def _uart(here: ByteStream, there: ByteStream, url: str) -> tuple[Channel, Channel]:
    options = Url.parse(url).read_options(uart.UartOptions)
    first, second = (uart.open_channel(TuyaLine(end), url, options) for end in (here, there))
    return first, second


def _tuya_dp(here: ByteStream, there: ByteStream, url: str) -> tuple[Channel, Channel]:
    options = Url.parse(url).read_options(tuya_dp.TuyaDpOptions)
    mcu, module = TuyaLine(here, Mcu(Product("x"))), TuyaLine(there, Module())
    return tuya_dp.open_channel(mcu, url, options), tuya_dp.open_channel(module, url, options)


def _within(limit: int, *but: str) -> Callable[[Case], bool]:
    """Takes cases that are no larger, but not those whose replies do not fit."""
    return lambda case: len(case.sent) <= limit and case.name not in but


class HttpWire(Wire):
    """POSTs to an address, each sent when the one before is answered.

    Args:
        url: the device's.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = httpx2.AsyncClient(trust_env=False)
        self._replies: deque[bytes] = deque()
        self._news = anyio.Event()

    @classmethod
    async def open(cls, url: str, directory: Path) -> "HttpWire":
        return cls(url)

    async def send(self, message: bytes) -> None:
        headers = {"content-type": "application/json"}
        response = await self._client.post(self._url, content=message, headers=headers)
        assert response.status_code in (200, 202, 400)
        assert (response.status_code == 202) == (response.content == b"")
        if response.content:
            assert response.headers["content-type"] == "application/json"
            self._check_status(response.status_code, response.content)
            self._replies.append(response.content)
            self._news.set()

    @staticmethod
    def _check_status(status: int, content: bytes) -> None:
        """400 is for what could not be understood, and for nothing else."""
        reply = json.loads(content)
        code = reply.get("error", {}).get("code") if isinstance(reply, dict) else None
        assert status == (400 if code in (-32700, -32600) else 200)

    async def receive(self) -> bytes:
        while not self._replies:
            self._news = anyio.Event()
            await self._news.wait()
        return self._replies.popleft()

    async def aclose(self) -> None:
        await self._client.aclose()


@asynccontextmanager
async def _by_a_client(device: Device, options: str, limits: Limits) -> AsyncIterator[OpenWire]:
    """The device serves from the calling end of TCP connections."""
    errors: list[Exception] = []

    async def keep_client(url: str) -> None:
        try:
            # Without extensions the client has no open ping that a case could answer.
            async with connect(url, dispatcher=device.dispatcher, extensions=False, limits=limits):
                await anyio.sleep_forever()
        except Exception as error:  # noqa: BLE001 - raised when all clients are closed
            errors.append(error)

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as task_group,
    ):
        port = listener.extra(SocketAttribute.local_port)
        url = f"tcp://127.0.0.1:{port}" + (f"?{options}" if options else "")

        async def open_wire() -> Wire:
            task_group.start_soon(keep_client, url)
            return StreamWire(await accept(listener))

        yield open_wire
        task_group.cancel_scope.cancel()
    if errors:
        raise ExceptionGroup("clients failed", errors)


TRANSPORTS = [
    Transport("memory", served_at(f"memory://{NAME}", _open_memory), stream=False),
    Transport("pipe", served_at(f"pipe://{NAME}?dir=DIR", _open_pipe), needs="AF_UNIX"),
    Transport("tcp4", served_at("tcp://127.0.0.1:0", _open_tcp)),
    Transport("tcp6", served_at("tcp://[::1]:0", _open_tcp), needs="AF_INET6"),
    Transport("udp", _by_udp, stream=False, lossy=True),
    Transport("udp+segments", _in_segments, stream=False, cuts=True, lossy=True),
    Transport(
        "uart",
        _by_line(_uart, "buffer=4000"),
        stream=False,
        shared=True,
        lossy=True,
        takes=_within(3000, "batch-of-256-scalars"),
    ),
    Transport(
        "tuya-dp",
        _by_line(_tuya_dp, "gap=0"),
        stream=False,
        shared=True,
        lossy=True,
        small=True,
        one_call=True,
        takes=_within(160, "batch-of-every-scalar", "call-methods"),
    ),
    Transport(
        "mqtt",
        _by_mqtt,
        stream=False,
        lossy=True,
        one_way=True,
        backends=("asyncio", "asyncio+uvloop"),
    ),
    Transport(
        "ws",
        served_at("ws://127.0.0.1:0/rpc", _open_websocket),
        stream=False,
        backends=("asyncio", "asyncio+uvloop"),
    ),
    Transport("client", _by_a_client),
]

# Each message in a request of its own, so that what holds for connections does not hold there.
BY_REQUEST = [
    Transport(
        "http",
        served_at("http://127.0.0.1:0/rpc", HttpWire.open),
        stream=False,
        backends=("asyncio", "asyncio+uvloop"),
    ),
]


def _has_family(name: str) -> bool:
    family = getattr(socket, name, None)
    if family is None:
        return False
    if name == "AF_INET6":
        try:
            with socket.socket(family) as probe:
                probe.bind(("::1", 0))
        except OSError:
            return False
    return True
