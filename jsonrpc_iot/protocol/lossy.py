"""Requests over links that lose, double and reorder packets: repeated, yet run at most once.

The rules are those of the protocol page, section 1, "Lossy channels". Both classes are told the
time; they have no clock and do no I/O.
"""

import random
from collections.abc import Callable, Hashable, Iterable
from enum import Enum
from typing import NamedTuple

RETRY_SECONDS = 30.0
DOUBLED_SECONDS = 0.5

_JITTER = 0.2


class Verdict(Enum):
    """What to do with a request that has no stored response."""

    RUN = "run it"
    JOIN = "it is running: its response will do for both"
    FULL = "too many requests are remembered: refuse it"


class Budget:
    """What all duplicate tables of one server may hold together.

    Args:
        entries: requests that are remembered; one peer has at most a quarter of them.
        reply_bytes: bytes of stored responses.
    """

    __slots__ = ("entries", "reply_bytes", "share")

    def __init__(self, entries: int, reply_bytes: int) -> None:
        self.entries = entries
        self.share = max(1, entries // 4)
        self.reply_bytes = reply_bytes


class DuplicateTable:
    """The requests of one peer that may come again.

    When it is full, new requests are refused; none is forgotten early. A response for which there
    is no room is forgotten at once, but not its request.

    Args:
        budget: what is left for all peers.

    Attributes:
        budget: as above.
    """

    __slots__ = ("_finished", "_running", "budget")

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        # Both are made when they are needed, since most peers are idle.
        self._running: set[Hashable] | None = None
        self._finished: dict[Hashable, tuple[float, bytes | None]] | None = None  # oldest first

    def admit(self, key: Hashable, *, retry: bool, now: float) -> Verdict | bytes | None:
        """Decide about a request.

        Args:
            key: tells requests apart: id, method and params.
            retry: it is marked as the same request again.
            now: seconds.

        Returns:
            The stored response, `None` for one that is not held any more, or a verdict.
        """
        self.forget(now)
        if self._running is None or self._finished is None:
            self._running, self._finished = set(), {}
        if key in self._running:
            return Verdict.JOIN
        if key in self._finished:
            finished_at, reply = self._finished[key]
            if retry or now - finished_at <= DOUBLED_SECONDS:
                return reply
            self._drop(key)
        if self.budget.entries <= 0 or len(self) >= self.budget.share:
            return Verdict.FULL
        self.budget.entries -= 1
        self._running.add(key)
        return Verdict.RUN

    def finish(self, key: Hashable, reply: bytes | None, now: float) -> None:
        """Store the response of an admitted request; it is kept for 30 s.

        Args:
            key: of the request.
            reply: `None` where there was nothing to say.
            now: seconds.
        """
        if self._running is None or self._finished is None or key not in self._running:
            return  # the peer has gone meanwhile
        self._running.remove(key)
        if reply is not None and len(reply) > self.budget.reply_bytes:
            reply = None
        self.budget.reply_bytes -= len(reply or b"")
        self._finished[key] = (now, reply)

    def forget(self, now: float) -> None:
        """Drop what was finished more than 30 s ago."""
        while self._finished:
            key = next(iter(self._finished))
            if now - self._finished[key][0] <= RETRY_SECONDS:
                return
            self._drop(key)

    def clear(self) -> None:
        """Drop everything, running requests too: the peer is gone."""
        while self._finished:
            self._drop(next(iter(self._finished)))
        self.budget.entries += len(self._running or ())
        self._running = self._finished = None

    def __len__(self) -> int:
        return len(self._running or ()) + len(self._finished or ())

    def _drop(self, key: Hashable) -> None:
        assert self._finished is not None
        reply = self._finished.pop(key)[1]
        self.budget.entries += 1
        self.budget.reply_bytes += len(reply or b"")


class _Repeat:
    """A request that is not answered yet, and when it is due again."""

    __slots__ = ("delay", "due", "idempotent", "request", "waits_for_probe")

    def __init__(self, request: bytes, due: float, delay: float, idempotent: bool) -> None:
        self.request = request
        self.due = due
        self.delay = delay
        self.idempotent = idempotent
        self.waits_for_probe = False


class Due(NamedTuple):
    """What a timer brought up.

    Args:
        messages: to be sent now.
        probe: ask whether the other end knows the extensions.
    """

    messages: list[bytes]
    probe: bool


class Repeats:
    """The open requests of one client on a lossy channel.

    A request is repeated, marked `retry`, to a peer that is known to understand that, and as it was
    when it is idempotent. To a peer that is known not to, and to one that does not say, never.

    Args:
        first_seconds: the first timer; it doubles each time.
        mark: marks a request as the same again.
        uniform: gives a random number between two, for the ±20 % of each timer.
        per_byte: seconds that each byte of a request adds to its first timer.
    """

    def __init__(
        self,
        first_seconds: float,
        mark: Callable[[bytes], bytes],
        uniform: Callable[[float, float], float] = random.uniform,
        *,
        per_byte: float = 0.0,
    ) -> None:
        self._first = first_seconds
        self._per_byte = per_byte
        self._mark = mark
        self._uniform = uniform
        self._open: dict[int, _Repeat] = {}

    def add(self, id: int, request: bytes, now: float, *, idempotent: bool) -> None:
        """Start the timer of a request that is being sent."""
        delay = self._first + self._per_byte * len(request)
        self._open[id] = _Repeat(request, now + self._jittered(delay), 2 * delay, idempotent)

    def remove(self, ids: Iterable[int]) -> None:
        """Stop the timers of requests that are answered or given up."""
        for id in ids:
            self._open.pop(id, None)

    def next_due(self) -> float | None:
        """When `poll` has something to do."""
        return min((repeat.due for repeat in self._open.values()), default=None)

    def poll(self, now: float, extensions: bool | None) -> Due:
        """What is to be sent by now.

        Args:
            now: seconds.
            extensions: whether the other end understands `retry`, `None` while nobody knows.
        """
        due = Due([], probe=False)
        for repeat in self._open.values():
            if repeat.due > now:
                continue
            repeat.due = now + self._jittered(repeat.delay)
            repeat.delay *= 2
            if extensions or repeat.idempotent:
                request = self._mark(repeat.request) if extensions else repeat.request
                due.messages.append(request)
            elif extensions is None:
                repeat.waits_for_probe = True
                due = due._replace(probe=True)
        return due

    def learn(self, extensions: bool) -> list[bytes]:
        """What is to be sent now that the probe is answered."""
        waiting = [repeat for repeat in self._open.values() if repeat.waits_for_probe]
        for repeat in waiting:
            repeat.waits_for_probe = False
        return [self._mark(repeat.request) for repeat in waiting] if extensions else []

    def _jittered(self, delay: float) -> float:
        return delay * self._uniform(1 - _JITTER, 1 + _JITTER)
