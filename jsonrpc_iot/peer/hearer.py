"""The other end of a connection as one of those who hear what is sent to everybody."""

from ..channel.info import ChannelInfo
from ..dispatch.run.context import Connection
from ..protocol.about import about
from ..protocol.patterns import Patterns
from ..trust.principal import Standing


class Hearer(Connection):
    """Knows what the other end may and wants to hear.

    Attributes:
        info: the facts about the channel.
        standing: who the other end is, and whether it may do anything, as things are now.
    """

    __slots__ = ("_patterns", "info", "standing")

    def __init__(self, info: ChannelInfo, standing: Standing) -> None:
        self.info = info
        self.standing = standing
        self._patterns: Patterns | None = None

    @property
    def about(self) -> dict[str, str]:
        """What a log line about this end says of it, as `extra`."""
        principal = self.standing.principal
        name = None if principal is None else principal.name
        return about(self.info.peer, principal=name)

    def hears(self, method: str, requires: str | None) -> bool:
        """Whether the other end may and wants to hear what is sent to everybody."""
        may_hear = self.standing.hears(requires) and self.info.hears_broadcasts
        return may_hear and self._wants(method)

    def subscribe(self, patterns: Patterns | None) -> bool:
        """Send the other end the notifications that match alone, or all again."""
        if not self.info.hears_broadcasts or not self.info.can_call_back:
            return False
        self._patterns = patterns
        return True

    def _wants(self, method: str) -> bool:
        is_wanted = self._patterns is None or self._patterns.match(method)
        return is_wanted and self.standing.refusal is None
