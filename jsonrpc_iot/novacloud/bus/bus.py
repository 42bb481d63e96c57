"""The contract of a bus: hints between the nodes of a platform, which are never the truth.

A hint says that it is worth looking into the database now. It may be lost, whenever the bus is
away or somebody is too slow, so all that is found by a hint is found by a poll as well. Who may
have lost some is given the mark `MISSED` in their place, and looks at once.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Self

import anyio
from msgspec import Struct

from .subjects import check_pattern, check_subject
from .subscribers import MOST_BYTES, MOST_HINTS, Subscribers, Subscription


class BusCounts(Struct):
    """What a bus has done.

    Args:
        published: hints of this node.
        received: hints of others.
        dropped: hints of this node that never left it, or nobody knows whether they did.
        outages: how often the bus was there and then away.
    """

    published: int = 0
    received: int = 0
    dropped: int = 0
    outages: int = 0


class BusHealth(Struct, frozen=True):
    """How a bus is.

    Args:
        bus: `ok`, or what is wrong with it.
        address: where it is, without passwords.
        published: hints of this node.
        received: hints of others.
        dropped: hints of this node that never left it, or nobody knows whether they did.
        missed: hints that subscribers of this node were too slow for.
        waiting: hints of this node that are still to leave it.
        outages: how often it was there and then away.
    """

    bus: str
    address: str
    published: int
    received: int
    dropped: int
    missed: int
    waiting: int
    outages: int


class Bus(anyio.AsyncContextManagerMixin, ABC):
    """Carries hints between nodes: as a context manager it is connected, or goes on trying to be.

    The hints of one publisher arrive in their order, as long as its connection holds: what one that
    was cut had taken may pass behind what the next one takes. None arrives twice.
    Subscribers of the same node hear at once, also while the bus is away. A payload that is longer
    than a bus carries arrives empty, which says the same as any empty one: look yourself.

    Opening one that works on asyncio alone raises `UsageError` on trio.

    Args:
        most_hints: that wait for one subscriber at most.
        most_bytes: that they have at most.
    """

    address: str
    """Where it is, without passwords."""

    def __init__(self, most_hints: int = MOST_HINTS, most_bytes: int = MOST_BYTES) -> None:
        self.counts = BusCounts()
        self._subscribers = Subscribers(most_hints, most_bytes)

    @asynccontextmanager
    async def __asynccontextmanager__(self) -> AsyncGenerator[Self, None]:
        try:
            async with self._running():
                yield self
        finally:
            self._subscribers.close()

    def publish(self, subject: str, payload: bytes = b"") -> None:
        """Tell all nodes; neither waits nor fails when the bus is away.

        Args:
            subject: tokens with dots between them, as `subject()` makes them.
            payload: of a hint that says more than that it is worth looking.

        Raises:
            ValueError: that is no subject.
        """
        check_subject(subject)
        self.counts.published += 1
        self._subscribers.deliver(subject, payload)
        self._carry(subject, payload)

    @asynccontextmanager
    async def subscribe(self, pattern: str) -> AsyncIterator[Subscription]:
        """Hear the hints whose subject fits a pattern, from when the context is entered.

        While the bus is away it is entered all the same, and `MISSED` comes when it is back.

        Args:
            pattern: a subject, in which `*` stands for any token, and `>` at its end for one or
                more.

        Raises:
            ValueError: that is no pattern.
        """
        check_pattern(pattern)
        with self._subscribers.adding(pattern) as subscription:
            self._pattern_changed(pattern)
            try:
                await self._until_heard(pattern)
                yield subscription
            finally:
                subscription.close()
                self._pattern_changed(pattern)

    def health(self) -> BusHealth:
        """How it is, and what it has done."""
        return BusHealth(
            bus=self._problem() or "ok",
            address=self.address,
            published=self.counts.published,
            received=self.counts.received,
            dropped=self.counts.dropped,
            missed=self._subscribers.missed,
            waiting=self._waiting(),
            outages=self.counts.outages,
        )

    @abstractmethod
    def _running(self) -> AbstractAsyncContextManager[None]:
        """Whatever has to run while the bus is open."""

    def _carry(self, subject: str, payload: bytes) -> None:
        """Take a hint to the other nodes."""

    def _pattern_changed(self, pattern: str) -> None:
        """There is a first subscriber of a pattern, or no one any more."""

    async def _until_heard(self, pattern: str) -> None:
        """Wait until hints of other nodes come for a pattern, if the bus is there."""

    def _problem(self) -> str:
        """What is wrong."""
        return ""

    def _waiting(self) -> int:
        return 0
