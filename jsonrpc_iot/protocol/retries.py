"""Requests over links that lose packets: repeated until they are answered.

The rules are those of the protocol page, section 1, "Lossy channels". `Repeats` is told the
time; it has no clock and does no I/O.
"""

import random
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from .duplicates import RETRY_SECONDS

_JITTER = 0.2
_ON_ITS_WAY_SECONDS = 5.0


def is_late(seconds: float) -> bool:
    """Whether a copy is so old that the other end may have run the first one and forgotten it.

    Args:
        seconds: since that was sent.
    """
    return seconds > RETRY_SECONDS - _ON_ITS_WAY_SECONDS


class Mark(Protocol):
    """Marks a request as the same again."""

    def __call__(self, request: bytes, *, late: bool = False) -> bytes:
        """See `Codec.mark_retry`."""


class _Repeat:
    """A request that is not answered yet, and when it is due again."""

    __slots__ = ("delay", "due", "idempotent", "request", "since", "waits_for_probe")

    def __init__(
        self, request: bytes, since: float, due: float, delay: float, idempotent: bool
    ) -> None:
        self.request = request
        self.since = since
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

    A peer may have forgotten what it ran when the first copy came, so late ones let nothing begin.

    Args:
        first_seconds: the first timer; it doubles each time.
        mark: marks a request as the same again.
        uniform: gives a random number between two, for the ±20 % of each timer.
        per_byte: seconds that each byte of a request adds to its first timer.
    """

    def __init__(
        self,
        first_seconds: float,
        mark: Mark,
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
        due = now + delay * self._uniform(1 - _JITTER, 1 + _JITTER)
        self._open[id] = _Repeat(request, now, due, 2 * delay, idempotent)

    def replace(self, id: int, request: bytes) -> None:
        """Have another form of a request repeated from now on."""
        if id in self._open:
            self._open[id].request = request

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
            repeat.due = now + repeat.delay * self._uniform(1 - _JITTER, 1 + _JITTER)
            repeat.delay *= 2
            if extensions or repeat.idempotent:
                due.messages.append(self._copy(repeat, now) if extensions else repeat.request)
            elif extensions is None:
                repeat.waits_for_probe = True
                due = due._replace(probe=True)
        return due

    def learn(self, extensions: bool) -> list[bytes]:
        """What is to be sent now that the probe is answered."""
        waiting = [repeat for repeat in self._open.values() if repeat.waits_for_probe]
        for repeat in waiting:
            repeat.waits_for_probe = False
        return [self._copy(repeat, repeat.due) for repeat in waiting] if extensions else []

    def _copy(self, repeat: _Repeat, by: float) -> bytes:
        """What is sent now, which is no later than `by`."""
        late = not repeat.idempotent and is_late(by - repeat.since)
        return self._mark(repeat.request, late=late)
