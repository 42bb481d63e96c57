"""A channel whose messages a Bluetooth library hands in one by one, from callbacks."""

import asyncio
from collections import deque
from typing import NoReturn

import anyio
import anyio.lowlevel

from ...channel.info import ChannelInfo
from ..batched import BatchedChannel

WAITING_MESSAGES = 256


class CallbackChannel(BatchedChannel):
    """A channel with a bounded queue that `queue` fills; a transport implements the sending.

    Args:
        info: the facts about it.
        waiting: messages that may wait for whoever receives.

    Attributes:
        has_taken: whether a message has come.
        dropped: messages that came while the queue was full.
    """

    def __init__(self, info: ChannelInfo, *, waiting: int = WAITING_MESSAGES) -> None:
        super().__init__()
        self._info = info
        self.has_taken = False
        self.dropped = 0
        self._messages: deque[bytes] = deque()
        self._room = waiting
        self._news = asyncio.Event()
        self._is_closed = False
        self._is_lost = False

    def queue(self, message: bytes) -> bool:
        """Put a message into the queue, at once; says whether there was room."""
        self.has_taken = True
        if len(self._messages) >= self._room:
            self.dropped += 1
            return False
        self._messages.append(message)
        self._news.set()
        return True

    def lose(self) -> None:
        """The link is gone; what has come before may still be received."""
        self._is_lost = True
        self._news.set()

    async def _next_batch(self) -> list[bytes]:
        await anyio.lowlevel.checkpoint()
        while True:
            if self._is_closed:
                self._gone()
            if self._messages:
                batch = list(self._messages)
                self._messages.clear()
                return batch
            if self._is_lost:
                self._gone()
            self._news.clear()
            await self._news.wait()

    def _close(self) -> bool:
        """Mark this end as closed; says whether it was open."""
        was_open, self._is_closed = not self._is_closed, True
        self._messages.clear()
        self._news.set()
        return was_open

    def _check(self) -> None:
        if self._is_closed or self._is_lost:
            self._gone()

    def _gone(self) -> NoReturn:
        raise anyio.ClosedResourceError if self._is_closed else anyio.BrokenResourceError
