"""What is to be done at some time, in order; and whether clocks still go together."""

import heapq
import math
import time
from collections.abc import Callable

import anyio

from ..clock import elapsed

_REMEMBERED = 1024
_JUMP_SECONDS = 1.0


class Timers:
    """Actions and when they are due, by the event loop's clock.

    Args:
        wanted: how many of the names are still of use, to tell when the others are to be forgotten.
        is_wanted: whether a name is.
    """

    def __init__(self, wanted: Callable[[], int], is_wanted: Callable[[str], bool]) -> None:
        self._wanted = wanted
        self._is_wanted = is_wanted
        self._heap: list[tuple[float, int, str, Callable[[], object]]] = []
        self._number = 0
        self._sooner = anyio.Event()

    def at(self, when: float, name: str, action: Callable[[], object]) -> None:
        """Have something done then; with a name, only if that is still wanted."""
        if len(self._heap) > _REMEMBERED + 4 * self._wanted():
            self._heap = [each for each in self._heap if not each[2] or self._is_wanted(each[2])]
            heapq.heapify(self._heap)
        self._number += 1
        heapq.heappush(self._heap, (when, self._number, name, action))
        self._sooner.set()

    async def wait(self, latest: float) -> None:
        """Wait until something may be due, until something new comes, or until `latest`."""
        self._sooner = anyio.Event()
        due = self._heap[0][0] if self._heap else math.inf
        with anyio.CancelScope(deadline=min(due, latest)):
            await self._sooner.wait()

    def run_due(self) -> None:
        """Do what is due."""
        while self._heap and self._heap[0][0] <= anyio.current_time():
            heapq.heappop(self._heap)[3]()


class Jumps:
    """Notices that the time of day was set, or that the machine slept and its timers with it."""

    def __init__(self) -> None:
        self._apart = 0.0, 0.0

    def have_come(self) -> bool:
        """Whether a clock has jumped since this was asked last."""
        now = time.time() - elapsed(), anyio.current_time() - elapsed()
        if all(abs(a - b) < _JUMP_SECONDS for a, b in zip(now, self._apart, strict=True)):
            return False
        self._apart = now
        return True
