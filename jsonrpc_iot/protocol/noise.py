"""What arrives and is no message from the other end: what cannot be read, and our own echo.

Source: the protocol page, section 6.
"""

from collections.abc import Callable

from .echoes import Echoes
from .messages import Invalid
from .suspects import Suspects
from .text import excerpt


class Noise:
    """What one conversation knows of that.

    Args:
        clock: gives the time in seconds.
        mark: marks a request as the same again; `None` where nothing that is sent comes back.

    Attributes:
        clock: as above.
        echoes: knows our requests when they come back, `None` before there are any.
        suspects: what could not be read since the last valid message.
        unanswered: how much, in all, could not be read and was not answered either.
    """

    __slots__ = ("_mark", "clock", "echoes", "suspects", "unanswered")

    def __init__(self, clock: Callable[[], float], mark: Callable[[bytes], bytes] | None) -> None:
        self.clock = clock
        self._mark = mark
        self.echoes: Echoes | None = None
        self.suspects: Suspects | None = None
        self.unanswered = 0

    def note_open(self, id: int, request: bytes) -> None:
        """A request of ours leaves."""
        if self._mark is not None:
            self.echoes = self.echoes or Echoes(self._mark)
            self.echoes.requests[id] = request

    def note_closed(self, id: int) -> None:
        """It is answered or given up."""
        if self.echoes is not None:
            self.echoes.close(id, self.clock())

    def is_echo(self, id: object, data: bytes) -> bool:
        """Whether a request is one of ours, come back; it is counted then, and tells nothing.

        Args:
            id: the request's.
            data: the request.
        """
        return self.echoes is not None and self.echoes.hear(id, data, self.clock())

    def may_refuse(self, message: Invalid, data: bytes) -> bool:
        """Whether an error may answer what is no valid message.

        Args:
            message: what was made of it.
            data: the message.
        """
        if message.id is not None and not message.response:
            return True  # a request that is wrong, and can be answered as such
        now = self.clock()
        if self.suspects is None:
            self.suspects = Suspects(now)
        if self.suspects.hear(data, now):
            return True
        self.unanswered += 1
        return False

    def no_answer(self, method: str, seconds: float, since: float) -> str:
        """Why a call that was waited for so long has no answer, in words.

        Args:
            method: the name that was called.
            seconds: that was waited.
            since: when that began, by `clock`.
        """
        waited = f"{round(seconds, 3):g} s"
        if self.suspects is not None and self.suspects.heard_at >= since:
            return (
                f"{method}: the other end answers, but with nothing that can be read: "
                f"`{excerpt(self.suspects.last)}`; waited {waited}"
            )
        echoed = self.echoes is not None and self.echoes.heard_at >= since
        echo = "; our own requests came back as an echo" if echoed else ""
        return f"{method}: no answer within {waited}{echo}"
