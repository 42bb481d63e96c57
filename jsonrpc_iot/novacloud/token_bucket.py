"""How fast messages may go: a rate over time, and so many at once."""


class TokenBucket:
    """Holds `burst` tokens, and gets `rate` new ones each second.

    Args:
        rate: tokens per second.
        burst: tokens at most, and at first.
    """

    __slots__ = ("_burst", "_filled", "_rate", "_tokens")

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._tokens = self._burst
        self._filled = 0.0

    def spend(self, count: float, now: float) -> float:
        """Take tokens, also those that are still to come.

        Args:
            count: how many.
            now: in seconds of a clock that never goes back.

        Returns:
            The seconds until they have come.
        """
        self._tokens = min(self._burst, self._tokens + self._rate * (now - self._filled)) - count
        self._filled = now
        return max(0.0, -self._tokens / self._rate)
