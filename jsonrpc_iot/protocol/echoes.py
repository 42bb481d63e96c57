"""What this end has sent and hears again: on an RS-485 line, a loopback plug, an echoing console.

Source: the protocol page, section 6, "Echoes". It is told the time, and does no I/O.
"""

from array import array
from collections.abc import Callable, Iterable
from math import inf

_REMEMBERED_SECONDS = 30.0
_REMEMBERED = 1 << 18  # requests: half a minute of 8,700 in each second, in 4 MiB
_TIDIED_AFTER = 1 << 10


class Echoes:
    """The requests of this end, open ones and those that were closed lately.

    Their ids follow each other. So there is nothing of a request to keep but a hash and the time,
    16 bytes, and all of half a minute can be kept. Python's hash of bytes has a key of its own; and
    who could forge one would only make a request that is not heard.

    Args:
        unmark: says what a request may have been before it was marked as a copy.

    Attributes:
        count: echoes that came.
        heard_at: when the last one did, in seconds.
    """

    __slots__ = (
        "_closed_at",
        "_first",
        "_hashes",
        "_old",
        "_tidy_at",
        "_unmark",
        "count",
        "heard_at",
    )

    def __init__(self, unmark: Callable[[bytes], Iterable[bytes]]) -> None:
        self._unmark = unmark
        self._first = 0  # the id of the first one in the arrays
        self._hashes = array("q")
        self._closed_at = array("d")  # infinity for an open one
        self._old: dict[int, tuple[int, float]] = {}  # those that were open for longer than others
        self._tidy_at = _TIDIED_AFTER
        self.count = 0
        self.heard_at = -inf

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._hashes) + len(self._old)

    def open(self, id: int, request: bytes, now: float) -> None:
        """Note a request that leaves.

        Args:
            id: the request's, one more than that of the last one.
            request: its bytes.
            now: seconds.
        """
        if not self._hashes:
            self._first = id
        elif len(self._hashes) >= self._tidy_at:
            self._tidy(now)
        self._hashes.append(hash(request))
        self._closed_at.append(inf)

    def close(self, id: int, now: float) -> None:
        """Note that a request was answered or given up.

        Args:
            id: the request's.
            now: seconds.
        """
        if id >= self._first:
            self._closed_at[id - self._first] = now
        elif id in self._old:
            self._old[id] = self._old[id][0], now

    def hear(self, id: object, data: bytes, now: float) -> bool:
        """Whether a request that arrived is one of ours; counts it then.

        Args:
            id: the request's.
            data: the request.
            now: seconds.
        """
        if type(id) is not int:
            return False
        place = id - self._first
        if 0 <= place < len(self._hashes):
            known, closed_at = self._hashes[place], self._closed_at[place]
        else:
            known, closed_at = self._old.get(id, (0, -inf))
        if now - closed_at > _REMEMBERED_SECONDS:
            return False
        data = data.rstrip(b" ")  # where the same value does not travel twice, a space is added
        if known not in map(hash, (data, *self._unmark(data))):
            return False
        self.count += 1
        self.heard_at = now
        return True

    def _tidy(self, now: float) -> None:
        """Forget what was closed too long ago, or what there is too much of."""
        too_old = now - _REMEMBERED_SECONDS
        self._old = {id: each for id, each in self._old.items() if each[1] >= too_old}
        too_many = len(self._hashes) - _REMEMBERED
        cut = len(self._hashes)
        for place, closed_at in enumerate(self._closed_at):
            if closed_at == inf:
                self._old[self._first + place] = self._hashes[place], inf
            elif closed_at >= too_old and place >= too_many:
                cut = place
                break
        del self._hashes[:cut], self._closed_at[:cut]
        self._first += cut
        self._tidy_at = len(self._hashes) + _TIDIED_AFTER
