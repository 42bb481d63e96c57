"""Group commit: what is committed together, what waits, and what is never begun."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio
import pytest

from jsonrpc_iot.novacloud.group_commit import Entry, GroupCommit
from tests.waiting import SECONDS

pytestmark = pytest.mark.anyio


class Disk:
    """Commits numbers, at most `room` of them, once it is told to go on.

    Attributes:
        groups: what was committed.
        commit: takes numbers.
    """

    def __init__(self, most: int | None = None) -> None:
        self.groups: list[list[int]] = []
        self.room = 1000
        self.began = anyio.Event()
        self.goes_on = anyio.Event()
        self.commit = GroupCommit(self._write, lambda: ValueError("closed"), most)

    async def _write(self, group: Sequence[Entry[int, str]]) -> int:
        self.began.set()
        await self.goes_on.wait()
        fitting = group[: self.room]
        self.room -= len(fitting)
        self.groups.append([entry.work for entry in fitting])
        for entry in fitting:
            entry.result = str(entry.work)
        return len(fitting)


@asynccontextmanager
async def running(disk: Disk) -> AsyncIterator[anyio.abc.TaskGroup]:
    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(disk.commit.run)
            yield tasks
            disk.commit.close()


async def test_what_comes_during_a_commit_goes_into_the_next_ones() -> None:
    disk = Disk(most=2)
    results = []

    async def do(number: int) -> None:
        results.append(await disk.commit.do(number))

    async with running(disk) as tasks:
        tasks.start_soon(do, 0)
        await disk.began.wait()
        for number in range(1, 4):
            tasks.start_soon(do, number)
        await anyio.wait_all_tasks_blocked()
        disk.goes_on.set()
    assert sorted(results) == ["0", "1", "2", "3"]
    assert [len(group) for group in disk.groups] == [1, 2, 1]


async def test_who_stops_waiting_before_it_begins_has_asked_for_nothing() -> None:
    disk = Disk()
    async with running(disk) as tasks:
        tasks.start_soon(disk.commit.do, 0)
        await disk.began.wait()
        with anyio.CancelScope() as scope:
            scope.cancel()
            await disk.commit.do(1)
        disk.goes_on.set()
        assert await disk.commit.do(2) == "2"
    assert disk.groups == [[0], [2]]


async def test_what_does_not_fit_waits_for_room_and_fails_at_the_end() -> None:
    disk = Disk()
    disk.room = 1
    disk.goes_on.set()
    failures = []

    async def fail(number: int) -> None:
        with pytest.raises(ValueError, match="closed"):
            await disk.commit.do(number)
        failures.append(number)

    async with running(disk) as tasks:
        await disk.commit.do(0)
        with anyio.move_on_after(SECONDS) as scope:
            async with anyio.create_task_group() as waiting:
                waiting.start_soon(disk.commit.do, 1)
                await anyio.wait_all_tasks_blocked()
                disk.room = 1
                disk.commit.poke()
        assert not scope.cancelled_caught
        tasks.start_soon(fail, 2)
        await anyio.wait_all_tasks_blocked()
    assert failures == [2]
    assert [group for group in disk.groups if group] == [[0], [1]]
    with pytest.raises(ValueError, match="closed"):
        await disk.commit.do(3)


async def test_a_poke_has_a_commit_made_of_nothing() -> None:
    disk = Disk()
    disk.goes_on.set()
    async with running(disk):
        await anyio.wait_all_tasks_blocked()
        assert not disk.began.is_set()
        disk.commit.poke()
        await disk.began.wait()
    assert disk.groups == [[]]


async def test_a_commit_with_a_fault_costs_its_group_alone() -> None:
    disk = Disk()
    disk.goes_on.set()
    async with running(disk):
        disk.room = None  # type: ignore[assignment]
        with pytest.raises(TypeError):
            await disk.commit.do(1)
        disk.room = 1
        assert await disk.commit.do(2) == "2"
