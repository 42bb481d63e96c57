"""What waits to be sent over one channel.

Whoever has something to send while nobody else is sending sends it there and then, with all that
piles up meanwhile; there is no writer task that sits and waits. A send that is under way is never
cancelled by a caller who gives up, since half a message would break the stream for everybody.
"""

from collections.abc import Callable, Sequence

import anyio
from anyio.abc import TaskGroup

from .channel import Channel

BROKEN = (anyio.BrokenResourceError, anyio.ClosedResourceError)


class Outgoing:
    """The sending half of a peer.

    Args:
        channel: takes the messages.
        limit: bytes that may wait.
        on_broken: is called once, when the channel takes no more.

    Attributes:
        dropped: messages that were pushed while too many bytes waited.
        busy: a write is under way.
        writes: how many writes have ended.
    """

    __slots__ = (
        "_broken",
        "_bytes",
        "_channel",
        "_limit",
        "_on_broken",
        "_queue",
        "_room",
        "busy",
        "dropped",
        "writes",
    )

    def __init__(self, channel: Channel, limit: int, on_broken: Callable[[], object]) -> None:
        self._channel = channel
        self._limit = limit
        self._on_broken = on_broken
        self._queue: list[bytes] = []
        self._bytes = 0
        self._room: anyio.Event | None = None
        self._broken = False
        self.busy = False
        self.writes = 0
        self.dropped = 0

    async def send(self, messages: Sequence[bytes]) -> None:
        """Send messages; returns when they are sent or have room to wait.

        For tasks that nobody cancels while the channel lives. Says nothing when the channel is
        broken: `on_broken` does.
        """
        if self.busy or self._queue:
            self._queue.extend(messages)
            self._bytes += sum(map(len, messages))
            await (self.wait_for_room() if self.busy else self._flush())
            return
        self.busy = True
        try:
            await self._channel.send_batch(messages)
        except BROKEN:
            self._break()
        finally:
            self._end_write()
        if self._queue:
            await self._flush()

    def push(self, message: bytes, tasks: TaskGroup) -> None:
        """Send a message from a task of its own, so that the caller neither waits nor blocks it."""
        self._queue.append(message)
        self._bytes += len(message)
        if not self.busy:
            self.busy = True
            tasks.start_soon(self._flush)

    def offer(self, message: bytes, tasks: TaskGroup) -> bool:
        """Push a message, or drop and count it when too many bytes wait.

        Returns:
            Whether it was pushed.
        """
        if self._bytes + len(message) > self._limit:
            self.dropped += 1
            return False
        self.push(message, tasks)
        return True

    async def wait_for_room(self) -> None:
        """Wait until not too many bytes wait."""
        while self._bytes > self._limit and not self._broken:
            await self._next_write()

    async def drain(self) -> None:
        """Wait until all that waits is sent."""
        while self.busy and not self._broken:
            await self._next_write()

    async def _next_write(self) -> None:
        self._room = self._room or anyio.Event()
        await self._room.wait()

    async def _flush(self) -> None:
        self.busy = True
        try:
            while self._queue and not self._broken:
                messages, self._queue = self._queue, []
                await self._channel.send_batch(messages)
                self._bytes -= sum(map(len, messages))
                self._end_write()
                self.busy = True
        except BROKEN:
            self._break()
        finally:
            self._end_write()

    def _end_write(self) -> None:
        self.busy = False
        self.writes += 1
        if self._room is not None:
            self._room.set()
            self._room = None

    def _break(self) -> None:
        self._broken = True
        self._on_broken()
