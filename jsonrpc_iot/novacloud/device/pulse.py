"""How often a device gives signs of life: steadily, and more often as long as its line is bad.

No clock and no I/O: the time is a parameter, in seconds of a clock that never goes back.
"""

from math import inf

_NEAR_SECONDS = 600.0  # two losses within that make a line bad
_GOOD_SECONDS = 3600.0  # without a loss make it good: the guide wants steady heartbeats


class Pulse:
    """The seconds between the heartbeats of one device.

    Args:
        usual: as long as the line is good.
        on_bad_line: while it is bad; `None` for as usual.
    """

    def __init__(self, usual: float, on_bad_line: float | None = None) -> None:
        self._usual = usual
        self._on_bad_line = usual if on_bad_line is None else on_bad_line
        self._lost = -inf
        self._bad_until = -inf

    def lose(self, now: float) -> None:
        """Note that a connection was lost."""
        if now < max(self._lost + _NEAR_SECONDS, self._bad_until):
            self._bad_until = now + _GOOD_SECONDS
        self._lost = now

    def seconds(self, now: float) -> float:
        """From one heartbeat to the next; also how long the other end may confirm nothing."""
        return self._on_bad_line if now < self._bad_until else self._usual
