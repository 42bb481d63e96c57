"""A channel whose messages a Bluetooth library hands in one by one, from callbacks."""

import asyncio
from collections.abc import Mapping
from typing import NoReturn

import anyio
import anyio.lowlevel

from ...channel.info import ChannelInfo
from ..batched import BatchedChannel
from ..inbox import Inbox

WAITING_MESSAGES = 256
"""What may wait where the other end can be told that it is to wait."""


class CallbackChannel(BatchedChannel):
    """A channel with a bounded queue that `queue` fills; a transport implements the sending.

    Args:
        info: the facts about it.

    Attributes:
        has_taken: whether a message has come.
        dropped: messages that came while the queue was full, and of which the other end may know.
    """

    def __init__(self, info: ChannelInfo) -> None:
        super().__init__()
        self._info = info
        self.has_taken = False
        self.dropped = 0
        self._inbox = Inbox(info)
        self._news = asyncio.Event()
        self._is_closed = False
        self._is_lost = False

    @property
    def missed(self) -> int:
        """See `Channel.missed`."""
        return self._inbox.dropped

    @property
    def drops(self) -> Mapping[str, int]:
        """See `Channel.drops`."""
        return {"too_fast": self.dropped + self.missed}

    def queue(self, message: bytes) -> bool:
        """Put a message into the queue, at once; says whether there was room."""
        if len(self._inbox) >= WAITING_MESSAGES:
            self.has_taken = True
            self.dropped += 1
            return False
        return self.queue_unasked(message)

    def queue_unasked(self, message: bytes) -> bool:
        """The same for what comes from an end that cannot be told to wait."""
        self.has_taken = True
        taken = self._inbox.put(message)
        self._news.set()
        return taken

    def lose(self) -> None:
        """The link is gone; what has come before may still be received."""
        self._is_lost = True
        self._news.set()

    async def _next_batch(self) -> list[bytes]:
        await anyio.lowlevel.checkpoint()
        while True:
            if self._is_closed:
                self._gone()
            if self._inbox:
                return self._inbox.take()
            if self._is_lost:
                self._gone()
            self._news.clear()
            await self._news.wait()

    def _close(self) -> bool:
        """Mark this end as closed; says whether it was open."""
        was_open, self._is_closed = not self._is_closed, True
        self._inbox.take()
        self._news.set()
        return was_open

    def _check(self) -> None:
        if self._is_closed or self._is_lost:
            self._gone()

    def _gone(self) -> NoReturn:
        raise anyio.ClosedResourceError if self._is_closed else anyio.BrokenResourceError
