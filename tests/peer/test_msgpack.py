"""Clients and servers with `?codec=msgpack`: all that works in JSON, and bytes as they are."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import anyio
import anyio.to_thread
import msgspec
import pytest

from jsonrpc_iot import (
    CallTimeout,
    Client,
    Dispatcher,
    Event,
    InvalidUrl,
    MessageTooLarge,
    Notification,
    Server,
    TooLarge,
    connect,
    connect_sync,
    method,
    serve,
    service,
)
from jsonrpc_iot.testing import Faults, LossyLink
from jsonrpc_iot.transports import open_channel, open_listener
from tests.waiting import Tally

pytestmark = pytest.mark.anyio

SECONDS = 10.0
URLS = [
    "memory://msgpack?codec=msgpack",
    "udp://127.0.0.1:0?codec=msgpack",
    "udp://127.0.0.1:0?codec=msgpack&segment=1",
]
everywhere = pytest.mark.parametrize("url", URLS, ids=["memory", "udp", "segments"])
BINARY = bytes(range(0xFF, -1, -1)) * 4


class Chunk(msgspec.Struct, frozen=True):
    at: int
    data: bytes


@service("store")
class Store:
    changed = Event[Chunk]("changed")

    @method
    async def put(self, chunk: Chunk) -> Chunk:
        self.changed.emit(chunk)
        return chunk

    @method
    async def chunks(self, count: int) -> AsyncIterator[Chunk]:
        for at in range(count):
            yield Chunk(at, bytes([0x80 | at]))


class Device:
    """A dispatcher, and what its notifications came with."""

    def __init__(self) -> None:
        self.heard = Tally()
        self.dispatcher = Dispatcher()
        self.dispatcher.include(Store())
        self.dispatcher.method("echo")(echo)
        self.dispatcher.method("big")(big)
        self.dispatcher.notification("note")(self.heard.add)


def echo(value: object) -> object:
    return value


def big(size: int) -> bytes:
    return b"\x80" * size


@asynccontextmanager
async def calling(url: str) -> AsyncIterator[tuple[Device, Server, Client]]:
    device = Device()
    with anyio.fail_after(SECONDS):
        async with (
            serve(device.dispatcher, url) as server,
            connect(server.urls[0]) as client,
        ):
            yield device, server, client


@everywhere
async def test_values_come_back_as_they_are(url: str) -> None:
    async with calling(url) as (_, _, client):
        for value in (BINARY, {1: [None, 2**64 - 1], b"x": 1.5}, msgspec.msgpack.Ext(5, b"x")):
            assert await client.call("echo", [value]) == value
        assert await client.call("big", [10], result=bytes) == b"\x80" * 10
        assert await client.call("rpc.ping") is True


@everywhere
async def test_notifications_go_both_ways(url: str) -> None:
    async with calling(url) as (device, server, client):
        await client.notify("note", [BINARY])
        await device.heard.reach(1)
        assert device.heard.items == [BINARY]
        async with client.notifications() as notifications:
            server.broadcast("news", {"data": BINARY})
            notification = await notifications.receive()
            assert (notification.method, notification.params) == ("news", {"data": BINARY})


@everywhere
async def test_proxies_events_and_streams(url: str) -> None:
    async with calling(url) as (_, _, client):
        store = client.proxy(Store)
        heard = Tally()
        store.changed.subscribe(heard.add)
        chunk = Chunk(7, BINARY)
        assert await store.put(chunk) == chunk
        await heard.reach(1)
        assert heard.items == [chunk]
        expected = [Chunk(at, bytes([0x80 | at])) for at in range(50)]
        assert [each async for each in store.chunks(50)] == expected
        stream = client.stream("store.chunks", [50], item=Chunk)
        assert [each async for each in stream] == expected


@everywhere
async def test_batches(url: str) -> None:
    async with calling(url) as (device, _, client):
        async with client.batch() as batch:
            calls = [batch.call("echo", [number]) for number in range(20)]
            batch.notify("note", [BINARY[:10]])
        assert [call.result() for call in calls] == list(range(20))
        await device.heard.reach(1)


@everywhere
async def test_the_description(url: str) -> None:
    async with calling(url) as (_, _, client):
        found = await client.call("rpc.discover", {"method": "echo"})
        assert [each["name"] for each in found["methods"]] == ["echo"]
        assert "store.put" in await client.call("rpc.methods")


async def test_sizes_are_those_of_messagepack() -> None:
    async with calling("memory://msgpack?codec=msgpack&max=200") as (_, _, client):
        with pytest.raises(TooLarge) as refused:
            await client.call("big", [1000])
        assert refused.value.data == {"size": 1000 + 3 + 1 + 3 + 1 + 7, "limit": 200}
        with pytest.raises(MessageTooLarge):
            await client.call("echo", [BINARY])
        assert len(await client.call("big", [185], result=bytes)) == 185  # in JSON 248


async def test_of_a_batch_that_does_not_fit_the_largest_result_is_refused() -> None:
    async with calling("memory://msgpack?codec=msgpack&max=300") as (_, _, client):
        async with client.batch() as batch:
            calls = [batch.call("big", [size]) for size in (150, 20, 140)]
        assert [call.result() for call in calls[1:]] == [b"\x80" * 20, b"\x80" * 140]
        with pytest.raises(TooLarge):
            calls[0].result()


async def test_megabytes_of_bytes_in_segments() -> None:
    async with calling(URLS[2]) as (_, _, client):
        for size in (1400, 100_000, 1_000_000):
            assert await client.call("big", [size], result=bytes) == b"\x80" * size


@pytest.mark.parametrize("url", URLS[1:], ids=["udp", "segments"])  # each end has its own loop
async def test_without_async(url: str) -> None:
    async with calling(url) as (_, server, _):

        def work() -> object:
            with connect_sync(server.urls[0]) as client:
                return client.call("echo", [BINARY])

        assert await anyio.to_thread.run_sync(work) == BINARY


async def test_on_a_link_that_loses_messages_each_call_runs_once() -> None:
    faults = Faults(drop=0.2, duplicate=0.2, reorder=0.2, corrupt=0.0)
    link = LossyLink(faults, seed=1, retry_seconds=0.02, codec="msgpack")
    assert link.client.info.codec == link.server.info.codec == "msgpack"
    ran: list[int] = []
    dispatcher = Dispatcher()

    @dispatcher.method
    def add(number: int) -> bytes:
        ran.append(number)
        return bytes([number])

    with anyio.fail_after(SECONDS):
        async with (
            serve(dispatcher, link.server),
            connect(link.client, extensions=True) as client,
        ):
            for number in range(100):
                result = await client.call("add", [number], result=bytes, timeout=None)
                assert result == bytes([number])
    assert ran == list(range(100))
    assert link.to_server.counts.dropped + link.to_client.counts.dropped > 0


@pytest.mark.parametrize(
    ("server_codec", "client_codec"), [("msgpack", "json"), ("json", "msgpack")]
)
@pytest.mark.parametrize("place", ["memory://mixed", "udp://127.0.0.1:0"])
async def test_two_ends_with_different_codecs_say_so_once(
    place: str, server_codec: str, client_codec: str
) -> None:
    """Neither answers the other's error, which it cannot read, for that would never end."""
    seen = Tally()
    device = Device()
    with anyio.fail_after(SECONDS):
        async with serve(
            device.dispatcher,
            f"{place}?codec={server_codec}",
            trace=lambda direction, _: seen.add(direction),
        ) as server:
            right = server.urls[0].partition("?")[0]
            wrong = f"{right}?codec={client_codec}"
            async with (
                connect(wrong, extensions=False) as client,
                connect(f"{right}?codec={server_codec}", extensions=False) as sound,
            ):
                with pytest.raises(CallTimeout):
                    await client.call("echo", [1], timeout=0.1)
                assert await sound.call("echo", [1]) == 1
                assert seen.items == ["<-", "->", "<-", "->"]


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("udp://127.0.0.1:1?codec=xml", "codec='xml'.*valid are json, msgpack"),
        ("memory://lamp?codec=xml", "codec='xml'.*valid are json, msgpack"),
        ("memory://lamp?codec=", "codec=''.*valid are json, msgpack"),
        ("tcp://127.0.0.1:1?codec=msgpack", "unknown option 'codec'; tcp has max, psk, reuse_port"),
        ("pipe://lamp?codec=msgpack", "unknown option 'codec'; pipe has dir, max"),
        ("unix:///lamp.sock?codec=json", "unknown option 'codec'; unix has max"),
    ],
)
async def test_urls_that_make_no_sense(url: str, problem: str) -> None:
    for opened in (partial(open_channel, url), partial(open_listener, url)):
        with pytest.raises(InvalidUrl, match=problem):
            await opened()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("memory://where", "memory://where"),
        ("memory://where?codec=json", "memory://where"),
        ("memory://where?codec=msgpack", "memory://where?codec=msgpack"),
        ("memory://where?segment=1&codec=msgpack", "memory://where?codec=msgpack&segment=1"),
        ("memory://where?codec=msgpack&max=50", "memory://where?codec=msgpack"),
    ],
)
async def test_the_url_of_a_listener_is_one_to_connect_to(url: str, expected: str) -> None:
    async with await open_listener(url) as listener:
        assert listener.addresses == [expected]
        async with await open_channel(expected) as channel:
            assert channel.info.codec == ("msgpack" if "msgpack" in url else "json")


async def test_one_server_speaks_with_each_peer_in_its_codec() -> None:
    urls = "memory://json", "memory://packed?codec=msgpack"
    with anyio.fail_after(SECONDS):
        async with serve(Dispatcher(), *urls) as server, AsyncExitStack() as stack:
            streams = []
            for url in urls:
                client = await stack.enter_async_context(connect(url))
                streams.append(await stack.enter_async_context(client.notifications()))
                await client.call("rpc.ping")
            assert server.broadcast("news", {"a": 1}) == 2
            assert [await stream.receive() for stream in streams] == [
                Notification("news", {"a": 1})
            ] * 2
