"""What arrives and is no message from the other end: what cannot be read, and our own echo.

Source: the protocol page, section 6.
"""

from collections.abc import Callable

from msgspec import Struct

from .codec.codec import Codec
from .echoes import Echoes
from .messages import Invalid
from .presence import Presence
from .suspects import Suspects
from .text import excerpt


class Noise:
    """What one conversation knows of that.

    Args:
        clock: gives the time in seconds.
        codec: knows what a request may have been before it was marked as a copy; `None` where
            nothing that is sent comes back.

    Attributes:
        clock: as above.
        echoes: knows our requests when they come back, `None` before there are any.
        suspects: what could not be read since the last valid message.
        unanswered: how much, in all, could not be read and was not answered either.
        count_bytes: how many bytes the link has brought that belong to no message.
        presence: whether the other end is there, `None` where nobody asks.
    """

    __slots__ = ("_codec", "clock", "count_bytes", "echoes", "presence", "suspects", "unanswered")

    def __init__(
        self,
        clock: Callable[[], float],
        codec: Codec | None,
    ) -> None:
        self.clock = clock
        self._codec = codec
        self.echoes: Echoes | None = None
        self.suspects: Suspects | None = None
        self.unanswered = 0
        self.count_bytes: Callable[[], int] = int
        self.presence: Presence | None = None

    def note_open(self, id: int, request: bytes) -> None:
        """A request of ours leaves."""
        if self._codec is not None:
            if self.echoes is None:
                self.echoes = Echoes(self._codec.unmarked)
            self.echoes.open(id, request, self.clock())

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
        if self.presence is not None and data == self.presence.question:
            return True
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

    def begin(self) -> "Silence":
        """Begin to wait for an answer."""
        return Silence(self, self.clock(), self.count_bytes())


class Silence(Struct, frozen=True):
    """A time in which an answer was waited for.

    Args:
        noise: of the conversation.
        since: when it began, in seconds.
        bytes_before: what had been counted by then.
    """

    noise: Noise
    since: float
    bytes_before: int

    def no_answer(self, method: str, seconds: float) -> str:
        """Why a call that was waited for so long has no answer, in words.

        Args:
            method: the name that was called.
            seconds: that was waited.
        """
        waited = f"{round(seconds, 3):g} s"
        if (unreadable := self._unreadable()) is not None:
            return f"{method}: {unreadable}; waited {waited}"
        return f"{method}: no answer within {waited}{self._other()}"

    def no_item(self, method: str) -> str:
        """Why the next item of a stream did not come in time, in words."""
        if (unreadable := self._unreadable()) is not None:
            return f"{method}: no item came in time; {unreadable}"
        return f"{method}: no item came in time{self._other()}"

    def _unreadable(self) -> str | None:
        suspects = self.noise.suspects
        if suspects is None or suspects.heard_at < self.since:
            return None
        what = excerpt(suspects.last)
        return f"the other end answers, but with nothing that can be read: `{what}`"

    def _other(self) -> str:
        echoes = self.noise.echoes
        if echoes is not None and echoes.heard_at >= self.since:
            return "; our own requests came back as an echo"
        count = self.noise.count_bytes() - self.bytes_before
        if count:
            return f"; {count} bytes came that belong to no frame: noise, or the wrong rate"
        return ""
