"""The facts about a channel, and those that only some transports know."""

from anyio import TypedAttributeSet, typed_attribute
from msgspec import Struct, structs

from ..errors import MessageTooLarge
from ..protocol.messages import CodecName


class ChannelInfo(Struct, frozen=True, kw_only=True):
    """The facts about a channel.

    Args:
        transport: the URL's scheme.
        local: this end's address.
        peer: the other end's address.
        network: where the other end is, as far as others may be there too, such as at other ports
            of one host: they share what no network may have alone. Empty where it is on its own.
        max_message: bytes of the largest message that may be sent, `None` for any size.
        reliable: messages arrive once each, in order, or the channel ends.
        can_call_back: the other end can be called and notified, not only answered.
        is_private: an end that cannot be called hears all that is sent here, nobody else does, and
            all that it sends comes here; so streamed results go item by item.
        hears_broadcasts: what is for everybody is sent here too; not where another channel takes it
            to the same end.
        has_twins: other servers answer at the same address, so what this one does not remember may
            have run at another.
        is_shared: what answers others may arrive here too, so ids begin at a random number, and an
            error without an id fails no call.
        has_echoes: what is sent may come back, as on an RS-485 line. Ids begin at a random number,
            so that a request of this end is known when it does.
        retry_seconds: where messages get lost, how long to wait for an answer before a request is
            sent again.
        retry_seconds_per_byte: what each byte of the request adds to that, on slow links.
        codec: how the messages are written.
        in_flight: requests of this end that may be open at once; `None` for any number.
        is_sealed: messages travel sealed, so that only who has the key can read or make them.
        sends_need_receiver: what is sent may leave only as something is received, or so slowly that
            requests come again meanwhile; so whoever receives must not wait for it.
    """

    transport: str
    local: str = ""
    peer: str = ""
    network: str = ""
    max_message: int | None = None
    reliable: bool = True
    can_call_back: bool = True
    is_private: bool = False
    hears_broadcasts: bool = True
    has_twins: bool = False
    is_shared: bool = False
    has_echoes: bool = False
    retry_seconds: float = 0.5
    retry_seconds_per_byte: float = 0.0
    codec: CodecName = "json"
    in_flight: int | None = None
    is_sealed: bool = False
    sends_need_receiver: bool = False

    def grow(self, max_message: int) -> None:
        """Note that the link carries larger messages from now on: the one fact that may change.

        Args:
            max_message: bytes of the largest message that may be sent.
        """
        if self.max_message is not None and max_message > self.max_message:
            structs.force_setattr(self, "max_message", max_message)

    def fits(self, message: bytes) -> bool:
        """Whether a message may be sent."""
        return self.max_message is None or len(message) <= self.max_message


def check_size(message: bytes, info: ChannelInfo) -> None:
    """Refuse a message that a channel does not carry.

    Raises:
        MessageTooLarge: it is one.
    """
    if not info.fits(message):
        raise MessageTooLarge(len(message), info.max_message or 0)


class PeerCredentials(Struct, frozen=True):
    """The process at the other end of a local socket, as the kernel knows it."""

    pid: int
    uid: int
    gid: int


class ChannelAttribute(TypedAttributeSet):
    """Facts that only some transports know; ask with `channel.extra(…)`.

    Attributes:
        credentials: the process at the other end of a local socket.
        baudrate: bits per second of a serial line.
        bearer_token: what a request or its upgrade brought to prove who it is from.
    """

    credentials: PeerCredentials = typed_attribute()
    baudrate: int = typed_attribute()
    bearer_token: str = typed_attribute()
