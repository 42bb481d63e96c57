"""The client's end of a sealed link, over any channel that carries the packets."""

import logging
from collections.abc import Sequence

import anyio
from msgspec import structs

from ...channel.arrival import Arrival
from ...channel.clock import now
from ...channel.contract import Channel, Take, TellFailed, Trace
from ...channel.info import ChannelInfo
from ...channel.wrappers import WrappedChannel
from ...protocol.seal.client import ClientSeal
from ...protocol.seal.packets import Form

logger = logging.getLogger("jsonrpc_iot.transports")

BROKEN = "a sealed packet was changed, or is missing"
USED_UP = "the sealed session is used up"


class SealedChannel(WrappedChannel):
    """A channel whose messages only the holders of a key can read or make.

    What arrives and is not sealed is dropped and counted: anybody may have sent it.

    Args:
        inner: carries the packets.
        seal: makes and opens them.
        form: how they travel there.
        in_order: nothing gets lost or comes twice there; the channel ends when something does.

    Attributes:
        foreign: messages that were not sealed.
    """

    def __init__(self, inner: Channel, seal: ClientSeal, form: Form, *, in_order: bool) -> None:
        super().__init__(inner)
        largest = inner.info.max_message
        self._info = structs.replace(
            inner.info,
            max_message=None if largest is None else form.largest(largest),
            reliable=in_order,
            is_sealed=True,
        )
        self._seal = seal
        self._form = form
        self._in_order = in_order
        self._sending = anyio.Lock(fast_acquire=True)
        self._opened: list[bytes] = []  # newest first
        self._traces: list[Trace] = []
        self._is_broken = False
        self._awaited: set[bytes] = set()
        self._offered: Sequence[bytes] = ()  # packets that were opened, but not taken
        self.foreign = 0

    @property
    def info(self) -> ChannelInfo:
        """The facts about this channel."""
        return self._info

    @property
    def seal(self) -> ClientSeal:
        """What seals and opens, with counts of what was dropped."""
        return self._seal

    def check(self, message: bytes) -> None:
        """Nothing to look at: the link does not see messages; see `Channel.check`."""

    def expect_within(self, message: bytes, seconds: float | None) -> None:
        """Learn that an answer will tell whether it arrived; see `Channel.expect_within`."""
        self._awaited.add(message)

    def forget(self, message: bytes) -> None:
        """See `Channel.forget`."""
        self._awaited.discard(message)

    def supersede(self, message: bytes) -> None:
        """Each packet leaves at once; see `Channel.supersede`."""

    def tell_failed(self, tell: TellFailed) -> None:
        """The link does not know which message a packet has; see `Channel.tell_failed`."""

    def trace_frames(self, trace: Trace) -> None:
        """Show packets without messages, and those that do not open; see `Channel.trace_frames`."""
        self._traces.append(trace)
        self._inner.trace_frames(trace)

    def offer_to(self, take: Take) -> None:
        """See `Channel.offer_to`; where something may be wrong, that is for whoever receives."""
        if self._in_order:
            return

        def take_packets(packets: Sequence[bytes]) -> bool:
            messages, _ = self.open(packets)
            if self._seal.due > now() and (not messages or take(messages)):
                return True
            self._opened, self._offered = messages[::-1], packets
            return False

        self._inner.offer_to(take_packets)

    async def receive(self) -> bytes:
        """Wait for the next message; see `Channel.receive`."""
        if not self._opened:
            self._opened = (await self.receive_batch())[::-1]
        return self._opened.pop()

    async def receive_batch(self) -> list[bytes]:
        """Wait for messages, and answer for the session meanwhile; see `Channel.receive_batch`."""
        while not self._opened:
            if self._is_broken:
                raise anyio.BrokenResourceError(BROKEN)
            if self._seal.due <= now():
                await self.send_due()
            batch = await self._next_packets()
            offered, self._offered = self._offered, ()
            messages, _ = self.open([each for each in batch if each not in offered])
            self._opened = messages[::-1] + self._opened
        opened, self._opened = self._opened[::-1], []
        return opened

    async def _next_packets(self) -> list[bytes]:
        """The next packets, none when something is to be sent before."""
        if not self._seal.is_changing:
            return await self._inner.receive_batch()
        with anyio.CancelScope(deadline=self._seal.due):
            return await self._inner.receive_batch()
        return []

    def open(self, batch: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
        """Open what has come.

        Returns:
            The messages, and what was not sealed.
        """
        messages, plain = [], []
        at = now()
        for each in batch:
            packet = self._form.unwrap(each) if self._form.is_packet(each) else None
            if packet is None:
                plain.append(each)
                continue
            dropped = self._seal.dropped
            message = self._seal.open(packet, at)
            if message is not None:
                late = isinstance(each, Arrival) and each.waited
                messages.append(Arrival.after(message, each.waited) if late else message)  # type: ignore[attr-defined]
            elif self._seal.dropped > dropped:
                self._show("<?", packet)
                if self._in_order:
                    self._is_broken = True
                    break
            else:
                self._show("<=", packet)
        self.foreign += len(plain)
        return messages, plain

    def send_now(self, messages: Sequence[bytes]) -> int:
        """Send messages, where what the link does not take may be sealed anew."""
        if self._in_order or self._sending.locked() or self._seal.due <= now():
            return 0
        return self._inner.send_now([self._packet(message) for message in messages])

    async def send(self, item: bytes) -> None:
        """Send one message, and learn what the link says to it where nobody answers."""
        if item in self._awaited:
            await self.send_batch((item,))
            return
        async with self._sending:
            await self._send_due()
            await self._inner.send(self._packet(item))

    async def send_batch(self, messages: Sequence[bytes]) -> None:
        """Send messages; see `Channel.send_batch`."""
        async with self._sending:
            await self._send_due()
            await self._inner.send_batch([self._packet(message) for message in messages])

    async def send_due(self) -> None:
        """Send what the session needs and no message is in."""
        async with self._sending:
            await self._send_due()

    async def _send_due(self) -> None:
        for packet in self._seal.poll(now()):
            self._show("=>", packet)
            await self._inner.send(self._form.wrap(packet))

    def _packet(self, message: bytes) -> bytes:
        packet = self._seal.seal(message)
        if packet is None:
            raise anyio.BrokenResourceError(USED_UP)
        return self._form.wrap(packet)

    def _show(self, direction: str, packet: bytes) -> None:
        for trace in self._traces:
            trace(direction, packet)
