"""How much is under way at once."""

import math
import time

from jsonrpc_iot import Busy, DeadlineExceeded

_FIRST_BYTES = 8 << 10
_FIRST_OPEN = 2
_LEAST_BYTES = 64
_FAST_SECONDS = 1.0
_SLOW_SECONDS = 3.0


class Pace:
    """As much as is answered within a second or so, whatever the link can carry.

    On a slow link each call waits for all before it, and would wait longer than calls do.

    Attributes:
        chunk: bytes for a message.
    """

    def __init__(self) -> None:
        self.chunk = _FIRST_BYTES
        self._most_bytes = 0
        self._open: float = _FIRST_OPEN
        self._most_open: float = 1
        self._taken = math.inf  # calls at once that the other end has not refused
        self._under_way = 0

    def bound(self, most_bytes: int, most_open: int) -> None:
        """Begin anew, with nothing under way.

        Args:
            most_bytes: for a message.
            most_open: calls at once.
        """
        self._most_bytes = most_bytes
        self._most_open = min(most_open, self._taken)
        self._under_way = 0
        self.chunk = min(self.chunk, most_bytes)

    def bound_chunk(self, most_bytes: int) -> None:
        """Take note that no more bytes fit a message."""
        self._most_bytes = min(self._most_bytes, most_bytes)
        self.chunk = min(self.chunk, most_bytes)

    @property
    def is_full(self) -> bool:
        """Whether it is better to wait for an answer."""
        return self._under_way >= min(self._open, self._most_open)

    def start(self) -> float:
        """Take note of a call; gives when it began."""
        self._under_way += 1
        return time.monotonic()

    def answered(self, began: float) -> None:
        """Take note of its answer."""
        self._under_way -= 1
        seconds = time.monotonic() - began
        if seconds < _FAST_SECONDS:
            self._open = min(self._open + 1, self._most_open)
            self.chunk = min(2 * self.chunk, self._most_bytes)
        elif seconds > _SLOW_SECONDS and self._open > 1:
            self._open -= 1
        elif seconds > _SLOW_SECONDS:
            self.chunk = max(min(_LEAST_BYTES, self._most_bytes), self.chunk // 2)

    def lost(self) -> None:
        """Take note that messages get lost or overtaken, so that those behind them go twice."""
        self._open = max(min(_FIRST_OPEN, self._most_open), self._open // 2)

    def failed(self, error: Exception) -> None:
        """Take note of an error: too many calls, or too large ones, as no answer came in time."""
        if isinstance(error, Busy):
            self._taken = self._open = max(1, min(self._open, self._most_open) // 2)
        if not isinstance(error, TimeoutError | DeadlineExceeded):
            return
        self._open = 1
        self.chunk = max(min(_LEAST_BYTES, self.chunk), self.chunk // 4)
