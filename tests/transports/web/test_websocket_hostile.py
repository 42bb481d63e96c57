"""WebSockets whose other end means no good, or only does what is seldom done."""

import re
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import anyio
import pytest
from anyio.abc import SocketStream

from jsonrpc_iot import Limits, serve
from tests.leaks import resident_mib
from tests.rig import Mute, unharmed
from tests.waiting import SECONDS, eventually

from .websocket_frames import HERE, closed_with, device, frame, needs_asyncio, upgrade, upgraded

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def raw(limits: Limits = Limits()) -> AsyncIterator[SocketStream]:
    """The same, to a server of its own."""
    async with serve(device(), HERE, limits=limits) as server, upgraded(server.urls[0]) as stream:
        yield stream


@needs_asyncio
async def test_a_client_that_goes_cancels_nothing_but_hears_no_more() -> None:
    async with unharmed(url=HERE) as (server, far):
        async with upgraded(server.urls[0]) as stream:
            await stream.send(frame(1, b'{"id":1,"method":"hold"}'))
            await far.began.reach(1)
            await stream.send(frame(8, b"\x03\xe8"))
            assert await closed_with(stream) == 1000
        far.gate.set()
        await far.ended.reach(1)


@needs_asyncio
async def test_a_peer_that_never_reads_costs_little_and_is_closed() -> None:
    limits = Limits(send_seconds=0.5, queue_bytes=1 << 18)
    async with unharmed(limits, HERE) as (server, _):
        before = resident_mib()
        request = frame(1, b'{"id":1,"method":"big","params":[100000]}')
        with Mute(server.urls[0]) as mute:
            await mute.send(upgrade(server.urls[0]))
            with anyio.move_on_after(SECONDS):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(_flood, mute, request)
                    await eventually(lambda: len(server.peers) == 1)
                    for _ in range(1000):
                        server.broadcast("news", {"text": "x" * 10_000})
                    await eventually(lambda: not server.peers)
                    tasks.cancel_scope.cancel()
            assert not server.peers
            assert resident_mib() - before < 32


async def _flood(mute: Mute, data: bytes) -> None:
    try:
        while True:
            await mute.send(data)
    except ConnectionError:
        pass


@needs_asyncio
async def test_a_flood_of_pings_is_not_stored() -> None:
    async with unharmed(url=HERE) as (server, _):
        before = resident_mib()
        with Mute(server.urls[0]) as mute:
            await mute.send(upgrade(server.urls[0]))
            for _ in range(100):
                await mute.send(frame(9, b"x" * 100) * 1000)
            assert resident_mib() - before < 16


@needs_asyncio
async def test_a_flood_of_messages_is_held_back() -> None:
    """Those that run wait for their gate, so the rest is not even read."""
    async with unharmed(Limits(in_flight=4), HERE) as (server, far):
        before = resident_mib()
        with Mute(server.urls[0]) as mute:
            await mute.send(upgrade(server.urls[0]))
            with anyio.move_on_after(0.5) as flood:
                while True:
                    await mute.send(frame(1, b'{"method":"hold.note"}') * 1000)
            assert flood.cancelled_caught
            assert len(far.began.items) == 4
            assert resident_mib() - before < 32
        far.gate.set()


@needs_asyncio
async def test_fragments_that_never_end_are_cut_off() -> None:
    async with raw(Limits(message_seconds=0.2)) as stream:
        await stream.send(frame(1, b"[", fin=False))
        await stream.send(frame(0, b"", fin=False) * 1000)
        assert await closed_with(stream) == 1008


@needs_asyncio
async def test_a_frame_that_never_ends_is_cut_off() -> None:
    async with raw(Limits(message_seconds=0.2)) as stream:
        await stream.send(frame(1, b"x" * 200)[:100])
        assert await closed_with(stream) == 1008


@needs_asyncio
async def test_a_head_that_never_ends_is_cut_off() -> None:
    async with serve(device(), HERE, limits=Limits(message_seconds=0.2)) as server:
        parts = urlsplit(server.urls[0])
        assert parts.hostname
        assert parts.port
        async with await anyio.connect_tcp(parts.hostname, parts.port) as stream:
            await stream.send(upgrade(server.urls[0])[:-2])
            with anyio.fail_after(SECONDS):
                assert (await stream.receive()).startswith(b"HTTP/1.1 408 ")
                with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                    await stream.receive()


@pytest.mark.parametrize(
    ("more", "status"),
    [
        (b"Content-Length: 0\r\n", 101),  # as Java's client says
        (b"Content-Length: 0\r\nContent-Length: 0\r\n", 101),
        (b"Content-Length: 5\r\n", 400),
        (b"Transfer-Encoding: chunked\r\n", 400),
        pytest.param(b"Cookie: a=%b\r\n" % (b"x" * 30_000), 101, id="a large cookie"),
        pytest.param(b"Cookie: a=%b\r\n" % (b"x" * 900_000), 431, id="a very large cookie"),
        pytest.param(b"X: 1\r\n" * 1000, 101, id="a thousand headers"),
        pytest.param(b"X: %b\r\n" % (b"\xe9" * 100), 101, id="no ASCII"),
        (b"Connection: keep-alive\r\n", 101),
        (b"Sec-WebSocket-Key: again\r\n", 400),
        pytest.param(b"Sec-WebSocket-Protocol: %b\r\n" % (b"x" * 9000), 400, id="a long line"),
    ],
)
@needs_asyncio
async def test_every_handshake_is_answered(more: bytes, status: int) -> None:
    async with serve(device(), HERE) as server:
        url = server.urls[0]
        assert await answer_to(url, upgrade(url)[:-2] + more + b"\r\n") == status
        query = b"?x=" + b"y" * 9000
        assert await answer_to(url, upgrade(url).replace(b" HTTP", query + b" HTTP", 1)) == 414
        assert await answer_to(url, b"POST" + upgrade(url)[3:]) in (400, 405)


async def answer_to(url: str, request: bytes) -> int:
    """The status that a request gets, whether or not the connection goes on."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    with anyio.fail_after(SECONDS):
        async with await anyio.connect_tcp(parts.hostname, parts.port) as stream:
            await stream.send(request)
            return int((await stream.receive()).split()[1])


@needs_asyncio
async def test_fragments_over_the_limit_are_cut_off() -> None:
    async with raw(Limits(receive_bytes=1000)) as stream:
        await stream.send(frame(1, b"[", fin=False) + frame(0, b"1" * 100, fin=False) * 20)
        assert await closed_with(stream) == 1009


@needs_asyncio
async def test_a_frame_over_the_limit_is_cut_off_before_it_is_there() -> None:
    async with raw() as stream:
        await stream.send(struct.pack("!BBQ", 0x81, 0xFF, 1 << 40))
        assert await closed_with(stream) == 1009


@needs_asyncio
@pytest.mark.parametrize(
    "bad", [b"\xc1\x80\0\0\0\0", b"\x83\x80\0\0\0\0", b"\x81\x01x", frame(0, b"x")]
)
async def test_frames_that_break_the_protocol_close(bad: bytes) -> None:
    async with raw() as stream:
        await stream.send(bad)
        assert await closed_with(stream) == 1002


@needs_asyncio
async def test_a_frame_of_the_wrong_kind_closes() -> None:
    async with raw() as stream:
        await stream.send(frame(2, b"[]"))
        assert await closed_with(stream) == 1003


@needs_asyncio
async def test_text_that_is_no_utf8_is_answered() -> None:
    async with raw() as stream:
        await stream.send(frame(1, b'"\xff"'))
        received = await stream.receive()
        assert b"-32700" in received
        await stream.send(frame(1, b'{"id":7,"method":"echo","params":[1]}'))
        while b'"id":7' not in received:
            received += await stream.receive()


@needs_asyncio
async def test_many_messages_in_one_packet_are_answered_in_order() -> None:
    """More than wait at once."""
    requests = [b'{"id":%d,"method":"echo","params":[%d]}' % (n, n) for n in range(2000)]
    async with raw() as stream, anyio.create_task_group() as tasks:
        tasks.start_soon(stream.send, b"".join(frame(1, each) for each in requests))
        received = b""
        while b'"id":1999,' not in received:
            received += await stream.receive()
        ids = [int(each) for each in re.findall(rb'"id":(\d+)', received)]
        assert ids == list(range(2000))
