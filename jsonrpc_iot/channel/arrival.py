"""Messages of which a link knows more than their bytes."""


class Arrival(bytes):
    """A message of which the link knows more than its bytes; a transport may receive such ones.

    Attributes:
        waited: seconds that it was held by the system, because this program was busy or stopped;
            who calls waits no longer than he said.
        is_repeat: it may have been delivered before.
        ticket: what the link needs back with the answer, which is an `Answer` then; `None` for
            nothing.
    """

    waited: float = 0.0
    is_repeat: bool = False
    ticket: object = None

    @classmethod
    def after(cls, message: bytes, seconds: float) -> "Arrival":
        """A message that has waited so many seconds, and what was known of it before."""
        late = cls(message)
        late.waited = seconds
        if isinstance(message, cls):
            late.waited += message.waited
            late.is_repeat = message.is_repeat
            late.ticket = message.ticket
        return late


class Answer(bytes):
    """A message that answers an `Arrival` with a ticket.

    Attributes:
        ticket: the same.
    """

    ticket: object = None

    @classmethod
    def to(cls, ticket: object, reply: bytes) -> bytes:
        """A reply with a ticket, if there is one; it may have answered another message before."""
        if ticket is None:
            return reply
        answer = reply if isinstance(reply, cls) else cls(reply)
        answer.ticket = ticket
        return answer
