"""Since when a server knows all that has run for another end."""

from math import inf

from ..channel.clock import now
from ..protocol.duplicates import RETRY_SECONDS

_REMEMBERED = 1 << 14


class Ended:
    """Channels that lose messages and have ended, by their other end.

    With a channel goes what was remembered of its requests. When a serial adapter is plugged in
    again there is a new channel, and who repeats a request at its other end cannot know. Only so
    many are remembered one by one; of all others it is known since the oldest of these has ended.
    """

    def __init__(self) -> None:
        self._began = now()
        self._at: dict[str, float] = {}  # oldest first

    def note(self, other_end: str) -> None:
        """Note that a channel has just ended."""
        self._at.pop(other_end, None)
        self._at[other_end] = now()
        if len(self._at) > _REMEMBERED:
            self._began = max(self._began, self._at.pop(next(iter(self._at))))

    def known_since(self, other_end: str) -> float:
        """Since when all is known that has run for another end, as the event loop counts."""
        while self._at and now() - next(iter(self._at.values())) > RETRY_SECONDS:
            del self._at[next(iter(self._at))]
        return max(self._began, self._at.get(other_end, -inf))
