"""What all transports have in common whose messages are packets."""

from msgspec import Struct

from ..protocol.messages import CodecName


class PacketOptions(Struct, frozen=True):
    """Options of the URL of any packet transport.

    Args:
        segment: send messages that are larger than a packet in segments; both ends must.
        codec: how messages are written; the same at both ends.
    """

    segment: bool = False
    codec: CodecName = "json"
