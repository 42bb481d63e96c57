"""The time by which old values go: none is deleted because a clock leapt for a moment.

At boot a machine may be told that it is 2036, and a minute later what time it is. So a clock that
leaps is believed once it has gone on evenly for an hour; until then time goes on from where it was.
"""

from collections.abc import Callable

_EVEN_SECONDS = 60.0
_DOUBT_SECONDS = 3600.0


class SettledClock:
    """A clock that nobody sets for a moment.

    Args:
        clock: tells Unix seconds.
        elapsed: seconds since some moment, by a clock that is never set. Without it a leap is
            believed when it is seen for the second time.
    """

    def __init__(self, clock: Callable[[], float], elapsed: Callable[[], float] | None) -> None:
        self._clock = clock
        self._elapsed = elapsed
        self._settled: tuple[float, float] | None = None  # a time, and what had elapsed then
        self._doubted: tuple[float, float] | None = None  # since when it is another

    def look(self, stored: float | None) -> float:
        """The time, in Unix seconds, as far as it is to be believed; never later than the clock.

        Args:
            stored: what it was when the program ran before, if that is known.
        """
        now = self._clock()
        passed = self._elapsed() if self._elapsed is not None else 0.0
        if self._settled is None:
            self._settled = now if stored is None else stored, passed
        expected = _since(self._settled, passed)
        if self._elapsed is None:
            self._settled = now, passed
        elif abs(now - expected) <= _EVEN_SECONDS:
            self._settled, self._doubted = (now, passed), None
            return now
        elif self._doubted is None or abs(now - _since(self._doubted, passed)) > _EVEN_SECONDS:
            self._doubted = now, passed
        elif passed - self._doubted[1] >= _DOUBT_SECONDS:
            self._settled, self._doubted = (now, passed), None
            return now
        return min(now, expected)


def _since(moment: tuple[float, float], passed: float) -> float:
    return moment[0] + passed - moment[1]
