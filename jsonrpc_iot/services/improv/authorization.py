"""Whether somebody has pressed the device's button lately, or done what it wants in its place."""

import math
from collections.abc import Callable

import anyio
from anyio.abc import TaskGroup

AUTHORIZED_SECONDS = 60.0
"""How long a press counts, as the standard suggests."""

_MOST_TIMES = 5  # so long, however often it is prolonged: whoever is near may do that


class Authorization:
    """For those who come over Bluetooth, as whoever is near may.

    Args:
        seconds: how long a press counts.
    """

    def __init__(self, seconds: float = AUTHORIZED_SECONDS) -> None:
        self._seconds = seconds
        self._ends_at = -math.inf
        self._expiring: anyio.CancelScope | None = None
        self._watchers: list[Callable[[], object]] = []

    @property
    def is_given(self) -> bool:
        """Whether it counts now."""
        return self._expiring is not None

    def watch(self, watcher: Callable[[], object]) -> Callable[[], None]:
        """Have it told when that changes.

        Args:
            watcher: must not wait.

        Returns:
            What ends that.
        """
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def give(self, tasks: TaskGroup) -> None:
        """The button was pressed; once more, and the time starts over.

        Args:
            tasks: measure the time.
        """
        self._ends_at = anyio.current_time() + _MOST_TIMES * self._seconds
        self._begin(tasks)

    def prolong(self, tasks: TaskGroup) -> None:
        """The time starts over for another try, if it counts; but not for ever.

        Args:
            tasks: measure the time.
        """
        if self._expiring is not None:
            self._begin(tasks)

    def _begin(self, tasks: TaskGroup) -> None:
        if self._expiring is not None:
            self._expiring.cancel()
        self._expiring = anyio.CancelScope()
        until = min(anyio.current_time() + self._seconds, self._ends_at)
        tasks.start_soon(self._expire, self._expiring, until)
        self._tell()

    async def _expire(self, scope: anyio.CancelScope, until: float) -> None:
        with scope:
            await anyio.sleep_until(until)
            self._expiring = None
            self._tell()

    def _tell(self) -> None:
        for watcher in tuple(self._watchers):
            watcher()
