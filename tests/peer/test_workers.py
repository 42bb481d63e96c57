"""Calls that run one after another in one task, and what ends that."""

import asyncio
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from typing import Any

import anyio
import pytest

from jsonrpc_iot import Context, Dispatcher, connect, serve
from jsonrpc_iot.peer import workers as module
from jsonrpc_iot.peer.workers import Workers
from tests.waiting import SECONDS, eventually

pytestmark = pytest.mark.anyio
pooling = pytest.mark.only_on("asyncio")

variable: ContextVar[str] = ContextVar("variable", default="nothing")


class Runs:
    """Runs jobs one at a time, and knows in which tasks."""

    def __init__(self, workers: Workers) -> None:
        self.workers = workers
        self.ids: list[int] = []

    async def run(self, work: Callable[[], Coroutine[Any, Any, object]] | None = None) -> int:
        """Which task did it."""
        done = anyio.Event()

        async def job() -> None:
            self.ids.append(anyio.get_current_task().id)
            try:
                if work is not None:
                    await work()
            finally:
                done.set()

        self.workers.start(job)
        with anyio.fail_after(SECONDS):
            await done.wait()
        await anyio.wait_all_tasks_blocked()
        return self.ids[-1]


@asynccontextmanager
async def running() -> AsyncIterator[Runs]:
    async with anyio.create_task_group() as tasks:
        runs = Runs(Workers(tasks))
        await runs.run()  # the first one, which is also there to see what is usual
        yield runs
        tasks.cancel_scope.cancel()


@pooling
async def test_one_task_does_many_jobs() -> None:
    async with running() as runs:
        first = await runs.run()
        assert {await runs.run(anyio.lowlevel.checkpoint) for _ in range(50)} == {first}


async def test_jobs_run_beside_each_other() -> None:
    gate = anyio.Event()
    at_once = 0

    async def job() -> None:
        nonlocal at_once
        at_once += 1
        await gate.wait()
        at_once -= 1

    async with anyio.create_task_group() as tasks:
        workers = Workers(tasks)
        for _ in range(3):  # more than are parked
            gate = anyio.Event()
            for _ in range(module._MOST_PARKED + 20):
                workers.start(job)
            await eventually(lambda: at_once == module._MOST_PARKED + 20)
            gate.set()
            await eventually(lambda: at_once == 0)
            await anyio.wait_all_tasks_blocked()
            assert len(workers._parked) <= module._MOST_PARKED
        tasks.cancel_scope.cancel()


kept: dict[Any, Any] = {}


async def keep_as_key() -> None:
    kept[asyncio.current_task()] = "session"


async def keep_weakly() -> None:
    kept["weak"] = weakref.ref(asyncio.current_task())


async def set_variable() -> None:
    variable.set("changed")


async def cancel_itself() -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await anyio.lowlevel.checkpoint()
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(0)


@pooling
@pytest.mark.parametrize("work", [keep_as_key, keep_weakly, set_variable, cancel_itself])
async def test_a_task_in_which_something_is_left_does_nothing_more(
    work: Callable[[], Coroutine[Any, Any, object]],
) -> None:
    async with running() as runs:
        assert await runs.run() == await runs.run()
        used = await runs.run(work)
        assert await runs.run() != used
        again = await runs.run()
        assert again != used
        assert variable.get() == "nothing"
    kept.clear()


@pooling
async def test_a_task_that_is_cancelled_late_takes_no_call_with_it() -> None:
    async with running() as runs:
        await runs.run(keep_as_key)
        (task,) = kept
        await runs.run()
        task.cancel()
        assert len({await runs.run() for _ in range(3)}) == 1
    kept.clear()


class Death(BaseException):
    pass


async def test_a_job_that_takes_its_task_along_keeps_no_other_from_beginning() -> None:
    began = []

    async def die() -> None:
        raise Death

    async def begin() -> None:
        began.append(True)

    async def run() -> None:
        async with anyio.create_task_group() as tasks:
            workers = Workers(tasks)
            for job in (begin, die, begin, begin):
                workers.start(job)

    with pytest.raises(BaseExceptionGroup) as raised:
        await run()
    assert raised.group_contains(Death)
    assert len(began) == 3


async def test_each_job_sees_the_variables_of_who_starts_it() -> None:
    seen = []

    async def look() -> None:
        seen.append(variable.get())

    async with running() as runs:
        await runs.run(look)
        token = variable.set("mine")
        await runs.run(look)
        await runs.run(look)
        variable.reset(token)
        await runs.run(look)
    assert seen == ["nothing", "mine", "mine", "nothing"]


@pooling
async def test_parked_tasks_end_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PARKED_SECONDS", 0.01)
    async with running() as runs:
        before = len(anyio.get_running_tasks())
        await runs.run()
        await eventually(lambda: not runs.workers._parked)
        await eventually(lambda: len(anyio.get_running_tasks()) < before)
        assert await runs.run()


async def test_a_cancelled_call_leaves_nothing_to_the_next() -> None:
    dispatcher = Dispatcher()
    began = anyio.Event()

    @dispatcher.method
    async def hold(context: Context) -> None:
        began.set()
        await anyio.sleep_forever()

    @dispatcher.method
    async def soon() -> bool:
        await anyio.sleep(0.001)
        return anyio.current_effective_deadline() > anyio.current_time() + SECONDS / 2

    with anyio.fail_after(SECONDS):
        async with (
            serve(dispatcher, "memory://cancelled") as server,
            connect(server.urls[0], timeout=None) as client,
        ):
            for _ in range(5):
                assert await client.call("soon")
                with anyio.move_on_after(0.01):
                    await client.call("hold", timeout=SECONDS)
                assert await client.call("soon")
                await began.wait()
