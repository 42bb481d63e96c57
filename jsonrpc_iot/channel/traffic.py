"""How many messages and bytes pass, where somebody wants to know."""

from collections.abc import Callable, Sequence

from .contract import Channel, Receiver, ReceivingChannel, Take, Trace
from .recorder import Recorder
from .tracing import Tracing
from .wrappers import WrappedChannel


class Traffic:
    """The messages over the links of one kind.

    Attributes:
        messages_in: that arrived.
        messages_out: that left.
        bytes_in: of those that arrived.
        bytes_out: of those that left.
    """

    __slots__ = ("bytes_in", "bytes_out", "messages_in", "messages_out")

    def __init__(self) -> None:
        self.messages_in = self.messages_out = self.bytes_in = self.bytes_out = 0

    def note_in(self, messages: Sequence[bytes]) -> None:
        """Count messages that have arrived."""
        self.messages_in += len(messages)
        for each in messages:  # most often one
            self.bytes_in += len(each)

    def note_out(self, messages: Sequence[bytes]) -> None:
        """Count messages that have left."""
        self.messages_out += len(messages)
        for each in messages:
            self.bytes_out += len(each)


class CountingTracing(Tracing):
    """Shows messages to whom they are to be shown, and has them counted by transport.

    Args:
        trace: as in `Tracing`.
        recorder: as in `Tracing`.

    Attributes:
        traffic: by the scheme of the link.
    """

    def __init__(self, trace: Trace | None = None, recorder: Recorder | None = None) -> None:
        super().__init__(trace, recorder)
        self.traffic: dict[str, Traffic] = {}

    def watch(self, channel: Channel, url: str = "") -> Channel:
        """A channel whose messages are shown and counted; see `Tracing.watch`."""
        traffic = self._traffic_of(channel.info.transport)
        channel = super().watch(channel, url)
        kind = _CountedReceivingChannel if isinstance(channel, ReceivingChannel) else CountedChannel
        return kind(channel, traffic)

    def show(self, direction: str, message: bytes, peer: str) -> None:
        """Show and count a message that came by no channel; see `Tracing.show`."""
        traffic = self._traffic_of(peer.partition(":")[0])
        note = traffic.note_in if direction == "<-" else traffic.note_out
        note((message,))
        super().show(direction, message, peer)

    def _traffic_of(self, transport: str) -> Traffic:
        traffic = self.traffic.get(transport)
        if traffic is None:
            traffic = self.traffic[transport] = Traffic()
        return traffic


class CountedChannel(WrappedChannel):
    """A channel that counts what is received.

    What is offered, and what is sent, is for the peer to count, which has it in its hands: to have
    that pass through here as well would take longer than all the counting.

    Args:
        inner: carries the messages.
        traffic: counts them.

    Attributes:
        inner: as above.
        traffic: as above.
    """

    def __init__(self, inner: Channel, traffic: Traffic) -> None:
        super().__init__(inner)
        self.inner = inner
        self.traffic = traffic

    def offer_to(self, take: Take) -> None:
        """See `Channel.offer_to`."""
        self._inner.offer_to(take)

    def rest(self, wake: Callable[[], object]) -> bool:
        """See `Channel.rest`."""
        return self._inner.rest(wake)

    async def receive(self) -> bytes:
        """Wait for the next message; see `Channel.receive`."""
        message = await self._inner.receive()
        self.traffic.note_in((message,))
        return message

    async def receive_batch(self) -> list[bytes]:
        """Wait for messages; see `Channel.receive_batch`."""
        messages = await self._inner.receive_batch()
        self.traffic.note_in(messages)
        return messages


class _CountedReceivingChannel(CountedChannel, ReceivingChannel):
    """The same for a channel that hands out its messages by itself."""

    inner: ReceivingChannel

    async def attach(self, receiver: Receiver) -> None:
        """See `ReceivingChannel.attach`."""
        await self.inner.attach(receiver)
