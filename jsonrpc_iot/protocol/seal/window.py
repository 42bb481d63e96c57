"""Which packets of a session have come: each opens once, in whatever order they arrive."""

SIZE = 1024
_MASK = (1 << SIZE) - 1


class Window:
    """The newest packet number and the 1,023 before it.

    Attributes:
        top: the newest number that has come, -1 before there was any.
    """

    __slots__ = ("_seen", "top")

    def __init__(self) -> None:
        self.top = -1
        self._seen = 0  # a bit for each number, the newest lowest

    def admits(self, number: int) -> bool:
        """Whether a number is new: it has not come, and is not too old to know that."""
        behind = self.top - number
        return behind < 0 or (behind < SIZE and not self._seen >> behind & 1)

    def note(self, number: int) -> None:
        """Note that a packet of an admitted number has opened; what has not moves nothing."""
        ahead = number - self.top
        if ahead >= SIZE:  # a shift as far as the other end likes would take all memory
            self._seen, self.top = 1, number
        elif ahead > 0:
            self._seen, self.top = (self._seen << ahead | 1) & _MASK, number
        else:
            self._seen |= 1 << -ahead
