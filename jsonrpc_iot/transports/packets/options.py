"""What all transports have in common whose messages are packets."""

from typing import ClassVar
from urllib.parse import quote

from msgspec import Struct, structs

from ...channel.url import Url
from ...protocol.messages import CodecName
from ...protocol.segments.format import HEADER_BYTES


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


def wants_segments(url: Url) -> bool:
    """Whether a URL asks for segments; that its transport knows the option shows elsewhere.

    Raises:
        InvalidUrl: its packets are too small for segments.
    """
    if "segment" not in url.options:
        return False
    asked = structs.replace(url, options={"segment": url.options["segment"]})
    largest = url.options.get("max", "")
    in_segments = asked.read_options(PacketOptions).segment
    if in_segments and largest.isdecimal() and int(largest) <= HEADER_BYTES:
        raise url.error(
            f"segments need packets of more than {HEADER_BYTES} bytes: max is too small"
        )
    return in_segments
