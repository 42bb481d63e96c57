"""Round-trip times in numbers."""

import math
from collections.abc import Sequence

from msgspec import Struct


class RoundTrips(Struct, frozen=True):
    """What a series of round trips took, in milliseconds; `None` where there was none.

    Args:
        min: the shortest.
        median: half of them took no longer.
        p99: 99 % of them took no longer.
        max: the longest.
    """

    min: float | None = None
    median: float | None = None
    p99: float | None = None
    max: float | None = None

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "RoundTrips":
        """Sum up round trips, given in seconds."""
        if not seconds:
            return cls()
        times = sorted(seconds)
        return cls(*(round(1000 * _quantile(times, share), 4) for share in (0, 0.5, 0.99, 1)))


def _quantile(times: Sequence[float], share: float) -> float:
    """The smallest of the sorted times that at least that share of them do not exceed."""
    return times[max(math.ceil(share * len(times)), 1) - 1]


def show_milliseconds(value: float | None) -> str:
    """A time for people to read."""
    if value is None:
        return "-"
    digits = 3 if value < 1 else 2 if value < 100 else 0
    return f"{value:.{digits}f} ms"
