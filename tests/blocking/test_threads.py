"""Several threads, several clients, and programs that have an event loop already."""

import gc
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio.lowlevel
import anyio.to_thread
import pytest

from jsonrpc_iot import BlockingClient, ChannelClosed, connect_sync
from tests.waiting import SECONDS

from .rig import Rig

THREADS = 20


def loops() -> int:
    """How many event loops the blocking clients have."""
    return sum(thread.name == "jsonrpc-iot" for thread in threading.enumerate())


def test_twenty_threads_call_at_once(rig: Rig) -> None:
    def work(number: int) -> list[int]:
        return [device.call("add", [number, each], result=int) for each in range(25)]

    with connect_sync(rig.url) as device, ThreadPoolExecutor(THREADS) as pool:
        results = list(pool.map(work, range(THREADS)))
    assert results == [[number + each for each in range(25)] for number in range(THREADS)]


def wait_in(device: BlockingClient) -> Callable[[int], object]:
    """Ways to wait for a device that does not answer."""

    def wait(number: int) -> object:
        if number % 3 == 0:
            return device.call("hold", [number], timeout=None)
        if number % 3 == 1:
            return next(device.stream("hold", [number], timeout=None))
        with device.batch(None) as batch:
            call = batch.call("hold", [number])
        return call.result()

    return wait


@pytest.mark.parametrize("reconnect", [False, True])
def test_those_who_wait_hear_that_the_client_was_closed(rig: Rig, reconnect: bool) -> None:
    device = connect_sync(rig.url, reconnect=reconnect)
    with ThreadPoolExecutor(THREADS) as pool:
        waiting = [pool.submit(wait_in(device), number) for number in range(THREADS)]
        assert {rig.next()[0] for _ in waiting} == {"began"}
        device.close()
        for each in waiting:
            assert isinstance(each.exception(SECONDS), ChannelClosed)
    for ask in (
        lambda: device.call("add", [1, 2]),
        lambda: device.notify("note", [1]),
        lambda: device.batch().__enter__(),
        lambda: next(device.stream("slowly", [1])),
        device.notifications,
    ):
        with pytest.raises(ChannelClosed, match="closed"):
            ask()


def test_threads_that_call_all_the_while_hear_it_too(rig: Rig) -> None:
    began = threading.Barrier(THREADS + 1)

    def work() -> None:
        device.call("add", [1, 2])
        began.wait(SECONDS)
        while True:
            device.call("add", [1, 2])

    device = connect_sync(rig.url)
    with ThreadPoolExecutor(THREADS + 3) as pool:
        working = [pool.submit(work) for _ in range(THREADS)]
        began.wait(SECONDS)
        closing = [pool.submit(device.close) for _ in range(3)]
        for each in working:
            assert isinstance(each.exception(SECONDS), ChannelClosed)
        for end in closing:
            assert end.exception(SECONDS) is None


def test_closing_one_client_leaves_the_others(rig: Rig) -> None:
    devices = [connect_sync(rig.url) for _ in range(10)]
    assert loops() == 1
    for device in devices[1:]:
        device.close()
    assert loops() == 1
    assert devices[0].call("add", [1, 2]) == 3
    devices[0].close()
    assert loops() == 0


def test_connecting_and_closing_in_many_threads(rig: Rig) -> None:
    def work(number: int) -> int:
        with connect_sync(rig.url) as device:
            return device.call("add", [number, 1], result=int)

    with ThreadPoolExecutor(5) as pool:
        assert list(pool.map(work, range(50))) == list(range(1, 51))


def test_garbage_is_closed(rig: Rig) -> None:
    device = connect_sync(rig.url)
    device.call("add", [1, 2])
    news = device.notifications()
    (thread,) = [each for each in threading.enumerate() if each.name == "jsonrpc-iot"]
    del device, news
    gc.collect()
    thread.join(SECONDS)
    assert not thread.is_alive()


def test_a_client_that_failed_to_connect_leaves_no_thread() -> None:
    with pytest.raises(ValueError, match="scheme"):
        connect_sync("nonsense://x")  # the fixture looks for the thread


@pytest.mark.anyio
async def test_it_works_where_an_event_loop_runs(anyio_backend: tuple[str, dict[str, Any]]) -> None:
    from .rig import running

    with running() as rig, connect_sync(rig.url) as device:
        assert device.call("add", [1, 2]) == 3
        await anyio.lowlevel.checkpoint()
        assert list(device.stream("slowly", [2])) == [0, 1]
        assert await anyio.to_thread.run_sync(device.call, "add", [3, 4]) == 7
