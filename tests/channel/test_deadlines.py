"""One timer for all who wait, each no longer than it said."""

import asyncio

import anyio
import pytest

from jsonrpc_iot.channel.clock import now
from jsonrpc_iot.channel.signal import Deadlines, Signal
from tests.waiting import SECONDS

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]


async def _wait(deadlines: Deadlines, deadline: float, ended: list[float]) -> None:
    await Signal().wait(deadline, deadlines)
    assert now() >= deadline
    ended.append(deadline)


async def test_each_wait_ends_at_its_own_deadline(anyio_backend: str) -> None:
    deadlines = Deadlines(asyncio.get_running_loop())
    ended: list[float] = []
    begin = now()
    after = [0.03, 0.01, 0.05, 0.02, 0.01]
    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks:
            for seconds in after:
                tasks.start_soon(_wait, deadlines, begin + seconds, ended)
    assert sorted(ended) == sorted(begin + seconds for seconds in after)


async def test_one_that_is_set_leaves_the_others_their_deadlines(anyio_backend: str) -> None:
    deadlines = Deadlines(asyncio.get_running_loop())
    ended: list[float] = []
    first, soon = Signal(), now() + 0.02
    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first.wait, now() + 0.01, deadlines)
            tasks.start_soon(_wait, deadlines, soon, ended)
            await anyio.wait_all_tasks_blocked()
            first.set()
    assert ended == [soon]
    assert first.is_set
    assert not first.was_late


async def test_an_earlier_deadline_is_not_kept_waiting_by_a_later_one(anyio_backend: str) -> None:
    deadlines = Deadlines(asyncio.get_running_loop())
    late = Signal()
    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(late.wait, now() + 10 * SECONDS, deadlines)
            await anyio.wait_all_tasks_blocked()
            await Signal().wait(now() + 0.01, deadlines)
            late.set()


async def test_waits_that_are_over_are_forgotten(anyio_backend: str) -> None:
    deadlines = Deadlines(asyncio.get_running_loop())
    for _ in range(1000):
        signal = Signal()
        asyncio.get_running_loop().call_soon(signal.set)
        await signal.wait(now() + SECONDS, deadlines)
    assert len(deadlines) < 200


async def test_one_that_is_cancelled_is_over(anyio_backend: str) -> None:
    deadlines = Deadlines(asyncio.get_running_loop())
    with anyio.move_on_after(0.01) as scope:
        await Signal().wait(now() + 0.02, deadlines)
    assert scope.cancelled_caught
    ended: list[float] = []
    with anyio.fail_after(SECONDS):
        await _wait(deadlines, now() + 0.03, ended)
    assert len(ended) == 1
    assert len(deadlines) == 0


async def test_nobody_is_looked_for_after_the_end(anyio_backend: str) -> None:
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(loop)
    signal = Signal()
    loop.call_soon(signal.set)
    await signal.wait(now() + SECONDS, deadlines)
    deadlines.close()
    assert len(deadlines) == 0
    await Signal().wait(now() + 0.01, deadlines)
