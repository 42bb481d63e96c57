"""First come, first served: the order in which serial calls run, and limited requests leave."""

from collections import deque
from collections.abc import Callable

import anyio


class Turn:
    """A place in the queue, taken when the call arrives and held until it is over."""

    __slots__ = ("_at_once", "_queue", "_ready")

    def __init__(self, queue: "deque[Turn]", at_once: int) -> None:
        self._queue = queue
        self._at_once = at_once
        self._ready: anyio.Event | None = None
        queue.append(self)

    async def come(self) -> None:
        """Wait until all who came before have left, or all but so many as may run at once."""
        if self._queue.index(self) >= self._at_once:
            self._ready = anyio.Event()
            await self._ready.wait()

    def leave(self) -> None:
        """Give up the place, wherever in the queue it is."""
        self._queue.remove(self)
        if len(self._queue) >= self._at_once:
            self._queue[self._at_once - 1].wake()

    def wake(self) -> None:
        """Let whoever waits in `come` go on."""
        if self._ready is not None:
            self._ready.set()


class Turns:
    """The queue of one peer.

    anyio's Lock and CapacityLimiter would do, were it not that trio starts the tasks of one batch
    in random order.
    """

    __slots__ = ("_queue",)

    def __init__(self) -> None:
        self._queue: deque[Turn] | None = None

    def take(self, at_once: int = 1) -> Turn:
        """Take the next place.

        Args:
            at_once: how many may hold a turn at once; the same each time.
        """
        if self._queue is None:
            self._queue = deque()
        return Turn(self._queue, at_once)

    def wake_all(self) -> None:
        """Let all who wait go on, because there is nothing to wait for any more."""
        for turn in self._queue or ():
            turn.wake()


class Lanes:
    """The queues of one caller, made when they are needed, since most callers are idle."""

    __slots__ = ("_plain", "_serial")

    def __init__(self) -> None:
        self._serial: Turns | None = None
        self._plain: Turns | None = None

    @property
    def serial(self) -> Turns:
        """The order of its serial calls."""
        self._serial = self._serial or Turns()
        return self._serial

    @property
    def plain(self) -> Turns:
        """The order of its calls of plain functions, where those have to wait."""
        self._plain = self._plain or Turns()
        return self._plain


class Hold:
    """Something that is given up when the last of its holders lets go.

    Args:
        give_up: called then.
    """

    __slots__ = ("_give_up", "_holders")

    def __init__(self, give_up: Callable[[], None]) -> None:
        self._give_up = give_up
        self._holders = 1

    def take(self) -> None:
        """Become a holder, one more than before."""
        self._holders += 1

    def let_go(self) -> None:
        """Be a holder no longer."""
        self._holders -= 1
        if not self._holders:
            self._give_up()
