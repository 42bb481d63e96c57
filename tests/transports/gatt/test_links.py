"""Both ends ours, on a virtual radio: the contract, sizes, several centrals."""

import json
import os

import anyio
import pytest
from bumble.core import UUID
from bumble.device import Peer

from jsonrpc_iot import (
    Channel,
    ChannelClosed,
    Dispatcher,
    Limits,
    MessageTooLarge,
    TooLarge,
    connect,
    serve,
)
from jsonrpc_iot.services.wifi import SimulatedWifi
from jsonrpc_iot.testing import (
    Faults,
    LossyLink,
    VirtualRadio,
    check_channel_contract,
    served,
)
from jsonrpc_iot.transports import open_channel
from jsonrpc_iot.transports.gatt import RX, SERVICE, ConnectOptions, _peripheral
from jsonrpc_iot.transports.gatt._peripheral import CentralChannel
from jsonrpc_iot.transports.gatt._scan import Wanted, find
from jsonrpc_iot.transports.gatt.bumble.backend import backend_on
from tests.transports.links import accepting
from tests.waiting import SECONDS, eventually

from .rig import adapter, channel_to, device, raw_central

pytestmark = pytest.mark.anyio

CALLS = 10_000 if os.environ.get("JSONRPC_IOT_SOAK") else 2_000


@pytest.mark.parametrize("options", [{}, {"write": "command"}, {"codec": "msgpack"}])
async def test_the_contract(radio: VirtualRadio, options: dict[str, str]) -> None:
    codec = {"codec": options["codec"]} if "codec" in options else {}
    with anyio.fail_after(SECONDS):
        async with accepting(radio.url("lamp", **codec)) as (listener, accept):
            assert listener.addresses == [radio.url("lamp", **codec)]
            client = await open_channel(radio.url("lamp", **options))
            server = await accept()
            if "write" in options:  # the server sees with the first message how it is written
                await client.send(b"[0]")
                server = await accept()
                assert await server.receive() == b"[0]"
            assert client.info.reliable is server.info.reliable is ("write" not in options)
            assert client.info.max_message == server.info.max_message == 220
            await check_channel_contract(client, server, SECONDS)


async def test_segments(radio: VirtualRadio) -> None:
    with anyio.fail_after(SECONDS):
        async with serve(device(), radio.url("lamp", segment=1), grace=0.5) as server:
            assert server.urls == [radio.url("lamp") + "&segment=1"]
            async with connect(server.urls[0]) as client:
                assert await client.call("echo", ["x" * 5_000]) == "x" * 5_000


async def test_calls_both_ways_and_streams(radio: VirtualRadio) -> None:
    dispatcher = device()
    dispatcher.include(SimulatedWifi(scan_time=0.0))
    answering = Dispatcher()
    answering.method("twice")(lambda value: 2 * value)
    with anyio.fail_after(SECONDS):
        async with (
            serve(dispatcher, radio.url("lamp"), grace=0.5) as server,
            connect(server.urls[0], dispatcher=answering) as client,
            client.notifications() as news,
        ):
            with pytest.raises(TooLarge):
                await client.call("wifi.scan")
            assert len([each async for each in client.stream("wifi.scan")]) > 5
            assert server.broadcast("changed", {"on": True}) == 1
            assert (await news.receive()).method == "changed"
            (peer,) = server.peers
            assert await peer.call("twice", [21]) == 42


@pytest.mark.parametrize(
    ("mtu", "wanted", "limit"),
    [(185, 220, 182), (247, 220, 220), (517, 220, 220), (517, 500, 500), (517, 512, 512)],
)
async def test_sizes_are_exact(radio: VirtualRadio, mtu: int, wanted: int, limit: int) -> None:
    shown: list[bytes] = []
    with anyio.fail_after(SECONDS):
        async with (
            serve(device(), radio.url("lamp", max=wanted), grace=0.5),
            channel_to(radio, mtu=mtu, options=ConnectOptions(max=wanted)) as channel,
            connect(channel, extensions=False, trace=lambda _, each: shown.append(each)) as client,
        ):
            assert client.info.max_message == limit
            await client.call("echo", [1])
            next_id = json.loads(shown[0])["id"] + 1
            empty = len(b'{"id":%d,"result":""}' % next_id)
            assert await client.call("big", [limit - empty]) == "x" * (limit - empty)
            more = len(str(next_id + 1)) - len(str(next_id))
            with pytest.raises(TooLarge) as refused:
                await client.call("big", [limit - empty - more + 1])
            assert refused.value.data == {"size": limit + 1, "limit": limit}
            with pytest.raises(MessageTooLarge, match=str(limit)):
                await client.call("echo", ["x" * limit])


async def test_the_smallest_mtu(radio: VirtualRadio) -> None:
    """Requests go in long writes, since bleak may not know better; replies fit or are an error."""
    with anyio.fail_after(SECONDS):
        async with (
            serve(device(), radio.url("lamp"), grace=0.5) as server,
            channel_to(radio, mtu=23) as channel,
        ):
            assert channel.info.max_message == 220
            await channel.send(b'{"id":1,"method":"echo","params":{"value":7}}')
            assert await channel.receive() == b'{"id":1,"result":7}'
            (peer,) = server.peers
            assert peer.info.max_message == 20
            with anyio.move_on_after(0.5):  # even the error is larger than a packet
                await channel.send(b'{"id":2,"method":"echo","params":["%s"]}' % (b"x" * 100))
                assert not await channel.receive()
            await channel.send(b'{"id":3,"method":"echo","params":{"value":8}}')
            assert await channel.receive() == b'{"id":3,"result":8}'


async def test_a_write_over_the_mtu_arrives_whole(radio: VirtualRadio) -> None:
    with anyio.fail_after(SECONDS):
        async with accepting(radio.url("lamp")) as (_, accept), raw_central(radio, mtu=23) as raw:
            server: Channel = await accept()
            await raw.write(b"y" * 512)
            assert await server.receive() == b"y" * 512


async def test_an_mtu_that_grows_after_subscribing(radio: VirtualRadio) -> None:
    """The central gets another channel, since the limit is a fact of a channel."""
    with anyio.fail_after(SECONDS):
        async with accepting(radio.url("lamp")) as (_, accept), adapter(radio) as central:
            found = await find(Wanted("", "lamp", SERVICE), backend_on(central), "lamp")
            peer = Peer(await central.connect(found.details[1]))
            (service,) = await peer.discover_service(SERVICE)
            await service.discover_characteristics()
            (rx,) = service.get_characteristics_by_uuid(UUID(RX))
            await rx.subscribe()
            assert (await accept()).info.max_message == 20
            await peer.request_mtu(247)
            assert (await accept()).info.max_message == 220
            await peer.connection.disconnect()


async def test_two_centrals_get_their_own_replies(radio: VirtualRadio) -> None:
    wrong: list[object] = []

    async def load(first: int) -> None:
        async with connect(radio.url("lamp"), timeout=SECONDS) as client:

            async def worker(start: int) -> None:
                for number in range(start, first + CALLS // 2, 5):
                    answer: object = await client.call("echo", [number])
                    if answer != number:
                        wrong.append((number, answer))

            async with anyio.create_task_group() as workers:
                for worker_number in range(5):
                    workers.start_soon(worker, first + worker_number)

    with anyio.fail_after(6 * SECONDS):
        async with (
            serve(device(), radio.url("lamp"), grace=0.5),
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(load, 0)
            tasks.start_soon(load, 1_000_000)
    assert wrong == []


@pytest.mark.parametrize("response", [True, False])
async def test_a_burst_of_writes_is_answered_in_order(radio: VirtualRadio, response: bool) -> None:
    with anyio.fail_after(SECONDS):
        async with serve(device(), radio.url("lamp"), grace=0.5), raw_central(radio) as raw:
            for number in range(200):
                message = b'{"id":%d,"method":"echo","params":["%s"]}' % (number, b"x" * 150)
                await raw.write(message, response=response)
            for number in range(200):
                assert (await raw.heard.receive()).startswith(b'{"id":%d,"result":"x' % number)


async def test_what_is_no_message_is_answered_and_the_link_stays(radio: VirtualRadio) -> None:
    with anyio.fail_after(SECONDS):
        async with serve(device(), radio.url("lamp"), grace=0.5), raw_central(radio) as raw:
            for junk in (b"", bytes(range(256))[:220], b"\xff" * 512, b"{"):
                assert b"-32700" in await raw.call(junk)
            reply = await raw.call(b'{"id":1,"method":"echo","params":[1]}')
            assert reply == b'{"id":1,"result":1}'


async def test_a_central_that_subscribes_late_hears_what_was_sent(radio: VirtualRadio) -> None:
    with anyio.fail_after(SECONDS):
        async with (
            accepting(radio.url("lamp")) as (_, accept),
            raw_central(radio, subscribe=False) as raw,
        ):
            await raw.write(b"[1]")
            server = await accept()
            assert await server.receive() == b"[1]"
            assert isinstance(server, CentralChannel)
            async with anyio.create_task_group() as tasks:
                for number in range(2, 5):  # before it subscribes
                    tasks.start_soon(server.send, b"[%d]" % number)
                heard: list[bytes] = []
                await raw.client.start_notify(RX, lambda _, value: heard.append(bytes(value)))
            await eventually(lambda: sorted(heard) == [b"[2]", b"[3]", b"[4]"])
            assert server.unheard == 0


async def test_a_central_that_never_subscribes(
    radio: VirtualRadio, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_peripheral, "_SUBSCRIBE_SECONDS", 0.2)
    with anyio.fail_after(SECONDS):
        async with (
            accepting(radio.url("lamp")) as (_, accept),
            raw_central(radio, subscribe=False) as raw,
        ):
            await raw.write(b"[1]")
            server = await accept()
            assert isinstance(server, CentralChannel)
            began = anyio.current_time()
            for count in range(1, 4):
                await server.send(b"[2]")
                assert server.unheard == count
            assert anyio.current_time() - began > 0.1
    assert caplog.text.count("WARNING") == 1
    assert "has not subscribed" in caplog.text


async def test_a_server_that_does_not_keep_up_says_so(radio: VirtualRadio) -> None:
    """Acknowledged writes are refused while the queue is full, and our client tries again."""
    with anyio.fail_after(SECONDS):
        async with accepting(radio.url("lamp")) as (_, accept):
            client = await open_channel(radio.url("lamp"))
            async with client, anyio.create_task_group() as tasks:
                server = await accept()
                assert isinstance(server, CentralChannel)
                sent = [b"[%d]" % number for number in range(400)]
                tasks.start_soon(client.send_batch, sent)
                while not server.dropped:  # noqa: ASYNC110  # nothing tells
                    await anyio.sleep(0.01)
                received: list[bytes] = []
                while len(received) < len(sent):
                    received += await server.receive_batch()
                assert received == sent


async def test_too_many_centrals_are_turned_away(radio: VirtualRadio) -> None:
    with anyio.fail_after(SECONDS):
        async with (
            serve(device(), radio.url("lamp"), limits=Limits(peers=1), grace=0.5),
            connect(radio.url("lamp")) as first,
        ):
            assert await first.call("echo", [1]) == 1
            with pytest.raises((ChannelClosed, TimeoutError)):
                async with connect(radio.url("lamp"), connect_timeout=0.5) as second:
                    await second.call("echo", [2])
            assert await first.call("echo", [3]) == 3


async def test_a_link_of_these_sizes_that_loses_messages() -> None:
    """What `write=command` may do at worst."""
    toggled: list[int] = []
    dispatcher = Dispatcher()
    dispatcher.include(SimulatedWifi(scan_time=0.0))
    dispatcher.method("toggle")(toggled.append)
    faults = Faults(drop=0.2, duplicate=0.1, reorder=0.1)
    link = LossyLink(faults, seed=5, max_message=220, retry_seconds=0.02)
    with anyio.fail_after(SECONDS):
        async with served(dispatcher, link.client, link.server) as ends:
            for number in range(30):
                await ends.client.call("toggle", [number])
            assert len([each async for each in ends.client.stream("wifi.scan")]) > 5
    assert toggled == list(range(30))
    assert link.to_server.counts.dropped > 0
