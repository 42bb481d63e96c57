"""One thing that happens, and one task that waits for it, for as little as the event loop takes."""

from heapq import heapify, heappop, heappush
from itertools import count
from math import inf
from typing import TYPE_CHECKING

import anyio

from .clock import asyncio_loop, now

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, TimerHandle

_LATE_SECONDS = 0.01
_TIDIED_AFTER = 64


class Signal:
    """Something that happens once, while one task waits for it.

    On asyncio it is a future and a timer, which take a fifth of what an event and a cancel scope
    do; on trio it is these.

    Args:
        loop: the running event loop of asyncio, by whom it is known already.

    Attributes:
        is_set: it has happened.
        was_late: the deadline was over for a while before anybody looked, since this program was
            busy or stopped.
    """

    __slots__ = ("_event", "_future", "_loop", "is_set", "was_late")

    def __init__(self, loop: "AbstractEventLoop | None" = None) -> None:
        self._loop = loop = asyncio_loop() if loop is None else loop
        self._future = None if loop is None else loop.create_future()
        self._event = anyio.Event() if loop is None else None
        self.is_set = False
        self.was_late = False

    def set(self) -> None:
        """It has happened; nothing comes of a second time."""
        self.is_set = True
        if self._event is not None:
            self._event.set()
        elif self._future is not None and not self._future.done():
            self._future.set_result(None)

    @property
    def is_over(self) -> bool:
        """Whether nobody waits any more, on asyncio."""
        return self._future is None or self._future.done()

    async def wait(self, deadline: float = inf, deadlines: "Deadlines | None" = None) -> None:
        """Wait until it has happened, or that time is over.

        What has arrived by then is read before the deadline counts, if this program was busy.

        Args:
            deadline: as the event loop counts.
            deadlines: has a timer for it, which many share; by default there is one for it alone.
        """
        if self._loop is None or self._future is None:
            await self._wait_for_event(deadline)
            return
        if deadline == inf:
            await self._future
            return
        if deadlines is not None:
            deadlines.add(deadline, self)
            try:
                await self._future
            finally:
                deadlines.note_over()
            return
        timer = self._loop.call_at(deadline, self.expire, deadline)
        try:
            await self._future
        finally:
            timer.cancel()

    def expire(self, deadline: float) -> None:
        """End the wait, now that the deadline is over."""
        assert self._loop is not None
        late = self._loop.time() - deadline
        if late < 0:  # uvloop counts whole milliseconds
            self._loop.call_later(-late, self.expire, deadline)
        elif late > _LATE_SECONDS and not self.was_late:
            self.was_late = True
            self._loop.call_later(_LATE_SECONDS, self._end_wait)
        else:
            self._end_wait()

    def _end_wait(self) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    async def _wait_for_event(self, deadline: float) -> None:
        assert self._event is not None
        with anyio.CancelScope(deadline=deadline):
            await self._event.wait()
        if not self.is_set and now() > deadline + _LATE_SECONDS:
            self.was_late = True
            with anyio.move_on_after(_LATE_SECONDS):
                await self._event.wait()


class Deadlines:
    """When to end which waits, with one timer of asyncio's loop for all.

    Most signals are set long before their deadline, and a timer for each takes longer than all the
    rest of waiting. So this one is set for the earliest deadline there was, and looks then.

    Args:
        loop: the running event loop.
    """

    __slots__ = ("_due", "_loop", "_number", "_open", "_timer", "_waits")

    def __init__(self, loop: "AbstractEventLoop") -> None:
        self._loop = loop
        self._waits: list[tuple[float, int, Signal]] = []  # a heap
        self._number = count()
        self._open = 0  # as many are still waited for, nearly all of them among these
        self._timer: TimerHandle | None = None
        self._due = inf

    def __len__(self) -> int:
        """How many are remembered; a few of them may be over."""
        return len(self._waits)

    def add(self, deadline: float, signal: Signal) -> None:
        """End the wait for a signal then.

        Args:
            deadline: as the event loop counts.
            signal: is waited for, until `note_over`.
        """
        heappush(self._waits, (deadline, next(self._number), signal))
        self._open += 1
        if deadline < self._due:
            self._set(deadline)

    def note_over(self) -> None:
        """Note that a wait is over."""
        self._open -= 1
        if not self._open:
            self._waits.clear()
        elif len(self._waits) > _TIDIED_AFTER + 2 * self._open:
            self._waits = [each for each in self._waits if not each[2].is_over]
            heapify(self._waits)

    def close(self) -> None:
        """Forget all, now that nobody waits."""
        self._waits.clear()
        self._set(inf)

    def _set(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = None if due == inf else self._loop.call_at(due, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        while self._waits and (self._waits[0][2].is_over or self._waits[0][0] <= now):
            deadline, _, signal = heappop(self._waits)
            if not signal.is_over:
                signal.expire(deadline)
        self._set(self._waits[0][0] if self._waits else inf)
