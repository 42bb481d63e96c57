"""Waiting for one thing, no shorter and no longer than it is said."""

import anyio
import pytest

from jsonrpc_iot.channel.clock import now
from jsonrpc_iot.channel.signal import Signal
from tests.waiting import SECONDS

pytestmark = pytest.mark.anyio


async def test_nobody_is_woken_before_the_deadline() -> None:
    for number in range(50):
        deadline = now() + 0.001 + number / 100_000
        signal = Signal()
        await signal.wait(deadline)
        assert now() >= deadline
        assert not signal.is_set


async def test_who_waits_is_woken_when_it_happens() -> None:
    signal = Signal()
    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(signal.wait, now() + 10 * SECONDS)
            await anyio.wait_all_tasks_blocked()
            signal.set()
    assert signal.is_set
    assert not signal.was_late


async def test_what_has_happened_already_is_not_waited_for() -> None:
    signal = Signal()
    signal.set()
    signal.set()
    with anyio.fail_after(SECONDS):
        await signal.wait()


async def test_a_wait_that_is_cancelled_ends() -> None:
    with anyio.move_on_after(0.01) as scope:
        await Signal().wait()
    assert scope.cancelled_caught
