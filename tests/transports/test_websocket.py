"""WebSockets: what only they do, and peers that mean no good."""

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketStream

from jsonrpc_iot import ConnectFailed, Dispatcher, InvalidUrl, Limits, connect
from jsonrpc_iot.transports import open_channel

from .certificates import Certificates
from .websocket_rig import PATH, serving, serving_elsewhere

pytestmark = pytest.mark.anyio
SECONDS = 10.0
UPGRADE = (
    "GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def device() -> Dispatcher:
    dispatcher = Dispatcher()
    dispatcher.method("echo")(lambda value: value)
    return dispatcher


def frame(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    """A masked frame, with a mask that changes nothing."""
    assert len(payload) < 126
    return struct.pack("!BB", (fin << 7) | opcode, 0x80 | len(payload)) + bytes(4) + payload


@pytest.fixture
def asyncio_only(anyio_backend_name: str) -> None:
    if anyio_backend_name == "trio":
        pytest.skip("uvicorn needs asyncio")


needs_asyncio = pytest.mark.usefixtures("asyncio_only")


@asynccontextmanager
async def raw(limits: Limits) -> AsyncIterator[SocketStream]:
    """A connection that is upgraded and says what it likes."""
    with anyio.fail_after(SECONDS):
        async with serving(device(), limits) as (url, _, _):
            port = int(url.removesuffix(PATH).rpartition(":")[2])
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                await stream.send(UPGRADE.format(path=PATH).encode())
                assert b" 101 " in await stream.receive()
                yield stream


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


async def test_a_call_from_every_event_loop() -> None:
    with serving_elsewhere(device()) as url:
        async with connect(url) as client:
            assert await client.call("echo", ["hello"]) == "hello"


async def test_a_wrong_path_is_refused_with_its_status() -> None:
    with serving_elsewhere(device()) as url, pytest.raises(ConnectFailed, match="HTTP 403"):
        await open_channel(url + "/other")


async def test_tls_and_message_pack(certificates: Certificates) -> None:
    with serving_elsewhere(device(), certificates=certificates, codec="msgpack") as url:
        async with connect(f"{url}?ca={certificates.ca}&codec=msgpack") as client:
            assert await client.call("echo", [{"a": 1}]) == {"a": 1}


async def test_a_token_is_never_in_the_url(tmp_path: Path) -> None:
    with pytest.raises(InvalidUrl, match="env:NAME or file:PATH") as failure:
        await open_channel("ws://127.0.0.1:9/rpc?token=hunter2")
    assert "hunter2" not in str(failure.value)


@needs_asyncio
async def test_fragments_that_never_end_are_cut_off() -> None:
    async with raw(Limits(message_seconds=0.2)) as stream:
        await stream.send(frame(1, b"[", fin=False))
        await stream.send(frame(0, b"", fin=False) * 1000)
        assert await closed_with(stream) == 1008


@needs_asyncio
async def test_fragments_over_the_limit_are_cut_off() -> None:
    async with raw(Limits(receive_bytes=1000)) as stream:
        await stream.send(frame(1, b"[", fin=False) + frame(0, b"1" * 100, fin=False) * 20)
        assert await closed_with(stream) == 1009


@needs_asyncio
async def test_a_frame_of_the_wrong_kind_closes() -> None:
    async with raw(Limits()) as stream:
        await stream.send(frame(2, b"[]"))
        assert await closed_with(stream) == 1003


@needs_asyncio
async def test_text_that_is_no_utf8_is_answered() -> None:
    async with raw(Limits()) as stream:
        await stream.send(frame(1, b'"\xff"'))
        received = await stream.receive()
        assert b"-32700" in received
        await stream.send(frame(1, b'{"id":7,"method":"echo","params":[1]}'))
        while b'"id":7' not in received:
            received += await stream.receive()
