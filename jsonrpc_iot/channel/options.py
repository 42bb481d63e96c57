"""Options that the URLs of all packet transports have."""

from typing import ClassVar
from urllib.parse import quote

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

    both_ends: ClassVar[tuple[str, ...]] = ("codec",)
    """Options that clients of a listener need as well; what makes segments adds its own."""

    def reached_at(self, address: str) -> str:
        """The URL for clients of a listener with these options."""
        usual = type(self)()
        given = {name: getattr(self, name) for name in self.both_ends}
        unusual = [
            f"{name}={quote(f'{each:g}' if isinstance(each, float) else str(each), safe='/:')}"
            for name, each in given.items()
            if each != getattr(usual, name)
        ]
        return f"{address}?{'&'.join(unusual)}" if unusual else address
