"""When a device connects again: no clock and no I/O, only how long to wait after what happened."""

import random

from msgspec import Struct


class Schedule(Struct, frozen=True, kw_only=True):
    """Times of reconnecting, in seconds.

    Args:
        first: the longest pause after a first failure; it doubles with each one.
        longest: the longest pause at all.
        stable: a connection that lived so long makes the failures before it forgotten.
        after_stable: the longest pause after such a connection has ended. No later bound is
            smaller, or the devices that came before the platform was back would come together.
        refused: the shortest pause after the platform has refused the key; it doubles too.
        longest_refused: what that grows to.
    """

    first: float = 1.0
    longest: float = 60.0
    stable: float = 20.0
    after_stable: float = 10.0
    refused: float = 60.0
    longest_refused: float = 300.0


class Backoff:
    """The pauses between the connections of one device: random ones, so that devices spread out.

    Args:
        schedule: the bounds.
        source: of randomness.
    """

    def __init__(self, schedule: Schedule, source: random.Random | None = None) -> None:
        self._schedule = schedule
        self._random = source or random.Random()  # no secret
        self._failures = 0
        self._refusals = 0
        self._least = 0.0

    def after_connection(self, lived: float) -> float:
        """The pause after a connection that was authenticated and lived so long, or failed at 0.

        After a stable one it is long enough that the devices of a platform that restarts do not
        all come in the same second.
        """
        self._refusals = 0
        if lived >= self._schedule.stable:
            self._failures = 0
            self._least = self._schedule.after_stable
            return self._random.uniform(0, self._schedule.after_stable)
        return self.after_failure()

    def after_failure(self) -> float:
        """The pause after no connection could be had: full jitter under a doubling bound."""
        bound = max(self._least, self._schedule.first * 2.0 ** min(self._failures, 60))
        self._failures += 1
        return self._random.uniform(0, min(bound, self._schedule.longest))

    def after_refusal(self) -> float:
        """The pause after the platform has refused the key, which seldom changes soon."""
        bound = self._schedule.refused * 2.0 ** min(self._refusals, 60)
        self._refusals += 1
        shortest = max(self._schedule.refused, min(bound, self._schedule.longest_refused))
        return self._random.uniform(shortest, 1.5 * shortest)
