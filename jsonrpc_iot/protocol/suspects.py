"""Errors that would answer errors for ever: two ends, each of which cannot read the other's.

Source: the protocol page, section 6, "No endless errors". It is told the time, and does no I/O.
"""

from math import inf

_SUSPICIOUS_SECONDS = 1.0
_BUDGET = 20


class Suspects:
    """What came from the other end since its last valid message, none of which could be read.

    Args:
        now: seconds.

    Attributes:
        last: the last of them.
        heard_at: when that came, in seconds.
    """

    __slots__ = ("_answered_at", "_budget", "_filled_at", "heard_at", "last")

    def __init__(self, now: float) -> None:
        self._budget = float(_BUDGET)
        self._filled_at = now
        self._answered_at = -inf
        self.heard_at = now
        self.last = b""

    def hear(self, data: bytes, now: float) -> bool:
        """Take one more; says whether it may be answered.

        Args:
            data: what could not be read.
            now: seconds.
        """
        self.last, self.heard_at = data, now
        if now - self._answered_at <= _SUSPICIOUS_SECONDS:
            self._budget = min(_BUDGET, self._budget + now - self._filled_at)
            self._filled_at = now
            if self._budget < 1:
                return False
            self._budget -= 1
        self._answered_at = now
        return True
