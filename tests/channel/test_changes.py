"""Waiting until something has changed."""

import anyio
import pytest

from jsonrpc_iot.channel.changes import Change

pytestmark = pytest.mark.anyio


async def test_a_change_wakes_all_who_wait_and_nobody_later() -> None:
    change = Change()
    woken: list[str] = []

    async def wait(name: str) -> None:
        await change.wait()
        woken.append(name)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            change.notify()
            tasks.start_soon(wait, "a")
            tasks.start_soon(wait, "b")
            await anyio.wait_all_tasks_blocked()
            assert not woken
            change.notify()
            tasks.start_soon(wait, "later")
            await anyio.wait_all_tasks_blocked()
            assert sorted(woken) == ["a", "b"]
            change.notify()
        assert woken[-1] == "later"


async def test_one_who_waits_no_more_keeps_nobody_from_being_woken() -> None:
    change = Change()
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(change.wait)
            await anyio.wait_all_tasks_blocked()
            with anyio.move_on_after(0) as gave_up:
                await change.wait()
            assert gave_up.cancelled_caught
            change.notify()


def test_it_may_be_told_where_no_loop_runs() -> None:
    Change().notify()
