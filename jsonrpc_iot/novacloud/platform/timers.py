"""What is to be done at some time, in order."""

import heapq
import math
from collections.abc import Callable

import anyio

_REMEMBERED = 1024


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
