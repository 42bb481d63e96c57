"""What buses have in common that other machines are behind: being away, and coming back."""

import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from time import monotonic

import anyio
from msgspec import Struct

from jsonrpc_iot.protocol.backoff import Backoff
from jsonrpc_iot.transports.requirements import require_asyncio

from ..steady import keep_running
from .bus import Bus
from .subscribers import Hint

logger = logging.getLogger("jsonrpc_iot.novacloud")

_BATCH_HINTS = 1000
_BATCH_BYTES = 1 << 20


class Pace(Struct, frozen=True, kw_only=True):
    """Times and bounds of a bus.

    Args:
        pulse: seconds of silence after which the other end is asked whether it is there.
        patience: seconds that it has to answer, also when a connection is made.
        longest_pause: seconds between attempts to connect, at most.
        linger: seconds that hints have to leave when the bus is closed.
        most_hints: of this node that wait at most while the bus is away; the oldest go first.
        most_bytes: that they have at most.
    """

    pulse: float = 2.0
    patience: float = 3.0
    longest_pause: float = 2.0
    linger: float = 1.0
    most_hints: int = 10_000
    most_bytes: int = 16 << 20


class LinkLost(Exception):
    """There is no connection, or no more; the text says why."""


class Link(ABC):
    """One connection to the other end; every method of it may raise `LinkLost`."""

    @abstractmethod
    def is_over(self) -> bool:
        """Whether the connection has ended by itself."""

    @abstractmethod
    async def listen(self, patterns: Sequence[str], no_more: Sequence[str]) -> None:
        """Hear the hints of more patterns, from when this returns, and of others no more."""

    @abstractmethod
    async def send(self, hints: Sequence[Hint]) -> None:
        """Send hints, none too, and wait until the other end has them."""

    @abstractmethod
    async def aclose(self) -> None:
        """End it at once; raises nothing."""


class RemoteBus(Bus):
    """A bus that other machines are behind.

    Args:
        address: where it is, without passwords.
        pace: times and bounds.
    """

    def __init__(self, address: str, pace: Pace | None = None) -> None:
        super().__init__()
        self.address = address
        self._pace = pace or Pace()
        self._outgoing = _Outgoing(self._pace)
        self._changed = set[str]()  # patterns that the link has not been told of
        self._link: Link | None = None
        self._is_open = False
        self._trouble = "not connected yet"
        self._away_since = monotonic()
        self._leaving = 0  # hints that are being sent
        self._tried = anyio.Event()
        self._wake = anyio.Event()
        self._progress = anyio.Event()

    def look(self) -> None:
        """Something has become of the link."""
        self._wake.set()

    def hear_nothing(self) -> None:
        """The link had to drop what it got."""
        self._subscribers.mark()

    @abstractmethod
    async def _connect(self) -> Link:
        """Make a connection, in the time of `pace.patience`; raises `LinkLost`."""

    @asynccontextmanager
    async def _running(self) -> AsyncGenerator[None, None]:
        require_asyncio(self.address, "this bus works")
        async with anyio.create_task_group() as group:
            self._is_open = True
            group.start_soon(keep_running, self._keep_connected)
            try:
                await self._tried.wait()
                yield
            finally:
                with anyio.move_on_after(self._pace.linger, shield=True):
                    while self._link is not None and self._waiting():
                        await self._progress.wait()
                self._is_open = False
                self._trouble = "closed"
                self.counts.dropped += self._outgoing.clear()
                group.cancel_scope.cancel()

    def _carry(self, subject: str, payload: bytes) -> None:
        self.counts.dropped += self._outgoing.add(Hint(subject, payload)) if self._is_open else 1
        self._wake.set()

    def _pattern_changed(self, pattern: str) -> None:
        self._changed.add(pattern)
        self._wake.set()

    async def _until_heard(self, pattern: str) -> None:
        with anyio.move_on_after(self._pace.patience):  # then the link ends, and a mark comes
            while self._link is not None and pattern in self._changed:
                await self._progress.wait()

    def _problem(self) -> str:
        return self._trouble

    def _waiting(self) -> int:
        return len(self._outgoing.hints) + self._leaving

    async def _keep_connected(self) -> None:
        backoff = Backoff(0.1, self._pace.longest_pause, stable=2 * self._pace.pulse)
        while True:
            began = monotonic()
            try:
                async with self._linked() as link:
                    await self._serve(link)
            except LinkLost as error:
                self._is_away(str(error))
            backoff.connection_ended(monotonic() - began)
            await anyio.sleep(backoff.next_pause())

    @asynccontextmanager
    async def _linked(self) -> AsyncGenerator[Link, None]:
        link = await self._connect()
        try:
            self._link = link  # who subscribes from now on waits until it is heard
            self._changed.clear()
            await link.listen(list(self._subscribers.patterns), ())
            self._is_there()
            yield link
        finally:
            self._link = None
            self._tell_progress()
            await link.aclose()

    async def _serve(self, link: Link) -> None:
        """Send what is to be sent, and see that the other end is there; ends with the link."""
        while True:
            self._wake = anyio.Event()
            if not (self._outgoing.hints or self._changed or link.is_over()):
                with anyio.move_on_after(self._pace.pulse):
                    await self._wake.wait()
            if changed := list(self._changed):
                wanted = self._subscribers.patterns
                await link.listen(
                    [each for each in changed if each in wanted],
                    [each for each in changed if each not in wanted],
                )
                self._changed.difference_update(changed)
                self._tell_progress()
            batch = self._outgoing.take()
            self._leaving = len(batch)
            try:
                await link.send(batch)
                self._leaving = 0
            finally:
                self.counts.dropped += self._leaving
                self._leaving = 0
            self._tell_progress()

    def _tell_progress(self) -> None:
        progress, self._progress = self._progress, anyio.Event()
        progress.set()

    def _is_there(self) -> None:
        self._subscribers.mark()
        if self._trouble:
            seconds = monotonic() - self._away_since
            logger.info("bus %s: connected after %.1f s", self.address, seconds)
        self._trouble = ""
        self._tried.set()

    def _is_away(self, reason: str) -> None:
        if not self._trouble:
            self.counts.outages += 1
            self._away_since = monotonic()
        if reason != self._trouble:
            logger.warning(
                "bus %s: %s; trying again, and until then nodes find by polling what others do",
                self.address,
                reason,
            )
        self._trouble = reason
        self._tried.set()


class _Outgoing:
    """The hints of this node that are to leave it: bounded, and the oldest go first."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self.hints = deque[Hint]()
        self._bytes = 0

    def add(self, hint: Hint) -> int:
        """Let one wait; returns how many had to go for it."""
        self.hints.append(hint)
        self._bytes += len(hint.payload)
        dropped = 0
        while len(self.hints) > self._pace.most_hints or self._bytes > self._pace.most_bytes:
            self._pop()
            dropped += 1
        return dropped

    def take(self) -> list[Hint]:
        """The oldest ones, as many as go at once."""
        batch: list[Hint] = []
        size = 0
        while self.hints and len(batch) < _BATCH_HINTS and size < _BATCH_BYTES:
            batch.append(self._pop())
            size += len(batch[-1].payload)
        return batch

    def clear(self) -> int:
        """Forget all; returns how many."""
        count = len(self.hints)
        self.hints.clear()
        self._bytes = 0
        return count

    def _pop(self) -> Hint:
        hint = self.hints.popleft()
        self._bytes -= len(hint.payload)
        return hint
