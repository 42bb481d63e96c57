"""The segments that this end has sent lately, to be known where they come back as an echo.

Source: the protocol page, section 6, "Echoes". Where more than 273 of them leave in a second, less
than half a minute is known; but all of a message, and that of the one before it.
"""

from zlib import crc32

from .receiver import HEADER_BYTES

_REMEMBERED_SECONDS = 30.0
_REMEMBERED = 8192  # two of the largest messages


class OwnSegments:
    """What has left, a few bytes of each.

    Attributes:
        count: echoes that came.
    """

    __slots__ = ("_sent", "count")

    def __init__(self) -> None:
        self._sent: dict[bytes, tuple[int, float]] = {}  # oldest first
        self.count = 0

    def add(self, packet: bytes, now: float) -> None:
        """Remember a segment that leaves at that time, in seconds."""
        head = packet[:HEADER_BYTES]
        self._sent.pop(head, None)
        self._sent[head] = _check(packet), now
        if len(self._sent) > _REMEMBERED:
            del self._sent[next(iter(self._sent))]

    def hear(self, packet: bytes, now: float) -> bool:
        """Whether a segment that arrived at that time, in seconds, is an echo; counts it then."""
        check, sent_at = self._sent.get(packet[:HEADER_BYTES], (None, now))
        if check != _check(packet) or now - sent_at > _REMEMBERED_SECONDS:
            return False
        self.count += 1
        return True


def _check(packet: bytes) -> int:
    return crc32(packet.rstrip(b" "))  # where the same value does not travel twice, one is added
