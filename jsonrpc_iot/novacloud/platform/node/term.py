"""How long a node may speak to devices. Whoever writes to one looks here first."""

from math import inf

from ...clock import elapsed


class Term:
    """The time that a node has, as far as it knows: what others do is not its to know.

    It is measured by a clock that goes on while the process is stopped or the machine sleeps, so
    who has been away for too long finds that out before it says anything.

    Attributes:
        until: when it ends, by `elapsed`.
    """

    __slots__ = ("until",)

    def __init__(self) -> None:
        self.until = -inf

    @property
    def is_over(self) -> bool:
        """Whether it has ended, or not begun."""
        return elapsed() >= self.until

    @property
    def left(self) -> float:
        """Seconds until it ends."""
        return max(0.0, self.until - elapsed())
