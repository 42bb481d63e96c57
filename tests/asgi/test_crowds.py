"""Many connections of one host: they leave places for others."""

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx2
import pytest
from anyio.abc import SocketStream
from anyio.streams.tls import TLSStream

from jsonrpc_iot import Dispatcher, Limits, Server, asgi_app, serve
from tests.transports.certificates import Certificates
from tests.waiting import SECONDS, Tally, eventually

from .conftest import Device

pytestmark = pytest.mark.anyio

HTTP = "http://127.0.0.1:0/rpc"
WEBSOCKET = "ws://127.0.0.1:0/rpc"
PLACES = 5

EVENTS = b"GET /rpc HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n"
UPGRADE = (
    b"GET /rpc HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
POST = (
    b"POST /rpc HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 38\r\n\r\n"
    b'{"id":1,"method":"add","params":[1,2]}'
)
GONE = (anyio.EndOfStream, anyio.BrokenResourceError)


async def come(server: Server, host: str = "127.0.0.1") -> SocketStream:
    port = urlsplit(server.urls[0]).port
    assert port
    return await anyio.connect_tcp("127.0.0.1", port, local_host=host)


async def says(stream: SocketStream | TLSStream, wanted: bytes) -> None:
    """Wait until the server has said that."""
    heard = b""
    with anyio.fail_after(SECONDS):
        while wanted not in heard:
            heard += await stream.receive()


async def rest_of(stream: SocketStream) -> bytes:
    """All that the server still says."""
    heard = b""
    with anyio.fail_after(SECONDS):
        try:
            while True:
                heard += await stream.receive()
        except GONE:
            return heard


@asynccontextmanager
async def crowded(
    device: Device, url: str, request: bytes, answer: bytes
) -> AsyncIterator[tuple[Server, list[SocketStream]]]:
    """A server all of whose places are taken by one host, which stays."""
    async with (
        serve(device.dispatcher, url, limits=Limits(peers=PLACES), grace=0) as server,
        AsyncExitStack() as stack,
    ):
        crowd = []
        for _ in range(PLACES):
            crowd.append(await stack.enter_async_context(await come(server)))
            if request:
                await crowd[-1].send(request)
                await says(crowd[-1], answer)
        yield server, crowd


@pytest.mark.parametrize(
    ("url", "request_", "answer"),
    [
        (HTTP, EVENTS, b"200 OK"),
        (HTTP, POST, b'"result":3'),
        (HTTP, POST[:-1], b""),
        (HTTP, b"", b""),
        (WEBSOCKET, UPGRADE, b"101 "),
        (WEBSOCKET, b"", b""),
    ],
    ids=["events", "kept alive", "half a request", "silent", "websockets", "silent websockets"],
)
async def test_another_host_gets_a_place(
    device: Device, url: str, request_: bytes, answer: bytes
) -> None:
    async with crowded(device, url, request_, answer) as (server, crowd), AsyncExitStack() as stack:
        for number in (1, 2):
            other = await stack.enter_async_context(await come(server, "127.0.0.2"))
            await other.send(UPGRADE if url == WEBSOCKET else POST)
            await says(other, b"101 " if url == WEBSOCKET else b'"result":3')
            await rest_of(crowd[-number])  # had to go


async def test_who_is_there_is_served_while_others_of_its_host_are_turned_away(
    device: Device,
) -> None:
    async with crowded(device, HTTP, b"", b"") as (server, crowd):
        for _ in range(3):
            async with await come(server) as late:
                await late.send(POST)
                assert (await rest_of(late)).startswith(b"HTTP/1.1 503 ")
        for each in crowd:
            await each.send(POST)
            await says(each, b'"result":3')


async def test_places_become_free(device: Device) -> None:
    async with crowded(device, WEBSOCKET, UPGRADE, b"101 ") as (server, crowd):
        await crowd[0].aclose()
        await eventually(lambda: len(server.peers) == PLACES - 1)
        async with await come(server) as other:
            await other.send(UPGRADE)
            await says(other, b"101 ")


async def test_handshakes_that_do_not_go_on_take_places_too(device: Device, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    url = f"https://127.0.0.1:0/rpc?cert={certificates.server}"
    context = ssl.create_default_context(cafile=certificates.ca)
    async with crowded(device, url, b"", b"") as (server, crowd):
        async with await come(server) as late:
            assert await rest_of(late) == b""
        other = await come(server, "127.0.0.2")
        async with await TLSStream.wrap(other, hostname="127.0.0.1", ssl_context=context) as tls:
            await tls.send(POST)
            await says(tls, b'"result":3')
            assert await rest_of(crowd[-1]) == b""  # had to go


async def test_a_handshake_has_to_end(device: Device, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    url = f"https://127.0.0.1:0/rpc?cert={certificates.server}"
    limits = Limits(message_seconds=0.2)
    async with serve(device.dispatcher, url, limits=limits) as server:
        async with await come(server) as silent:
            assert await rest_of(silent) == b""
        context = ssl.create_default_context(cafile=certificates.ca)
        async with httpx2.AsyncClient(verify=context, trust_env=False) as http:
            answer = await http.get(f"{server.urls[0]}/openrpc.json")
            assert answer.status_code == 200


def from_host(host: str) -> dict[str, Any]:
    """A request for events, as another web server hands it on."""
    headers = [(b"accept", b"text/event-stream"), (b"host", b"localhost")]
    return {
        "type": "http",
        "method": "GET",
        "path": "/rpc",
        "query_string": b"",
        "headers": headers,
        "client": (host, 1),
    }


async def test_one_host_does_not_take_all_subscriptions_of_another_web_server(
    device: Device,
) -> None:
    app = asgi_app(device.dispatcher, limits=Limits(peers=3))
    said: dict[str, Tally] = {}

    async def subscribe(name: str, host: str) -> None:
        async def send(event: Any) -> None:
            said[name].add(event.get("status") or event.get("more_body", False))

        await app(from_host(host), anyio.sleep_forever, send)  # type: ignore[arg-type]

    async with anyio.create_task_group() as tasks:
        for name, host in (*((f"crowd {n}", "2001:db8::1") for n in range(4)), ("other", "::1")):
            said[name] = Tally()
            tasks.start_soon(subscribe, name, host)
            await said[name].reach(1)
        assert [tally.items[0] for tally in said.values()] == [200, 200, 200, 503, 200]
        await said["crowd 2"].reach(2)
        assert said["crowd 2"].items == [200, False]  # had to go, and hears so
        assert said["crowd 1"].items == said["other"].items == [200]
        tasks.cancel_scope.cancel()


async def test_bodies_of_one_host_leave_room_for_others(device: Device) -> None:
    limits = Limits(assembled_bytes_in_all=20 << 20, message_seconds=60)
    head = POST.replace(b"Content-Length: 38", b"Content-Length: 16777216").partition(b"{")[0]
    async with (
        serve(device.dispatcher, HTTP, limits=limits, grace=0) as server,
        AsyncExitStack() as stack,
    ):
        for _ in range(3):
            greedy = await stack.enter_async_context(await come(server))
            with suppress(*GONE):
                await greedy.send(head + b" " * (15 << 20))
        body = b'{"id":1,"method":"add","params":[1,%b2]}' % (b" " * (8 << 20))
        honest = await stack.enter_async_context(await come(server, "127.0.0.2"))
        length = b"Content-Length: %d" % len(body)
        await honest.send(POST.replace(b"Content-Length: 38", length).partition(b"{")[0] + body)
        await says(honest, b'"result":3')


MUCH = 15_000_000  # bytes, more than the system takes by itself
ASK_MUCH = (
    b"POST /rpc HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    b'%bContent-Length: 24\r\n\r\n{"id":1,"method":"much"}'
)


@asynccontextmanager
async def serving_much(seconds: float) -> AsyncIterator[Server]:
    device = Dispatcher()
    device.method("much")(lambda: "x" * MUCH)
    async with serve(device, HTTP, limits=Limits(send_seconds=seconds)) as server:
        yield server


async def is_cut_off(stream: SocketStream) -> bool:
    """Whether the server ends a connection, before it gives up a head that takes too long."""
    with anyio.move_on_after(5):
        try:
            while True:
                await stream.send(b"x")
                await anyio.sleep(0.01)
        except GONE:
            return True
    return False


@pytest.mark.parametrize("header", [b"", b"Connection: close\r\n"])
async def test_who_reads_nothing_of_an_answer_is_cut_off(header: bytes) -> None:
    async with serving_much(0.2) as server, await come(server) as silent:
        await silent.send(ASK_MUCH % header)
        assert await is_cut_off(silent)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_who_reads_an_answer_slowly_gets_all_of_it() -> None:
    heard = 0
    async with serving_much(1.0) as server, await come(server) as slow:
        await slow.send(ASK_MUCH % b"Connection: close\r\n")
        with anyio.fail_after(SECONDS), suppress(anyio.EndOfStream):
            for at in range(0, 2 * MUCH, MUCH // 10):
                while heard < at:
                    heard += len(await slow.receive())
                await anyio.sleep(0.12)
    assert heard > MUCH
