"""The base of channels to addresses that may be forged."""

from collections.abc import Mapping

from ...channel.clock import now
from ...protocol.unproved import Doubts, Unproved
from ..batched import BatchedChannel


class DoubtedChannel(BatchedChannel):
    """A channel to an address that gets little before it has proved to be no forged one.

    Attributes:
        unproved: see `Channel.unproved`.
    """

    unproved: Unproved | None = None
    _at: object = None

    @property
    def drops(self) -> Mapping[str, int]:
        """Nothing: all is counted for the link that these channels share."""
        return {}

    def doubt(self, doubts: Doubts | None) -> None:
        """Let nothing be proved, if links like this are doubted at all."""
        if self.unproved is not None:
            self.unproved.begin_again()
        elif doubts is not None:
            self.unproved = Unproved(doubts, self._info.max_message, self._info.network)

    def note_address(self, address: object, doubts: Doubts | None) -> None:
        """Note where somebody was heard of who has proved to be there; whoever moves has not.

        Args:
            address: where that was.
            doubts: what unproved addresses share.
        """
        before, self._at = self._at, address
        if before is not None and before != address:
            self.doubt(doubts)

    @property
    def is_doubtful(self) -> bool:
        """Whether nobody may be there, and nothing runs for whom it may matter."""
        if self.unproved is None:
            return False
        return not self.is_busy or self.unproved.is_silent(now())

    @property
    def is_busy(self) -> bool:
        """Whether whoever receives still works for the other end."""
        return False

    def note_proved(self) -> None:
        """See `Channel.note_proved`."""
        self.unproved = None
