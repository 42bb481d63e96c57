"""`?segment=1`: any transport of packets, with channels that carry messages of many packets."""

from collections.abc import Sequence

from anyio.abc import TaskGroup
from msgspec import structs

from ...channel.contract import Channel, Listener, Serve, Transport
from ...channel.options import PacketOptions
from ...channel.url import Url
from ...protocol.limits import Limits
from ...protocol.segments.format import HEADER_BYTES, AssemblyBudget
from .segmented_channel import SegmentedChannel


class SegmentedListener(Listener):
    """A listener whose channels send big messages in segments.

    Args:
        inner: accepts the channels of packets.
        limits: bounds on what peers may cost.
    """

    def __init__(self, inner: Listener, limits: Limits) -> None:
        self._inner = inner
        self._limits = limits
        self._budget = AssemblyBudget(limits.assembled_bytes_in_all)

    @property
    def addresses(self) -> Sequence[str]:
        """The inner listener's, with the option that a client needs too."""
        return [
            f"{address}{'&' if '?' in address else '?'}segment=1"
            for address in self._inner.addresses
        ]

    @property
    def is_exposed(self) -> bool:
        """Whether other machines may reach it."""
        return self._inner.is_exposed

    @property
    def is_shared(self) -> bool:
        """Whether its channels have no socket of their own, and end with it."""
        return self._inner.is_shared

    async def serve(self, handler: Serve, task_group: TaskGroup) -> None:
        """Serve until cancelled; see `Listener.serve`."""

        async def serve_in_segments(channel: Channel) -> None:
            await handler(segmented(channel, self._limits, self._budget))

        await self._inner.serve(serve_in_segments, task_group)

    async def aclose(self) -> None:
        """Close the inner listener."""
        await self._inner.aclose()


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

    async def listen(self, url: Url, limits: Limits) -> Listener:
        """Bind a URL; see `Transport.listen`."""
        in_segments = _wants_segments(url)
        listener = await self._inner.listen(url, limits)
        return SegmentedListener(listener, limits) if in_segments else listener


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
