"""Whether the program was held up: stopped, or busy with one thing for long."""

import math

BEAT_SECONDS = 1.0
"""How often somebody calls `Pulse.beat`."""

_LATE_SECONDS = 0.5
_AFTERWARDS_SECONDS = 1.0  # in which what has waited is still being read


class Pulse:
    """The pulse of an event loop, told the time."""

    def __init__(self) -> None:
        self._beat_at = math.inf  # before the first one nothing is late
        self._held_up_at = -math.inf

    def beat(self, now: float) -> None:
        """Note that the event loop runs."""
        if self._is_late(now):
            self._held_up_at = now
        self._beat_at = now

    def was_held_up(self, now: float) -> bool:
        """Whether what is read now may have waited for long."""
        return self._is_late(now) or now - self._held_up_at < _AFTERWARDS_SECONDS

    def _is_late(self, now: float) -> bool:
        return now - self._beat_at > BEAT_SECONDS + _LATE_SECONDS
