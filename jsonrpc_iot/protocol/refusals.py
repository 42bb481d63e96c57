"""Wrong proofs of who one is: each is answered later than the one before, up to some seconds.

So nobody can try one after the other, and nobody else notices: a right proof never waits, and every
address has a count of its own. Told the time, without I/O. Source: the trust page, section 4.
"""

from .limits import Limits

_FIRST_SECONDS = 0.05
_REMEMBERED_SECONDS = 300.0
_PART = 16  # of all places to wait, for one address


class Refusals:
    """The wrong proofs that came lately, by where they came from.

    Args:
        limits: of which those are used here that begin with `refus`.

    Attributes:
        turned_away: proofs that were not looked at, since too many of their address wait for the
            answer that they were wrong.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._counts: dict[str, tuple[int, float]] = {}  # heard of least lately first
        self._waiting: dict[str, int] = {}
        self._waiting_in_all = 0
        self.turned_away = 0

    def __len__(self) -> int:
        """How many addresses are remembered."""
        return len(self._counts)

    def has_room(self, place: str) -> bool:
        """Whether one more wrong proof of an address could wait for its answer.

        Args:
            place: the address, or the network that it is of.
        """
        mine = self._waiting.get(place, 0)
        has_room = self._waiting_in_all < self._limits.refusals_waiting and mine < max(
            1, self._limits.refusals_waiting // _PART
        )
        self.turned_away += not has_room
        return has_room

    def begin(self, place: str, now: float) -> float:
        """Note a wrong proof, which waits for its answer until `end`.

        Args:
            place: as in `has_room`.
            now: seconds.

        Returns:
            Seconds to wait.
        """
        count, at = self._counts.pop(place, (0, now))
        if now - at > _REMEMBERED_SECONDS:
            count = 0
        if len(self._counts) >= self._limits.refused_addresses:
            del self._counts[next(iter(self._counts))]
        self._counts[place] = (count + 1, now)
        self._waiting[place] = self._waiting.get(place, 0) + 1
        self._waiting_in_all += 1
        return min(self._limits.refusal_seconds, _FIRST_SECONDS * 2.0 ** min(count, 64))

    def end(self, place: str) -> None:
        """Note that a wrong proof is answered."""
        self._waiting_in_all -= 1
        self._waiting[place] -= 1
        if not self._waiting[place]:
            del self._waiting[place]
