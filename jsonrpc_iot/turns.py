"""First come, first served: the order in which a peer's serial calls run."""

from collections import deque

import anyio


class Turn:
    """A place in the queue, taken when the call arrives and held until it is over."""

    __slots__ = ("_queue", "_ready")

    def __init__(self, queue: "deque[Turn]") -> None:
        self._queue = queue
        self._ready: anyio.Event | None = None
        queue.append(self)

    async def come(self) -> None:
        """Wait until all who came before have left."""
        if self._queue[0] is not self:
            self._ready = anyio.Event()
            await self._ready.wait()

    def leave(self) -> None:
        """Give up the place, wherever in the queue it is."""
        was_first = self._queue[0] is self
        self._queue.remove(self)
        if was_first and self._queue and (ready := self._queue[0]._ready) is not None:
            ready.set()


class Turns:
    """The queue of one peer.

    anyio's Lock would do, were it not that trio starts the tasks of one batch in random order.
    """

    __slots__ = ("_queue",)

    def __init__(self) -> None:
        self._queue: deque[Turn] | None = None

    def take(self) -> Turn:
        """Take the next place."""
        if self._queue is None:
            self._queue = deque()
        return Turn(self._queue)
