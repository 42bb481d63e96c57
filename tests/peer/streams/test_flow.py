"""A slow reader slows the handler down, and nobody else."""

from collections.abc import AsyncIterator

import anyio
import pytest

from jsonrpc_iot import Busy, Dispatcher, connect, serve
from jsonrpc_iot.testing import memory_pair, served
from tests.waiting import Tally, eventually

from .rig import SECONDS, Device

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("window", [1, 8, 20])
@pytest.mark.parametrize("reliable", [True, False], ids=["reliable", "lossy"])
async def test_the_handler_is_never_far_ahead(window: int, reliable: bool) -> None:
    device = Device()
    ends_of_a_link = memory_pair(reliable=reliable)
    with anyio.fail_after(SECONDS):
        async with served(device.dispatcher, *ends_of_a_link, extensions=True) as ends:
            stream = ends.client.stream("count", [30], item=int, window=window)
            taken = 0
            async for each in stream:
                assert each == taken
                taken += 1
                if taken % 7 == 1:
                    await anyio.wait_all_tasks_blocked()
                assert len(device.made.items) <= max(taken + window, 8) + 1
            assert taken == 30


async def test_many_slow_readers_do_not_lock_a_connection_up() -> None:
    device = Device()
    refused = Tally()
    begun = Tally()
    go_on = anyio.Event()
    with anyio.fail_after(SECONDS):
        async with (
            serve(device.dispatcher, "tcp://127.0.0.1:0", grace=0) as server,
            connect(server.urls[0], extensions=True) as client,
        ):
            ends: list[int] = []

            async def read() -> None:
                stream = client.stream("count", [12], item=int, timeout=None)
                try:
                    assert await anext(stream) == 0
                except Busy:
                    refused.add()
                    return
                begun.add()
                await go_on.wait()
                ends.append(len([each async for each in stream]))

            async with anyio.create_task_group() as tasks:
                for _ in range(130):
                    tasks.start_soon(read)
                await begun.reach(128)
                await refused.reach(2)
                with pytest.raises(Busy):
                    await client.call("later_list", [1])
                assert await client.call("plain_list", [3]) == [0, 1, 2]
                go_on.set()
            assert ends == [11] * 128
            assert await client.call("later_list", [1]) == [0]


async def test_a_stream_that_nobody_reads_holds_up_no_other() -> None:
    device = Device()
    with anyio.fail_after(SECONDS):
        async with (
            serve(device.dispatcher, "tcp://127.0.0.1:0", grace=0) as server,
            connect(server.urls[0], extensions=True) as client,
            client.stream("count", [1000]) as slow,
        ):
            assert await anext(slow) == 0
            stream = client.stream("count", [500], item=int)
            assert [each async for each in stream] == list(range(500))
            assert await anext(slow) == 1


async def test_big_items_both_ways_at_once() -> None:
    both = Dispatcher()

    @both.method
    async def big() -> AsyncIterator[str]:
        for _ in range(40):
            yield "x" * 100_000

    sizes: list[int] = []
    with anyio.fail_after(SECONDS):
        async with (
            serve(both, "tcp://127.0.0.1:0", grace=0) as server,
            connect(server.urls[0], dispatcher=both) as client,
        ):
            assert await client.call("rpc.ping") is True
            (peer,) = server.peers

            async def read(caller: object) -> None:
                stream = caller.stream("big", item=str, window=40)  # type: ignore[attr-defined]
                sizes.append(sum([len(each) async for each in stream]))

            async with anyio.create_task_group() as tasks:
                for caller in (client, peer):
                    tasks.start_soon(read, caller)
                    tasks.start_soon(read, caller)
            await eventually(lambda: not peer.is_busy)
    assert sizes == [4_000_000] * 4
