"""Round-trip times in numbers."""

import math
from collections.abc import Iterator, Sequence

from msgspec import Struct

_STEP = 0.01  # between neighbours, on a logarithmic scale


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


class Histogram:
    """Any number of times in little memory, each known to 1 %.

    Attributes:
        count: how many there are.
        longest: the longest of them, in seconds.
    """

    def __init__(self) -> None:
        self.count = 0
        self.longest = 0.0
        self._counts: dict[int, int] = {}

    def add(self, seconds: float) -> None:
        """Count one."""
        key = math.ceil(math.log(max(seconds, 1e-9)) / _STEP)
        self._counts[key] = self._counts.get(key, 0) + 1
        self.count += 1
        self.longest = max(self.longest, seconds)

    def quantile(self, share: float) -> float | None:
        """Milliseconds that at least that share of them do not exceed; `None` without any."""
        rank = max(math.ceil(share * self.count), 1)
        for key in sorted(self._counts):
            rank -= self._counts[key]
            if rank <= 0:
                return round(1000 * min(math.exp(key * _STEP), self.longest), 4)
        return None

    def bars(self) -> Iterator[tuple[float, int]]:
        """Yield milliseconds, each twice the last, and how many took up to that; gaps are 0."""
        counts: dict[int, int] = {}
        for key, count in self._counts.items():
            bar = math.ceil(key * _STEP / math.log(2))
            counts[bar] = counts.get(bar, 0) + count
        for bar in range(min(counts, default=0), max(counts, default=-1) + 1):
            yield round(1000 * 2.0**bar, 4), counts.get(bar, 0)
