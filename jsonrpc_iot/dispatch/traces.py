"""Which traces messages belong to, as they and requests of HTTP say themselves."""

from msgspec import Raw

from ..protocol.codec.codec import DECODE_ERRORS, Codec
from ..protocol.traceparent import read_traceparent
from .declare.context import Context
from .run.context import CallContext


class Traces:
    """Reads what messages say of it.

    Args:
        codec: of the messages.

    Attributes:
        wrong: how many said something that is no `traceparent`, and were read as if they had not.
    """

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self.wrong = 0

    def context(self, connection: Context, member: Raw) -> Context:
        """The surroundings of a message that has such a member.

        Args:
            connection: the surroundings of all that comes this way.
            member: as it came.
        """
        try:
            known = read_traceparent(self._codec.decode_value(member, str))
        except DECODE_ERRORS:
            known = None
        if known is None:
            self.wrong += 1
            return connection
        context = CallContext.of(connection, connection.method, connection.id)
        context.traceparent = known
        return context

    def of_header(self, value: bytes | None) -> str | None:
        """What a header of HTTP says for all messages that say nothing themselves."""
        if value is None:
            return None
        known = read_traceparent(value.decode("latin-1"))
        self.wrong += known is None
        return known
