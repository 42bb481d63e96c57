"""Requests over links that double packets and repeat them: run at most once.

The rules are those of the protocol page, section 1, "Lossy channels". The table is told the
time; it has no clock and does no I/O.
"""

from collections.abc import Hashable
from enum import Enum

RETRY_SECONDS = 30.0
DOUBLED_SECONDS = 0.5


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
