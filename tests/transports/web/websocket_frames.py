"""WebSockets spoken by hand: the request that opens one, and frames."""

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import anyio
import pytest
from anyio.abc import SocketStream

from jsonrpc_iot import Dispatcher
from tests.waiting import SECONDS

HERE = "ws://127.0.0.1:0/rpc"
UPGRADE = (
    "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
)


def device() -> Dispatcher:
    dispatcher = Dispatcher()
    dispatcher.method("echo")(lambda value: value)
    dispatcher.method("reset", requires="admin")(lambda: "done")
    return dispatcher


def upgrade(url: str, **headers: str) -> bytes:
    """The request that opens a WebSocket."""
    parts = urlsplit(url)
    more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return UPGRADE.format(path=parts.path, host=parts.netloc, more=more).encode()


def frame(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    """A masked frame, with a mask that changes nothing."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else struct.pack("!BQ", 0xFF, size)
    return bytes([(fin << 7) | opcode]) + length + bytes(4) + payload


needs_asyncio = pytest.mark.only_on("asyncio")  # as uvicorn does


@asynccontextmanager
async def upgraded(url: str, **headers: str) -> AsyncIterator[SocketStream]:
    """A connection that is upgraded and says what it likes."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    with anyio.fail_after(SECONDS):
        async with await anyio.connect_tcp(parts.hostname, parts.port) as stream:
            await stream.send(upgrade(url, **headers))
            assert b" 101 " in await stream.receive()
            yield stream


async def status(url: str, **headers: str) -> int:
    """The HTTP status that a request for a WebSocket gets."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    with anyio.fail_after(SECONDS):
        async with await anyio.connect_tcp(parts.hostname, parts.port) as stream:
            await stream.send(upgrade(url, **headers))
            return int((await stream.receive()).split()[1])


async def closed_with(stream: SocketStream) -> int:
    """The close code, once the server has closed."""
    data = b""
    while True:
        try:
            data += await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            break
    start = data.rindex(b"\x88")
    code: int = struct.unpack("!H", data[start + 2 : start + 4])[0]
    return code
