"""How long to wait before trying again: random pauses, so that all who wait do not come at once."""

import random
from collections.abc import Callable

STABLE_SECONDS = 20.0

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
"""Before a device is looked for again."""


class Backoff:
    """Pauses under a bound that doubles, from nothing up to all of it ("full jitter").

    A connection that has opened does not bring the first bound back; one that has lived does. Else
    whoever is let in and thrown out again would be back at once, for ever.

    Args:
        first: the bound of the first pause, in seconds.
        longest: that of the longest one.
        stable: seconds after which a connection counts as one that has lived.
        uniform: gives a random number between two others.
    """

    def __init__(
        self,
        first: float,
        longest: float,
        stable: float = STABLE_SECONDS,
        uniform: Callable[[float, float], float] = random.uniform,  # no secret
    ) -> None:
        self._first = min(first, longest)
        self._longest = longest
        self._stable = stable
        self._uniform = uniform
        self._bound = self._first

    def next_bound(self) -> float:
        """The longest that the next pause may be, in seconds; the one after may be twice that."""
        bound, self._bound = self._bound, min(2 * self._bound, self._longest)
        return bound

    def next_pause(self) -> float:
        """The seconds to wait before the next attempt."""
        return self._uniform(0, self.next_bound())

    def connection_ended(self, lived: float) -> None:
        """Learn that a connection has ended that lived so many seconds."""
        if lived >= self._stable:
            self.reset()

    def reset(self) -> None:
        """Begin with the first bound again."""
        self._bound = self._first
