"""`?segment=1`: a channel of packets that carries messages of many packets.

How messages are cut and put together is the business of `protocol.segments`. Here are the clock,
the sending and the waiting.
"""

import logging
import random
from collections.abc import Mapping, Sequence

import anyio
from msgspec import structs

from ...channel.changes import Change
from ...channel.contract import Channel, TellFailed, Trace
from ...channel.info import ChannelInfo
from ...channel.wrappers import WrappedChannel
from ...errors import RpcError, TransportError
from ...protocol.about import about
from ...protocol.limits import Limits
from ...protocol.segments.format import (
    SEGMENT_MARK,
    AssemblyBudget,
    Segmentation,
    largest_message,
)

logger = logging.getLogger("jsonrpc_iot.transports")

_WAITING_BYTES = 1 << 20
_LINGER_SECONDS = 0.9
_BROKEN = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)


class SegmentedChannel(WrappedChannel):
    """A channel that sends what is too big for a packet in segments.

    What leaves in segments leaves as reports come in, so somebody must be in `receive`. Where the
    inner channel loses messages, small ones may overtake big ones; where it does not, all arrive
    in order.

    Args:
        inner: carries the packets, which have left when its `send_batch` returns; it has a
            `max_message`, of more than 9 bytes.
        limits: bounds on what the other end may cost.
        budget: what is left for all peers of a listener.
        is_known: the other end is who it says it is; see `SegmentSender`.

    Attributes:
        segmentation: what is under way, and counts of what was dropped.
        unpaid: packets that did not leave, since the other end has yet to prove that it is there.
    """

    def __init__(
        self,
        inner: Channel,
        limits: Limits,
        budget: AssemblyBudget | None = None,
        *,
        is_known: bool = True,
    ) -> None:
        super().__init__(inner)
        info = inner.info
        assert info.max_message is not None
        self._packet = info.max_message
        self._info = structs.replace(
            info, max_message=largest_message(self._packet, limits), sends_need_receiver=True
        )
        self.segmentation = Segmentation(
            self._packet,
            retry_seconds=info.retry_seconds,
            limits=limits,
            budget=budget,
            network=info.network,
            first_number=random.randrange(256),
            is_known=is_known,
            has_echoes=info.has_echoes,
        )
        self._sender = self.segmentation.sender
        self._ready: list[bytes] = []
        self._outbox: list[bytes] = []
        self._lock = anyio.Lock(fast_acquire=True)
        self._parked: anyio.CancelScope | None = None
        self._receiving = False
        self._changed = Change()
        self._failure: Exception | None = None
        self._closed = False
        self._packets_sent = 0
        self.unpaid = 0
        self._traces: list[Trace] = []
        self._deadlines: dict[bytes, float] = {}  # of the big messages that await an answer

    @property
    def info(self) -> ChannelInfo:
        """The facts about this channel."""
        return self._info

    @property
    def pieces_sent(self) -> int:
        """See `Channel.pieces_sent`."""
        return self._packets_sent + self._inner.pieces_sent

    @property
    def drops(self) -> Mapping[str, int]:
        """See `Channel.drops`."""
        assembler, own = self.segmentation.assembler, self.segmentation.own
        mine = {
            "bad_segment": assembler.dropped,
            "bad_report": self._sender.dropped,
            "echo": 0 if own is None else own.count,
            "unfinished": assembler.abandoned,
            "given_up": self._sender.given_up,
            "unproved": self.unpaid,
        }
        return {**self._inner.drops, **mine}

    @property
    def is_mid_message(self) -> bool:
        """Whether a segment has arrived at either end lately."""
        return self.segmentation.is_moving(anyio.current_time())

    def expect_within(self, message: bytes, seconds: float | None) -> None:
        """Have each packet of a message expire with its call; see `Channel.expect_within`."""
        if self._fits_packet(message):
            self._inner.expect_within(message, seconds)
        elif seconds is not None:
            self._deadlines[message] = anyio.current_time() + seconds

    def forget(self, message: bytes) -> None:
        """Stop sending a message, if it is still leaving."""
        if self._fits_packet(message):
            self._inner.forget(message)
        else:
            self._deadlines.pop(message, None)
            self._sender.forget(message)
            self._changed.notify()

    def tell_failed(self, tell: TellFailed) -> None:
        """Tell of whole messages, which are not sent on; see `Channel.tell_failed`."""

        def tell_message(packet: bytes, reason: TransportError | RpcError) -> None:
            is_segment = packet.startswith(SEGMENT_MARK)
            message = self.segmentation.message_of(packet) if is_segment else None
            self._sender.forget(message or packet)
            tell(message or packet, reason)

        self._inner.tell_failed(tell_message)

    def supersede(self, message: bytes) -> None:
        """Stop sending a message of which nothing has arrived yet; see `Channel.supersede`."""
        self._sender.forget(message, unless_heard=True)
        self._changed.notify()

    def trace_frames(self, trace: Trace) -> None:
        """Show segments and reports, and the inner channel's frames; see `Channel.trace_frames`."""
        self._traces.append(trace)
        self._inner.trace_frames(trace)

    def send_now(self, messages: Sequence[bytes]) -> int:
        """Send nothing: what leaves in segments waits for reports."""
        return 0

    async def receive(self) -> bytes:
        """Wait for the next message; see `Channel.receive`."""
        if not self._ready:
            self._ready = await self.receive_batch()
        return self._ready.pop(0)

    async def receive_batch(self) -> list[bytes]:
        """Wait for messages, and let those leave that are under way; see `Channel.receive_batch`.

        Raises:
            anyio.EndOfStream: and the like, as the inner channel does.
        """
        self._receiving = True
        try:
            while not self._ready:
                if self._failure is not None:
                    raise self._failure
                await self._turn()
        except _BROKEN as error:
            self._failure = error
            self._changed.notify()
            raise
        finally:
            self._receiving = False
            self._parked = None
        ready, self._ready = self._ready, []
        return ready

    async def send(self, item: bytes) -> None:
        """Send one message; see `Channel.send`.

        A big one is only begun here. While a megabyte waits already, it waits for room.
        """
        await self.send_batch((item,))

    async def send_batch(self, messages: Sequence[bytes]) -> None:
        """Send messages; see `send`."""
        small: list[bytes] = []
        for message in messages:
            if self._fits_packet(message):
                small.append(message)
                continue
            if small:
                await self._send_small(small)
                small = []
            await self._send_big(message)
        if small:
            await self._send_small(small)

    async def send_eof(self) -> None:
        """Let what is under way leave, for a second at most, and send no more."""
        await self._linger()
        await self._inner.send_eof()

    async def aclose(self) -> None:
        """Let what is under way leave, for a second at most, and close the channel."""
        try:
            if not self._closed:
                await self._linger()
        finally:
            self._closed = True
            self._changed.notify()
            self.segmentation.assembler.clear()
            await self._inner.aclose()

    def _fits_packet(self, message: bytes) -> bool:
        """Whether a message leaves as it is."""
        return len(message) <= self._packet and not message.startswith(SEGMENT_MARK)

    async def _linger(self) -> None:
        """Wait until what is under way has arrived, with nobody else waiting for messages."""
        with anyio.move_on_after(_LINGER_SECONDS):
            try:
                while self._sender.is_busy and self._failure is None:
                    if self._receiving:
                        await self._changed.wait()
                    else:
                        await self._turn()
            except _BROKEN as error:
                self._failure = error

    async def _send_small(self, messages: list[bytes]) -> None:
        while self._info.reliable and not self._sender.is_all_out:
            self._check()
            await self._changed.wait()
        if self._closed:
            raise anyio.ClosedResourceError
        await self._write(messages)

    async def _send_big(self, message: bytes) -> None:
        self._check()
        while self._sender.waiting_bytes and (
            self._sender.waiting_bytes + len(message) > _WAITING_BYTES
        ):
            await self._changed.wait()
            self._check()
        self._sender.send(message)
        self._outbox += self.segmentation.segments(anyio.current_time())
        await self._write()
        if self._parked is not None:
            self._parked.deadline = min(self._parked.deadline, self._sender.next_due())

    def _check(self) -> None:
        if self._closed:
            raise anyio.ClosedResourceError
        if self._failure is not None:
            raise anyio.BrokenResourceError from self._failure

    async def _turn(self) -> None:
        """Send what is due, then wait for packets until something is due again."""
        self._poll()
        if self._outbox and not self._lock.locked():  # else who sends takes these along
            if self._info.reliable:
                await self._write_and_read()
            else:
                await self._write()
            self._poll()
            if self._ready or self._outbox:  # what was read meanwhile may have to be reported
                return
        with anyio.CancelScope(deadline=self.segmentation.next_due()) as self._parked:
            self._take(await self._inner.receive_batch())
        self._poll()
        if self._outbox and not self._info.reliable and not self._lock.locked():
            await self._write()

    async def _write_and_read(self) -> None:
        """Send what is due, and read meanwhile: a channel that loses nothing holds senders back.

        If neither end read while it sends, both could wait for each other for ever.
        """
        async with anyio.create_task_group() as tasks:

            async def read() -> None:
                try:
                    while sum(map(len, self._ready)) < _WAITING_BYTES:
                        self._take(await self._inner.receive_batch())
                except _BROKEN as error:
                    self._failure = error

            tasks.start_soon(read)
            try:
                await self._write()
            except _BROKEN as error:
                self._failure = self._failure or error
            tasks.cancel_scope.cancel()

    def _take(self, packets: Sequence[bytes]) -> None:
        if self._traces:
            self._show("<=", [packet for packet in packets if packet.startswith(SEGMENT_MARK)])
        self._ready += self.segmentation.receive(packets, anyio.current_time())
        self._changed.notify()

    def _poll(self) -> None:
        given_up = self._sender.given_up
        self._outbox += self.segmentation.poll(anyio.current_time())
        if self._sender.given_up > given_up:
            logger.info(
                "%s: no segment of a message got through; given up",
                self._info.peer,
                extra=about(self._info.peer),
            )
            self._changed.notify()

    async def _write(self, messages: Sequence[bytes] = ()) -> None:
        """Send what waits, then messages that fit a packet. May be cancelled."""
        async with self._lock:
            await self._write_out()
            if messages:
                await self._inner.send_batch(messages)
                self._packets_sent += len(messages)
                await self._write_out()

    async def _write_out(self) -> None:
        while self._outbox:
            packets = tuple(self._outbox)
            self._show("=>", packets)
            expected = self._expect(packets)
            try:
                await self._inner.send_batch(self._paid(packets))
            finally:
                for packet in expected:
                    self._inner.forget(packet)
            del self._outbox[: len(packets)]
            self._packets_sent += len(packets)
            self._sender.left(anyio.current_time())
            self._changed.notify()

    def _paid(self, packets: Sequence[bytes]) -> Sequence[bytes]:
        """What of that may go to an address that may be forged; the rest is as if it was lost."""
        unproved = self._inner.unproved
        if unproved is None:
            return packets
        paid = [packet for packet in packets if unproved.spend(len(packet))]
        self.unpaid += len(packets) - len(paid)
        return paid

    def _expect(self, packets: Sequence[bytes]) -> list[bytes]:
        """Tell the inner channel which packets expire, until they have left; returns these.

        It is not to repeat them later: that is done here, as reports tell what is missing.
        """
        expected = []
        now = anyio.current_time()
        for packet in packets if self._deadlines else ():
            message = self.segmentation.message_of(packet)
            if message is not None and (deadline := self._deadlines.get(message)) is not None:
                self._inner.expect_within(packet, max(0.0, deadline - now))
                expected.append(packet)
        return expected

    def _show(self, direction: str, packets: Sequence[bytes]) -> None:
        for trace in self._traces:
            for packet in packets:
                trace(direction, packet)
