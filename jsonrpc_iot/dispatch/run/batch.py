"""The responses to one batch, put together as its calls end."""

import math
from collections.abc import Callable, Sequence
from heapq import heappop, heappush, heapreplace
from typing import TypeAlias

import anyio

from ..response import Replier, ReplyTo
from .call import PendingCall


class Batch:
    """The responses to one batch, as they come in.

    Args:
        replier: makes the errors that take the place of responses that do not fit.
        limit: bytes that the channel carries, `None` for any number.

    Attributes:
        calls: the entries that are still to be run; the response to each goes to `finish`.
    """

    def __init__(self, replier: Replier, limit: int | None) -> None:
        self.calls: list[PendingCall] = []
        self._replier = replier
        self._limit = math.inf if limit is None else limit
        self._replies: list[tuple[bytes, Callable[[], ReplyTo]]] = []
        self._by_size: list[tuple[int, int]] = []  # a heap of sizes, below zero, and indexes
        self._sorted = 0  # so many replies have been put into it
        self._size, self._extra = replier.codec.batch_bytes
        self._finished = 0

    def add(self, reply: bytes | None, to: Callable[[], ReplyTo]) -> None:
        """Take the response to an entry that is answered already, `None` for a notification's.

        Where the responses do not fit together, the largest become errors of their own, and errors
        lose their data and texts: in the end, and before that when they take up twice the room.
        """
        if reply is not None:
            self._replies.append((reply, to))
            self._size += len(reply) + self._extra
            if self._size > 2 * self._limit:
                self._shorten_to(2 * self._limit)

    def finish(self, pending: PendingCall, reply: bytes | None) -> bytes | None:
        """Take the response to one of the calls.

        Returns:
            The whole response when this was the last one and there is something to say.
        """
        self.add(reply, lambda: pending.to)
        self._finished += 1
        return self.join() if self.is_finished else None

    @property
    def is_finished(self) -> bool:
        """Whether no call is left to be run."""
        return self._finished == len(self.calls)

    def join(self) -> bytes | None:
        """One message of all responses, `None` where there is nothing to say."""
        self._shorten_to(self._limit)
        while self._size > self._limit and self._replies:
            self._size -= len(self._replies.pop()[0]) + self._extra
            self._replier.dropped += 1
        if not self._replies:
            return None
        return self._replier.codec.join([reply for reply, _ in self._replies])

    def _shorten_to(self, limit: float) -> None:
        if self._size > limit:
            for index, (reply, _) in enumerate(self._replies[self._sorted :], self._sorted):
                heappush(self._by_size, (-len(reply), index))
            self._sorted = len(self._replies)
        while self._size > limit and self._by_size:
            _, largest = self._by_size[0]
            reply, to = self._replies[largest]
            shorter = self._replier.shorter(to(), reply)
            if shorter is None:
                heappop(self._by_size)
                continue
            heapreplace(self._by_size, (-len(shorter), largest))
            self._replies[largest] = shorter, to
            self._size -= len(reply) - len(shorter)


Pending: TypeAlias = PendingCall | Batch
"""What is still to be run for one message."""


async def run_all(begun: Pending, calls: Sequence[PendingCall] | None = None) -> bytes | None:
    """Run a call, or those of a batch at once.

    Args:
        begun: takes the responses.
        calls: what is to be run; all by default.

    Returns:
        The whole response, `None` where there is nothing to say.
    """
    calls = begun.calls if calls is None else calls
    if len(calls) == 1:
        return begun.finish(calls[0], await calls[0].run())
    reply: bytes | None = None

    async def run(pending: PendingCall) -> None:
        nonlocal reply
        reply = begun.finish(pending, await pending.run())

    async with anyio.create_task_group() as tasks:
        for pending in calls:
            tasks.start_soon(run, pending)
    return reply
