"""Tasks that run one call after another, so that not each call costs a task of its own.

While a call runs, it has its task for itself. A task goes on to the next call only if nothing of
the one before is left in it: its context variables are what they were, it was not cancelled, and
nobody has kept the task, to cancel it later or as the key of something. Such a task ends instead.

What is to be done stands in a queue, and one task begins with it. When a call has to wait, others
are woken for those behind it; until then the same task goes on to the next. So calls that do not
wait cost no change of tasks either.
"""

import sys
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextlib import ExitStack
from contextvars import Context, copy_context
from types import coroutine
from typing import TYPE_CHECKING, Any
from weakref import getweakrefcount

from anyio.abc import TaskGroup

from ..channel.clock import asyncio_loop
from ..dispatch.run.call import NewScope, new_scope
from .shelter import Shelter

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future, Task, TimerHandle

Job = Callable[[], Coroutine[Any, Any, object]]

_MOST_PARKED = 128
_PARKED_SECONDS = 1.0


class _Worker:
    """One task.

    Attributes:
        task: of asyncio.
        context: in which it was started.
        is_fresh: it has not done anything yet.
        shelter: the scope of its jobs.
        parked_at: when it began to wait, as the event loop counts.
        is_needed: it was woken since there is something to do.
        woken: so it was, or it has waited for long enough; while it is parked.
    """

    __slots__ = ("context", "is_fresh", "is_needed", "parked_at", "shelter", "task", "woken")

    def __init__(self, task: "Task[object]") -> None:
        self.task = task
        self.context: Context = copy_context()
        self.is_fresh = True
        self.shelter = Shelter()
        self.parked_at = 0.0
        self.is_needed = False
        self.woken: Future[None] | None = None

    def wake(self) -> None:
        """Let it go on, where it is parked."""
        if self.woken is not None and not self.woken.done():
            self.woken.set_result(None)

    @property
    def references(self) -> tuple[int, int]:
        """How many there are to the task; what is more than usual is somebody's else."""
        return sys.getrefcount(self.task), getweakrefcount(self.task)


class Workers:
    """The workers of one task group.

    Where it cannot be told who keeps a task, which is everywhere but on CPython and asyncio, each
    job has a task of its own.

    Args:
        tasks: runs them.

    Attributes:
        new_scope: opens a scope for a job that has just begun, and only in its first step.
    """

    __slots__ = (
        "_jobs",
        "_loop",
        "_parked",
        "_sweep",
        "_tasks",
        "_usual",
        "_woken",
        "new_scope",
    )

    def __init__(self, tasks: TaskGroup) -> None:
        self._tasks = tasks
        # Where workers are shared.
        self._loop: AbstractEventLoop | None = asyncio_loop() if _counts_references() else None
        self._jobs: deque[tuple[Context, Job]] = deque()
        self.new_scope: NewScope = new_scope
        self._woken = 0  # workers that are about to look at the jobs
        self._parked: list[_Worker] = []
        self._sweep: TimerHandle | None = None
        self._usual: tuple[int, int] | None = None  # references to the task of one that is parked

    def start(self, job: Job) -> None:
        """Do a job, as `TaskGroup.start_soon` does, in the present context."""
        if self._loop is None:
            self._tasks.start_soon(job)
            return
        self._jobs.append((copy_context(), job))
        if not self._woken:
            self._wake(self._jobs[0][0])
            if self._usual is None and not any(worker.is_fresh for worker in self._parked):
                self._tasks.start_soon(self._park_first)  # to see what is usual

    def _wake_for_all(self) -> None:
        """Have somebody for each job."""
        jobs = self._jobs
        for place in range(self._woken, len(jobs)):
            self._wake(jobs[place][0])

    def _wake(self, context: Context) -> None:
        """Have somebody look at the jobs, who can do one of that context."""
        self._woken += 1
        while self._parked and self._parked[-1].context == context:
            worker = self._parked.pop()
            if worker.is_fresh:
                self._usual = worker.references
            worker.is_needed = worker.references == self._usual
            worker.wake()
            if worker.is_needed:
                return
        context.run(_start_soon, self._tasks, self._work)

    async def _work(self) -> None:
        worker = _Worker(sys.modules["asyncio"].current_task())
        self._woken -= 1
        with ExitStack() as stack:
            stack.push(worker.shelter.close)
            while await self._do_jobs(worker) and await self._park(worker):
                self._woken -= 1

    async def _park_first(self) -> None:
        worker = _Worker(sys.modules["asyncio"].current_task())
        with ExitStack() as stack:
            stack.push(worker.shelter.close)
            while await self._park(worker):
                self._woken -= 1
                if not await self._do_jobs(worker):
                    return

    async def _do_jobs(self, worker: _Worker) -> bool:
        """Do what there is to do; says whether the worker may do more after that."""
        while self._jobs:
            context, job = self._jobs[0]
            if context != worker.context:
                break
            del self._jobs[0]
            before = worker.references if self._jobs else None
            worker.is_fresh = False
            self.new_scope = worker.shelter
            try:
                has_waited = await _run(job(), self._wake_for_all)
            except BaseException:  # which takes the task along
                self._wake_for_all()
                raise
            del job  # it may refer to much
            if worker.shelter.is_closed or worker.task.cancelling():
                break
            if worker.context != copy_context():
                break
            if has_waited or before is None:  # what is left in the task is seen when it is parked
                return True
            if worker.references != before:
                break
        else:
            return True
        self._wake_for_all()
        return False

    async def _park(self, worker: _Worker) -> bool:
        """Wait for a job for a while; says whether there may be one."""
        if len(self._parked) >= _MOST_PARKED:
            return False
        assert self._loop is not None
        worker.woken = self._loop.create_future()
        worker.is_needed = False
        worker.parked_at = self._loop.time()
        self._parked.append(worker)
        if self._sweep is None:
            self._sweep_later(self._loop)
        try:
            await worker.woken
        except BaseException:
            if worker in self._parked:
                self._parked.remove(worker)
            if worker.is_needed:
                self._woken -= 1
                self._wake_for_all()
            raise
        return worker.is_needed

    def _sweep_later(self, loop: "AbstractEventLoop") -> None:
        self._sweep = loop.call_later(_PARKED_SECONDS, self._end_idle, loop)

    def _end_idle(self, loop: "AbstractEventLoop") -> None:
        """Let those go that have been parked for a while: the first ones, as the last is taken."""
        self._sweep = None
        parked, since = self._parked, loop.time() - _PARKED_SECONDS
        self._parked = [worker for worker in parked if worker.parked_at > since]
        for worker in parked:
            if worker.parked_at <= since:
                worker.wake()
        if self._parked:
            self._sweep_later(loop)


def _start_soon(tasks: TaskGroup, work: Job) -> None:
    tasks.start_soon(work)


@coroutine
def _run(
    job: Coroutine[Any, Any, object], on_wait: Callable[[], None]
) -> Generator[Any, None, bool]:
    """Run a coroutine; says whether it has waited for anything, and before it does."""
    try:
        awaited = job.send(None)
    except StopIteration:
        return False
    on_wait()
    try:
        while True:
            try:
                yield awaited
            except BaseException as error:  # noqa: BLE001  # whoever waits gets it
                awaited = job.throw(error)
            else:
                awaited = job.send(None)
    except StopIteration:
        return True


def _counts_references() -> bool:
    has_lock: Callable[[], bool] = getattr(sys, "_is_gil_enabled", lambda: True)
    return sys.implementation.name == "cpython" and has_lock()
