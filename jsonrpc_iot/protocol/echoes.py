"""What this end has sent and hears again: on an RS-485 line, a loopback plug, an echoing console.

Source: the protocol page, section 6, "Echoes". It is told the time, and does no I/O.
"""

from collections import deque
from collections.abc import Callable
from math import inf

_REMEMBERED_SECONDS = 30.0
_REMEMBERED = 1024
_REMEMBERED_BYTES = 1 << 18


class Echoes:
    """The requests of this end, open ones and those that were closed lately.

    Of the closed ones so few are remembered that they cost next to nothing.

    Args:
        mark: marks a request as the same again.

    Attributes:
        requests: by their ids.
        count: echoes that came.
        heard_at: when the last one did, in seconds.
    """

    __slots__ = ("_bytes", "_closed", "_mark", "count", "heard_at", "requests")

    def __init__(self, mark: Callable[[bytes], bytes]) -> None:
        self._mark = mark
        self._closed: deque[tuple[float, int]] = deque()
        self._bytes = 0
        self.requests: dict[object, bytes] = {}
        self.count = 0
        self.heard_at = -inf

    def close(self, id: int, now: float) -> None:
        """Note that a request was answered or given up.

        Args:
            id: the request's.
            now: seconds.
        """
        self._closed.append((now, id))
        self._bytes += len(self.requests[id])
        while len(self._closed) > 1 and (
            len(self._closed) > _REMEMBERED or self._bytes > _REMEMBERED_BYTES
        ):
            self._forget_first()

    def hear(self, id: object, data: bytes, now: float) -> bool:
        """Whether a request that arrived is one of ours; counts it then.

        Args:
            id: the request's.
            data: the request.
            now: seconds.
        """
        while self._closed and now - self._closed[0][0] > _REMEMBERED_SECONDS:
            self._forget_first()
        request = self.requests.get(id)
        data = data.rstrip(b" ")  # where the same value does not travel twice, a space is added
        if request is None or data not in (request, self._mark(request)):
            return False
        self.count += 1
        self.heard_at = now
        return True

    def _forget_first(self) -> None:
        _, id = self._closed.popleft()
        self._bytes -= len(self.requests.pop(id))
