"""One thing that happens, and one task that waits for it, for as little as the event loop takes."""

from math import inf

import anyio

from .clock import asyncio_loop, now

_LATE_SECONDS = 0.01


class Signal:
    """Something that happens once, while one task waits for it.

    On asyncio it is a future and a timer, which take a fifth of what an event and a cancel scope
    do; on trio it is these.

    Attributes:
        is_set: it has happened.
        was_late: the deadline was over for a while before anybody looked, since this program was
            busy or stopped.
    """

    __slots__ = ("_event", "_future", "_loop", "is_set", "was_late")

    def __init__(self) -> None:
        self._loop = asyncio_loop()
        self._future = None if self._loop is None else self._loop.create_future()
        self._event = anyio.Event() if self._loop is None else None
        self.is_set = False
        self.was_late = False

    def set(self) -> None:
        """It has happened; nothing comes of a second time."""
        self.is_set = True
        if self._event is not None:
            self._event.set()
        else:
            self._end_wait()

    async def wait(self, deadline: float = inf) -> None:
        """Wait until it has happened, or that time is over.

        What has arrived by then is read before the deadline counts, if this program was busy.

        Args:
            deadline: as the event loop counts.
        """
        if self._loop is None or self._future is None:
            await self._wait_for_event(deadline)
            return
        if deadline == inf:
            await self._future
            return
        timer = self._loop.call_at(deadline, self._expire, deadline)
        try:
            await self._future
        finally:
            timer.cancel()

    def _expire(self, deadline: float) -> None:
        assert self._loop is not None
        late = self._loop.time() - deadline
        if late < 0:  # uvloop counts whole milliseconds
            self._loop.call_later(-late, self._expire, deadline)
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
