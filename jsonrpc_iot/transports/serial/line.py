"""A serial line of Tuya frames, shared by all who read it and write to it.

Nobody has to read it all the time: whoever waits for something reads for everybody, so a line needs
no task of its own.
"""

import logging
import math
from collections.abc import Callable
from typing import Protocol, final

import anyio
from anyio.abc import ByteStream

from ...channel.changes import Change
from ...channel.clock import clock
from ...channel.contract import Trace
from ...errors import MalformedFrame
from ...protocol.improv.serial import LineDecoder, Packet
from ...protocol.tuya.datapoints import Unit, split_units
from ...protocol.tuya.frame import (
    BITS_PER_BYTE,
    LATE_SECONDS,
    Command,
    Frame,
    FrameDecoder,
    encode_frame,
)
from ...protocol.tuya.role import Mcu, Role
from ..direct import DirectStream
from .trace import FrameTrace

logger = logging.getLogger("jsonrpc_iot.transports")

LONGEST_DATA = 4096
"""Bytes of data of the longest frame that is accepted."""

# What has arrived is read before something that is overdue counts, but not for ever.
_LATE_PIECES = 64

_LEAST_BAUDRATE = 9600  # of a serial server, whose rate nobody knows, too

# On a slower line who sends waits until the frame has left, all but so much of it: what waits in
# the buffers of the system counts as sent, and is asked for again before it has left.
_SLOW_BAUDRATE = 115_200
_AHEAD_SECONDS = 0.1
_ANSWER_SECONDS = 2.0
_RESULT_SECONDS = 5.5  # a module says after 5 s that it failed


class TakesFrames(Protocol):
    """Is told of what comes, and must not wait; one that says no more than this takes nothing."""

    def take_frame(self, frame: Frame) -> None:
        """A frame came."""
        return

    def is_for(self, unit: Unit) -> bool:
        """Whether a unit is meant for this one by its id."""
        return False

    def take_unit(self, unit: Unit) -> bool:
        """A unit of a DataPoint came; says whether this one took it."""
        return False


@final
class TuyaLine:
    """The frames of one line.

    Args:
        stream: the line.
        role: which end of the line this is; with none, frames are only carried.
        baudrate: bits per second.
        frame_gap: seconds between the end of a frame and the next one, at least.

    Attributes:
        role: as above.
        is_shared: there are channels that come and go, so that `look_again` has to work.
        decoder: cuts the line into frames, and counts what it drops.
        takers: those who want to know what comes. A unit goes to the first who takes it.
        frames_sent: all that left.
        malformed: units of DataPoints that were no such thing, and frames that end within one.
        unanswered: answers of the role for which the line had no room for too long.
    """

    def __init__(
        self,
        stream: ByteStream,
        role: Role | None = None,
        *,
        baudrate: int = _SLOW_BAUDRATE,
        frame_gap: float = 0.0,
    ) -> None:
        self.role = role
        self.is_shared = False
        slowest = min(baudrate, _LEAST_BAUDRATE)
        self.decoder: FrameDecoder = FrameDecoder(LONGEST_DATA, baudrate=slowest)
        self.takers: list[TakesFrames] = []
        self.frames_sent = 0
        self.malformed = 0
        self.unanswered = 0
        self._stream = stream
        self._now = clock()
        self._direct = stream if isinstance(stream, DirectStream) else None
        self._begun: tuple[bytes, bytes] | None = None  # a frame that has left in part, its rest
        self._is_done: Callable[[], bool] = lambda: True  # what the one who reads waits for
        self._taken = 0  # bytes of what is received next that have been taken already
        self._byte_seconds = BITS_PER_BYTE / baudrate
        self._is_slow = baudrate < _SLOW_BAUDRATE
        self._frame_gap = frame_gap
        self._free_at = -math.inf
        self._late_pieces = 0
        self._traces: dict[Trace, FrameTrace] = {}
        self._packets: LineDecoder | None = None  # the decoder, where packets are wanted too
        self._packet_takers: list[Callable[[Packet], object]] = []
        self._sending = anyio.Lock(fast_acquire=True)
        self._confirming = anyio.Lock()
        self._is_read = False
        self._news = Change()
        self._receiving: anyio.CancelScope | None = None
        self._answers: list[bytes] = []
        if self._direct is not None and role is None:
            self._direct.offer_to(self._offer)

    @property
    def drops(self) -> dict[str, int]:
        """How much was dropped, by reason; see `channel.drops`."""
        decoder, role = self.decoder, self.role
        return {
            "noise_bytes": decoder.noise_bytes,
            "bad_checksum": decoder.bad_checksums,
            "bad_length": decoder.too_long,
            "cut_short": decoder.expired,
            "malformed": self.malformed,
            "no_room": self.unanswered,
            "echo": 0 if role is None else role.echoes,
        }

    async def wait(self, is_done: Callable[[], bool]) -> None:
        """Read, or let somebody else read, until something is there.

        Args:
            is_done: says whether it is.

        Raises:
            anyio.BrokenResourceError: the line is gone.
            anyio.ClosedResourceError: this end has closed it.
            anyio.EndOfStream: a serial server on TCP has closed it.
        """
        while not is_done():
            if self._is_read:
                await self._news.wait()
                continue
            self._is_read = True
            self._is_done = is_done
            try:
                await self._read()
            finally:
                self._is_read = False
                self._news.notify()

    def trace_frames(self, trace: Trace) -> None:
        """Show the frames of all commands, and the noise; see `Channel.trace_frames`."""
        if trace not in self._traces:
            self._traces[trace] = FrameTrace(trace, self.decoder)
            if self._packets is not None:
                self._traces[trace].hide_noise()

    def find_packets(self, take: Callable[[Packet], object]) -> LineDecoder:
        """Have Improv's packets found too.

        Args:
            take: gets each, and must not wait.

        Returns:
            What finds them, for its counts.
        """
        self._packet_takers.append(take)
        if self._packets is None:
            self.decoder = self._packets = LineDecoder.instead_of(self.decoder)
            for trace in self._traces.values():
                trace.hide_noise()
        return self._packets

    def leave_packets(self, take: Callable[[Packet], object]) -> None:
        """Tell a function of no more packets."""
        self._packet_takers.remove(take)

    async def pause(self, until: float, is_done: Callable[[], bool]) -> None:
        """Wait within a send, and read meanwhile: the other end must not be left without answers.

        Args:
            until: seconds of the event loop's clock.
            is_done: says whether to go on at once.

        Raises:
            anyio.BrokenResourceError: the line is gone.
            anyio.ClosedResourceError: this end has closed it.
        """
        if self._now() >= until:
            return
        with anyio.CancelScope(deadline=until):
            try:
                await self.wait(is_done)
            except anyio.EndOfStream:
                raise anyio.BrokenResourceError from None

    def look_again(self) -> None:
        """Have all who wait ask whether what they wait for is there; of a line that is shared."""
        if self._receiving is not None:
            self._receiving.cancel()

    def send_now(self, command: int, data: bytes) -> bool:
        """Send one frame if nobody has to wait for that; says whether it left.

        If not, it may have left in part: `send` goes on with it.

        Raises:
            anyio.BrokenResourceError: the line is gone.
            anyio.ClosedResourceError: this end has closed it.
        """
        is_busy = self._is_slow or self._frame_gap or self._begun or self._sending.locked()
        if self._direct is None or is_busy:
            return False
        frame = encode_frame(command, data, self.role.version if self.role else 0)
        rest = self._direct.send_now(frame)
        if rest is frame:
            return False
        self._show_left(frame)
        if rest:
            self._begun = frame, rest
            return False
        self._note_left(frame)
        return True

    async def send(self, command: int, data: bytes) -> None:
        """Send one frame, and let it leave.

        Raises:
            anyio.BrokenResourceError: the line is gone.
            anyio.ClosedResourceError: this end has closed it.
        """
        await self.send_frame(encode_frame(command, data, self.role.version if self.role else 0))
        if self._is_slow:
            await self.pause(self._free_at - _AHEAD_SECONDS, lambda: False)

    async def send_frame(self, frame: bytes, shown: bytes | None = None) -> None:
        """Send one frame that is encoded already; returns when the system has it; see `send`.

        Args:
            frame: a frame of Tuya's, or a packet of Improv's.
            shown: what a trace shows in its place.
        """
        async with self._sending:
            if self._frame_gap:
                await anyio.sleep_until(self._free_at)
            begun, self._begun = self._begun, None
            if begun is not None:
                await self._stream.send(begun[1])
                self._note_left(begun[0])
                if begun[0] == frame:
                    return
            self._show_left(shown or frame)
            await self._stream.send(frame)
            self._note_left(frame)

    def _show_left(self, frame: bytes) -> None:
        for trace in self._traces.values():
            trace.left(frame)

    def _note_left(self, frame: bytes) -> None:
        self.frames_sent += 1
        if self._is_slow or self._frame_gap:  # else nobody asks when the line is free
            begin = max(self._free_at, self._now())
            self._free_at = begin + len(frame) * self._byte_seconds + self._frame_gap

    async def report_and_confirm(self, units: bytes) -> bool:
        """Report DataPoints, and wait for what the module says; one report at a time.

        Returns:
            Whether it took them. One that says nothing did not.
        """
        role = self.role
        assert isinstance(role, Mcu)
        async with self._confirming:
            role.report_result = None
            await self.send(Command.SYNC_REPORT, units)
            until = self._now() + _RESULT_SECONDS
            await self.pause(until, lambda: role.report_result is not None)
            if role.report_result is None:  # if this program was busy, it may be here
                until = self._now() + LATE_SECONDS
                await self.pause(until, lambda: role.report_result is not None)
            return bool(role.report_result)

    async def aclose(self) -> None:
        """Give the port back."""
        await self._stream.aclose()

    async def _read(self) -> None:
        """Take in what comes next, or do what is due."""
        await self._answer()  # what a reader who was cancelled left
        role, due = self.role, self.decoder.next_due()
        if role:
            due = min(due, role.next_due())
        until = max(due, self._now() + LATE_SECONDS)
        piece = await self._receive(until)
        at = self._now()
        has_more = bool(piece) or at < until
        is_late = has_more and at >= due and self._late_pieces < _LATE_PIECES
        self._late_pieces = self._late_pieces + 1 if is_late else 0
        piece, self._taken = piece[self._taken :], 0
        decoder = self.decoder  # which `find_packets` may have replaced meanwhile
        frames = decoder.feed(piece, at, is_late=is_late) if piece else decoder.expire(at)
        for trace in self._traces.values():
            trace.took(piece, frames)
        for frame in frames:
            if role:
                self._answers += role.take(frame, at)
            self._hand_out(frame)
        if self._packets is not None:
            self._hand_out_packets(self._packets)
        if role and not is_late:
            self._answers += role.poll(at)
        await self._answer()

    def _offer(self, piece: bytes) -> bool:
        """Take what has just come; says whether there is nothing else to do for now."""
        decoder = self.decoder
        if not piece or self._traces or decoder.next_due() != math.inf:
            return False
        for frame in decoder.feed(piece, self._now()):
            self._hand_out(frame)
        if self._packets is not None:
            self._hand_out_packets(self._packets)
        self._news.notify()
        if decoder.next_due() == math.inf and not self._is_done():
            return True
        self._taken = len(piece)
        return False

    async def _receive(self, until: float) -> bytes:
        """What the line brings by then, or nothing."""
        if until == math.inf and not self.is_shared:
            return await self._stream.receive()
        with anyio.CancelScope(deadline=until) as self._receiving:
            return await self._stream.receive()
        return b""

    def _hand_out(self, frame: Frame) -> None:
        for taker in self.takers:
            taker.take_frame(frame)
        role = self.role
        units = role.units(frame) if role else None
        if role is None or units is None:
            return
        try:
            for unit in filter(role.is_news, split_units(units)):
                for taker in self.takers:
                    if taker.take_unit(unit):
                        break
        except MalformedFrame as error:
            self.count_malformed(error)

    def _hand_out_packets(self, decoder: LineDecoder) -> None:
        for packet in decoder.take_packets():
            for trace in self._traces.values():
                trace.took_packet(packet)
            for take in self._packet_takers:
                take(packet)

    def count_malformed(self, error: MalformedFrame) -> None:
        """Note what was no DataPoint."""
        self.malformed += 1
        logger.warning("a frame with DataPoints: %s", error)

    async def _answer(self) -> None:
        """Send what the role says, or give up: two ends that only send would wait for ever."""
        if not self._answers:
            return
        with anyio.move_on_after(_ANSWER_SECONDS):
            while self._answers:
                await self.send_frame(self._answers[0])
                del self._answers[0]
            return
        self.unanswered += len(self._answers)
        self._answers.clear()
