"""`?segment=1`: any transport of packets, with channels that carry messages of many packets."""

from msgspec import structs

from ...channel.contract import Channel, Listener, Serve, Transport, read_url
from ...channel.options import PacketOptions
from ...channel.url import Url
from ...channel.wrappers import WrappedListener
from ...protocol.limits import Limits
from ...protocol.segments.format import HEADER_BYTES, AssemblyBudget
from .segmented_channel import SegmentedChannel


class SegmentedTransport:
    """A transport whose URLs have the option `segment`.

    Args:
        inner: carries the packets.
    """

    def __init__(self, inner: Transport) -> None:
        self._inner = inner

    async def connect(self, url: Url, limits: Limits) -> Channel:
        """Open a channel; see `Transport.connect`."""
        in_segments = _wants_segments(url)
        channel = await self._inner.connect(url, limits)
        return segmented(channel, limits) if in_segments else channel

    def read_url(self, url: Url) -> None:
        """Check a URL to connect to; raises `InvalidUrl`."""
        _wants_segments(url)
        read_url(self._inner, url)

    async def listen(self, url: Url, limits: Limits) -> Listener:
        """Bind a URL; see `Transport.listen`."""
        in_segments = _wants_segments(url)
        listener = await self._inner.listen(url, limits)
        if not in_segments:
            return listener
        budget = AssemblyBudget(limits.assembled_bytes_in_all)

        def around(handler: Serve) -> Serve:
            async def serve(channel: Channel) -> None:
                await handler(segmented(channel, limits, budget))

            return serve

        return WrappedListener(listener, "segment=1", around)


def segmented(channel: Channel, limits: Limits, budget: AssemblyBudget | None = None) -> Channel:
    """A channel that sends big messages in segments; as it is, where any size fits."""
    if channel.info.max_message is None:
        return channel
    is_known = budget is None or channel.info.reliable
    return SegmentedChannel(channel, limits, budget, is_known=is_known)


def _wants_segments(url: Url) -> bool:
    """Whether a URL asks for segments; that its transport knows the option shows elsewhere.

    Raises:
        InvalidUrl: its packets are too small for segments.
    """
    if "segment" not in url.options:
        return False
    asked = structs.replace(url, options={"segment": url.options["segment"]})
    largest = url.options.get("max", "")
    in_segments = asked.read_options(PacketOptions).segment
    if in_segments and largest.isdecimal() and float(largest) <= HEADER_BYTES:
        raise url.error(
            f"segments need packets of more than {HEADER_BYTES} bytes: max is too small"
        )
    return in_segments
