"""When a device connects again: no clock and no I/O, only how long to wait after what happened."""

import random

from msgspec import Struct

from jsonrpc_iot.protocol import backoff


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
        self._failures = backoff.Backoff(schedule.first, schedule.longest)
        self._refusals = backoff.Backoff(schedule.refused, schedule.longest_refused)
        self._least = 0.0

    def after_connection(self, lived: float) -> float:
        """The pause after a connection that was authenticated and lived so long, or failed at 0.

        After a stable one it is long enough that the devices of a platform that restarts do not
        all come in the same second.
        """
        self._refusals.reset()
        if lived < self._schedule.stable:
            return self.after_failure()
        self._failures.reset()
        self._least = self._schedule.after_stable
        return self._random.uniform(0, self._least)

    def after_failure(self) -> float:
        """The pause after no connection could be had: full jitter under a doubling bound."""
        bound = max(self._least, self._failures.next_bound())
        return self._random.uniform(0, min(bound, self._schedule.longest))

    def after_refusal(self) -> float:
        """The pause after the platform has refused the key, which seldom changes soon."""
        shortest = max(self._schedule.refused, self._refusals.next_bound())
        return self._random.uniform(shortest, 1.5 * shortest)
