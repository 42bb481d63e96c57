"""Who hears which hints within one node, and what waits for each of them."""

from collections import deque
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Self

import anyio

from .subjects import fits

MOST_HINTS = 1000
MOST_BYTES = 4 << 20


class Hint(NamedTuple):
    """Something has happened.

    Attributes:
        subject: what it is about; empty in `MISSED`.
        payload: says more; empty where the one who hears has to look.
    """

    subject: str
    payload: bytes


MISSED = Hint("", b"")
"""Hints may have been lost here: whoever gets this looks at all that they would have told of."""


class Subscription:
    """The hints for one subscriber, to be iterated over; it ends when the bus is closed.

    It keeps so many as it may. Those that come while it is full are dropped and counted, and
    `MISSED` stands in their place, so that a slow subscriber holds nobody up.

    Args:
        most_hints: that wait at most.
        most_bytes: that they have at most.

    Attributes:
        missed: hints that were dropped.
    """

    def __init__(self, most_hints: int, most_bytes: int) -> None:
        self._most_hints = most_hints
        self._most_bytes = most_bytes
        self._hints = deque[Hint]()
        self._bytes = 0
        self._closed = False
        self._news = anyio.Event()
        self.missed = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Hint:
        while not self._hints:
            if self._closed:
                raise StopAsyncIteration
            self._news = anyio.Event()
            await self._news.wait()
        hint = self._hints.popleft()
        self._bytes -= len(hint.payload)
        return hint

    def put(self, hint: Hint) -> None:
        """Let it wait, if there is room."""
        room = self._bytes + len(hint.payload) <= self._most_bytes
        if hint is not MISSED and room and len(self._hints) < self._most_hints:
            self._hints.append(hint)
            self._bytes += len(hint.payload)
        else:
            self.missed += hint is not MISSED
            if not self._hints or self._hints[-1] is not MISSED:
                self._hints.append(MISSED)
        self._news.set()

    def close(self) -> None:
        """Let the iteration end after what waits."""
        self._closed = True
        self._news.set()


class Subscribers:
    """All subscribers of a node.

    Args:
        most_hints: that wait for one of them at most.
        most_bytes: that they have at most.
    """

    def __init__(self, most_hints: int, most_bytes: int) -> None:
        self._most = most_hints, most_bytes
        self._by_pattern: dict[str, list[Subscription]] = {}
        self._wild: dict[str, list[str]] = {}  # patterns with wildcards, by themselves
        self._missed_before = 0  # by subscribers that are gone
        self._closed = False

    @property
    def patterns(self) -> Collection[str]:
        """Of those that are there."""
        return self._by_pattern.keys()

    @property
    def missed(self) -> int:
        """Hints that they were too slow for."""
        return self._missed_before + sum(each.missed for each in self._all())

    @contextmanager
    def adding(self, pattern: str) -> Iterator[Subscription]:
        """A subscriber of a pattern."""
        subscription = Subscription(*self._most)
        if self._closed:
            subscription.close()
        self._by_pattern.setdefault(pattern, []).append(subscription)
        tokens = pattern.split(".")
        if "*" in tokens or ">" in tokens:
            self._wild[pattern] = tokens
        try:
            yield subscription
        finally:
            self._missed_before += subscription.missed
            others = self._by_pattern[pattern]
            others.remove(subscription)
            if not others:
                del self._by_pattern[pattern]
                self._wild.pop(pattern, None)

    def deliver(self, subject: str, payload: bytes) -> None:
        """Give a hint to all whose pattern it fits."""
        self.deliver_to(subject, subject, payload)
        tokens = subject.split(".")
        for pattern, wanted in self._wild.items():
            if fits(tokens, wanted):
                self.deliver_to(pattern, subject, payload)

    def deliver_to(self, pattern: str, subject: str, payload: bytes) -> None:
        """Give a hint to those who have just this pattern."""
        for subscription in self._by_pattern.get(pattern, ()):
            subscription.put(Hint(subject, payload))

    def mark(self, pattern: str | None = None) -> None:
        """Tell all, or those of a pattern, that they may have missed something."""
        all_of_them = self._all() if pattern is None else self._by_pattern.get(pattern, ())
        for subscription in all_of_them:
            subscription.put(MISSED)

    def close(self) -> None:
        """End the iterations."""
        self._closed = True
        for subscription in self._all():
            subscription.close()

    def _all(self) -> Iterator[Subscription]:
        for subscriptions in self._by_pattern.values():
            yield from subscriptions
