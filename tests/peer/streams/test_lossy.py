"""Streams over links that lose, double and reorder: all items once and in order, nothing left."""

import tracemalloc
from collections.abc import AsyncIterator

import anyio
import anyio.lowlevel
import pytest

from jsonrpc_iot import (
    CallTimeout,
    Cancelled,
    Client,
    Dispatcher,
    JsonRpcIotError,
    Limits,
    ServerError,
)
from jsonrpc_iot.services.wifi import AccessPoint, SimulatedNetwork, SimulatedWifi
from jsonrpc_iot.testing import Ends, Faults, LossyLink, memory_pair, served
from tests.waiting import eventually

from .rig import SECONDS, Device, kept_bytes, reading, serving, whole_budget

pytestmark = pytest.mark.anyio

BAD = Faults(drop=0.2, duplicate=0.2, reorder=0.2, delay_seconds=0.002)
LOST = Faults(drop=1)
SEEDS = range(4)


def bad_link(seed: int, faults: Faults = BAD) -> LossyLink:
    return LossyLink(faults, seed=seed, max_message=220, retry_seconds=0.005)


def street(houses: int) -> list[SimulatedNetwork]:
    return [
        SimulatedNetwork(f"house-{n:02}", f"02:5e:10:00:00:{n:02x}", 1 + n % 13, -40 - n)
        for n in range(houses)
    ]


async def is_clean(ends: Ends) -> None:
    """Nothing runs, and nothing is kept once it is old."""
    with anyio.fail_after(SECONDS):
        await eventually(lambda: not ends.server.is_busy)


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_scan_of_forty_networks(seed: int) -> None:
    dispatcher = Dispatcher()
    dispatcher.include(SimulatedWifi(seed, networks=street(40), scan_time=0))
    link = bad_link(seed)
    with anyio.fail_after(SECONDS):
        async with served(dispatcher, link.client, link.server) as ends:
            with whole_budget(ends.server):
                found = [each async for each in ends.client.stream("wifi.scan", item=AccessPoint)]
                assert len({each.ssid for each in found}) == 40
                assert [each.rssi for each in found] == sorted(
                    (each.rssi for each in found), reverse=True
                )
                await is_clean(ends)


@pytest.mark.parametrize("seed", SEEDS)
async def test_the_names_of_many_methods(seed: int) -> None:
    device = Device()
    for number in range(60):
        device.dispatcher.method(f"method.number.{number:02}")(lambda: None)
    link = bad_link(seed)
    with anyio.fail_after(SECONDS):
        async with served(device.dispatcher, link.client, link.server) as ends:
            names = [each async for each in ends.client.stream("rpc.methods", item=str)]
    assert names == sorted(set(names))
    assert len(names) > 60


@pytest.mark.parametrize("window", [8, 64])
@pytest.mark.parametrize("seed", SEEDS[:3])
async def test_a_long_stream(seed: int, window: int) -> None:
    device = Device()
    link = bad_link(seed)
    with anyio.fail_after(SECONDS):
        async with served(device.dispatcher, link.client, link.server, extensions=True) as ends:
            with whole_budget(ends.server):
                stream = ends.client.stream("count", [500], item=int, window=window)
                assert [each async for each in stream] == list(range(500))
                await is_clean(ends)
                # Once the budget has been asked for, a reminder that comes late is a new request.
                assert device.made.items == list(range(500))
                assert len(device.closed.items) == 1


@pytest.mark.parametrize("seed", SEEDS[:4])
async def test_an_error_after_items(seed: int) -> None:
    device = Device()
    link = bad_link(seed)
    with anyio.fail_after(SECONDS):
        async with (
            served(device.dispatcher, link.client, link.server, extensions=True) as ends,
            reading(ends.client.stream("fail", [20, 7])) as reader,
        ):
            with pytest.raises(JsonRpcIotError, match="enough"):
                await reader.result()
    assert reader.items.items == list(range(len(reader.items.items)))
    assert len(device.closed.items) == 1


@pytest.mark.parametrize("seed", SEEDS[:4])
async def test_leaving_the_loop(seed: int) -> None:
    device = Device(Limits(linger_seconds=0.3))
    link = bad_link(seed)
    with anyio.fail_after(SECONDS):
        async with served(device.dispatcher, link.client, link.server, extensions=True) as ends:
            with whole_budget(ends.server):
                async for each in ends.client.stream("count", [1000], item=int):
                    if each == 30:
                        break
                await is_clean(ends)
                assert len(device.closed.items) == 1
                assert len(device.made.items) < 60


@pytest.mark.parametrize("way", ["to_client", "to_server", "both"])
async def test_a_reader_that_vanishes_leaves_nothing(way: str) -> None:
    device = Device(Limits(linger_seconds=0.1))
    link = bad_link(0, Faults())
    with anyio.fail_after(SECONDS):
        async with served(device.dispatcher, link.client, link.server, extensions=True) as ends:
            with whole_budget(ends.server):
                stream = ends.client.stream("count", [1000], timeout=0.3)
                assert await anext(stream) == 0
                for each in ("to_client", "to_server"):
                    if way in {each, "both"}:
                        getattr(link, each).faults = LOST
                with pytest.raises((CallTimeout, Cancelled)):
                    async for _ in stream:
                        pass
                await device.closed.reach(1)
                await is_clean(ends)


@pytest.mark.parametrize("end", ["broken", "closed"])
async def test_a_channel_that_ends_in_the_middle_gives_its_room_back(end: str) -> None:
    device = Device(Limits(linger_seconds=0.05))
    async with serving(device, reliable=False) as (far, peer):
        before = kept_bytes(peer)
        await far.send({"id": 1, "method": "doze", "params": [5], "stream": True})
        await far.items(5)
        await far.send({"id": 2, "method": "count", "params": [1], "stream": True})
        assert await far.items(1) == [0]
        assert await far.receive() == {"id": 2, "result": {"count": 1}}
        assert kept_bytes(peer) > before
        if end == "broken":
            peer._break()  # as a link does that is found to be dead
        else:
            await far.channel.aclose()
        await device.closed.reach(2)
        await eventually(lambda: not peer.is_busy)
        await eventually(lambda: kept_bytes(peer) == before)


async def test_an_ended_stream_is_repaired_for_thirty_seconds() -> None:
    async with serving(Device(), reliable=False) as (far, peer):
        with whole_budget(peer):
            request = {"id": 1, "method": "count", "params": [5], "stream": True}
            await far.send(request)
            await far.items(5)
            end = {"id": 1, "result": {"count": 5}}
            assert await far.receive() == end
            await far.send({"method": "rpc.more", "params": {"id": 1, "missing": [4, 1, 9, 1]}})
            for seq in (1, 4):
                assert (await far.expect("rpc.item"))["params"]["seq"] == seq
            await far.send({**request, "retry": True})
            assert await far.receive() == end
            peer.check(anyio.current_time() + 29)
            await far.send({"method": "rpc.more", "params": {"id": 1, "missing": [0]}})
            assert await far.items(1) == [0]
            peer.check(anyio.current_time() + 31)
            await far.send({"method": "rpc.more", "params": {"id": 1, "missing": [0]}})
            await far.silence()


async def test_a_stream_with_a_used_id_is_repaired_with_its_own_items() -> None:
    async with serving(Device(), reliable=False) as (far, _):
        await far.send({"id": 1, "method": "values", "params": [[3]], "stream": True})
        assert await far.items(1) == ["xxx"]
        assert await far.receive() == {"id": 1, "result": {"count": 1}}
        await far.send({"id": 1, "method": "count", "params": [20], "stream": True})
        await far.items(8)
        await far.send({"method": "rpc.more", "params": {"id": 1, "missing": [0]}})
        assert await far.items(1) == [0]
        await far.silence()


@pytest.mark.parametrize("to", [20, 5], ids=["running", "ended"])
async def test_an_item_that_is_no_longer_held_ends_the_call(to: int) -> None:
    limits = Limits(remembered_bytes=200)
    async with serving(Device(), reliable=False, limits=limits) as (far, peer):
        with whole_budget(peer):
            await far.send({"id": 1, "method": "count", "params": [to], "stream": True})
            await far.items(min(to, 8))
            if to == 5:
                assert (await far.receive())["result"] == {"count": 5}
            await far.send({"method": "rpc.more", "params": {"id": 1, "missing": [0, 4]}})
            reply = await far.receive()
            assert (reply["id"], reply["error"]["code"]) == (1, -32000)
            await far.silence()


async def test_the_reader_is_told_that_an_item_is_not_held() -> None:
    device = Device(Limits(remembered_bytes=100))
    # The reader must not remind the device before all is sent that there is credit for.
    link = LossyLink(seed=1, max_message=220, retry_seconds=1.0)
    link.to_client.faults = LOST
    with anyio.fail_after(SECONDS):
        async with (
            served(device.dispatcher, link.client, link.server, extensions=True) as ends,
            reading(ends.client.stream("count", [20])) as reader,
        ):
            await device.made.reach(9)
            link.set_faults(Faults())
            with pytest.raises(ServerError, match="no longer held"):
                await reader.result()
    assert len(device.closed.items) == 1


async def test_requests_for_items_do_not_pile_up_answers() -> None:
    dispatcher = Dispatcher()

    @dispatcher.method
    async def big() -> AsyncIterator[str]:
        for _ in range(9):
            yield "x" * 1000

    async with serving(dispatcher, reliable=False, limits=Limits(queue_bytes=10_000)) as (
        far,
        peer,
    ):
        await far.send({"id": 1, "method": "big", "stream": True})
        await far.items(8)
        for _ in range(100):
            missing = list(range(8))
            await far.send({"method": "rpc.more", "params": {"id": 1, "missing": missing}})
        await anyio.wait_all_tasks_blocked()
        assert peer._outgoing._bytes < 100_000


async def read_all(client: Client, to: int) -> int:
    """Read a stream to its end; returns how much memory it took at most, in bytes."""
    expected = 0
    async for each in client.stream("numbers", [to], item=int, window=128):
        assert each == expected
        expected += 1
        if expected == 2000:
            tracemalloc.start()
    assert expected == to
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


async def test_a_very_long_stream_takes_constant_memory() -> None:
    dispatcher = Dispatcher()

    @dispatcher.method
    async def numbers(to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number

    with anyio.fail_after(40):
        async with served(dispatcher, *memory_pair(), extensions=True) as ends:
            assert await read_all(ends.client, 12_000) < 1 << 19
