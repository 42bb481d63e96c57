"""Tasks that run one call after another, so that not each call costs a task of its own.

While a call runs, it has its task for itself. A task goes on to the next call only if nothing of
the one before is left in it: its context variables are what they were, it was not cancelled, and
nobody has kept the task, to cancel it later or as the key of something. Such a task ends instead.
"""

import sys
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any
from weakref import getweakrefcount

from anyio.abc import TaskGroup

from ..channel.clock import asyncio_loop, now
from ..channel.signal import Signal

if TYPE_CHECKING:
    from asyncio import Task, TimerHandle

Job = Callable[[], Coroutine[Any, Any, object]]

_MOST_PARKED = 64
_PARKED_SECONDS = 1.0


class _Worker:
    """One task.

    Attributes:
        task: of asyncio.
        context: in which it was started.
        job: what to do next, `None` for nothing more.
        is_fresh: it has not done anything yet.
        parked_at: when it began to wait, as the event loop counts.
        woken: there is a job, or it has waited for long enough.
    """

    __slots__ = ("context", "is_fresh", "job", "parked_at", "task", "woken")

    def __init__(self, task: "Task[object]") -> None:
        self.task = task
        self.context: Context = copy_context()
        self.job: Job | None = None
        self.is_fresh = True
        self.parked_at = 0.0
        self.woken = Signal()

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
    """

    __slots__ = ("_parked", "_sweep", "_tasks", "_usual")

    def __init__(self, tasks: TaskGroup) -> None:
        self._tasks = tasks
        self._parked: list[_Worker] = []
        self._sweep: TimerHandle | None = None
        self._usual: tuple[int, int] | None = None  # references to the task of one that is parked

    def start(self, job: Job) -> None:
        """Do a job, as `TaskGroup.start_soon` does, in the present context."""
        worker = self._take()
        if worker is not None:
            worker.job = job
            worker.woken.set()
        elif not _counts_references() or asyncio_loop() is None:
            self._tasks.start_soon(job)
        else:
            self._tasks.start_soon(self._work, job)
            if self._usual is None and not any(worker.is_fresh for worker in self._parked):
                self._tasks.start_soon(self._work, None)  # to see what is usual

    def _take(self) -> _Worker | None:
        """A parked worker with nothing left in it, if there is one."""
        while self._parked and self._parked[-1].context == copy_context():
            worker = self._parked.pop()
            if worker.is_fresh:
                self._usual = worker.references
            if worker.references == self._usual:
                return worker
            worker.woken.set()
        return None

    async def _work(self, job: Job | None) -> None:
        worker = _Worker(sys.modules["asyncio"].current_task())
        while True:
            if job is not None:
                await job()
                worker.is_fresh = False
            del job  # it may refer to much
            if worker.task.cancelling() or worker.context != copy_context():
                return
            job = await self._park(worker)
            if job is None:
                return

    async def _park(self, worker: _Worker) -> Job | None:
        """Wait for the next job for a while."""
        if len(self._parked) >= _MOST_PARKED:
            return None
        worker.woken = Signal()
        worker.parked_at = now()
        self._parked.append(worker)
        if self._sweep is None:
            self._sweep_later()
        try:
            await worker.woken.wait()
        except BaseException:
            if worker in self._parked:
                self._parked.remove(worker)
            raise
        job, worker.job = worker.job, None
        return job

    def _sweep_later(self) -> None:
        loop = asyncio_loop()
        assert loop is not None
        self._sweep = loop.call_later(_PARKED_SECONDS, self._end_idle)

    def _end_idle(self) -> None:
        """Let those go that have been parked for a while: the first ones, as the last is taken."""
        self._sweep = None
        parked, since = self._parked, now() - _PARKED_SECONDS
        self._parked = [worker for worker in parked if worker.parked_at > since]
        for worker in parked:
            if worker.parked_at <= since:
                worker.woken.set()
        if self._parked:
            self._sweep_later()


def _counts_references() -> bool:
    has_lock: Callable[[], bool] = getattr(sys, "_is_gil_enabled", lambda: True)
    return sys.implementation.name == "cpython" and has_lock()
