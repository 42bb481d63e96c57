"""The sending half of segmentation: messages are cut, and what is missing is repeated.

The format is in `format`.
"""

import re
from collections import deque
from math import inf

from msgspec import Struct

from ..limits import Limits
from .receiver import (
    HEADER_BYTES,
    LATELY_SECONDS,
    REMEMBERED,
    REPORT_SECONDS,
    SEGMENT_COST,
    UNFINISHED,
)

MAX_SEGMENTS = 4095
_WINDOW = 32
_FIRST_TIMER = 0.25
_LONGEST_TIMER = 2.0
_GIVE_UP_SECONDS = 30.0
_STRANGERS_WINDOW = 16
_STRANGERS_TRIES = 4
_MOST_REPEATS = 64  # of each segment, on average: a receiver must not keep us busy for ever
_REPORT = re.compile(
    rb"~([0-9a-fA-F]{2})!([0-9a-fA-F]{3})((?:,[0-9a-fA-F]{3}(?:-[0-9a-fA-F]{3})?)*)"
)


def largest_message(packet: int, limits: Limits) -> int:
    """Bytes of the largest message that is sent, in segments or in one packet.

    It is what 4,095 segments hold, unless a receiver with the same limits would take fewer.

    Args:
        packet: bytes of the largest packet.
        limits: of which `assembled_bytes` is used here.
    """
    chunk = packet - HEADER_BYTES
    segments = min(MAX_SEGMENTS, limits.assembled_bytes // (chunk + SEGMENT_COST))
    return max(packet, chunk * segments)


class _Transfer(Struct, eq=False):
    """One message that is leaving."""

    message: bytes
    number: int = 0
    turn: int = 0  # in the order of all messages
    cuts: list[int] = []
    next: int = 0  # the first segment that has never left
    prefix: int = 0  # all below have arrived
    flying: dict[int, float] = {}  # unreported segments and when they left, oldest first
    again: dict[int, None] = {}  # segments to repeat
    repeated: set[int] = set()  # segments that have left more than once
    sent: int = 0  # segments, repeated ones too
    tries: int = 0  # timers that ran out since the last report
    delay: float = 0.0
    due: float = inf
    progress_at: float = 0.0
    is_heard: bool = False  # some of it has arrived

    @property
    def count(self) -> int:
        return len(self.cuts) - 1


class SegmentSender:
    """The messages that leave in segments, in order, at most 32 unreported segments at a time.

    Args:
        packet: bytes of the largest packet, more than 9.
        retry_seconds: how long to wait for a report before segments are sent again.
        first_number: of the first message.
        is_known: the other end is who it says it is. One that may have a forged address is sent
            less, and for less long, until it has reported something.

    Attributes:
        waiting_bytes: bytes of the messages that have not arrived yet.
        given_up: messages of which no segment got through for 30 s.
        dropped: reports that made no sense.
    """

    __slots__ = (
        "_active",
        "_arrived_at",
        "_first_delay",
        "_is_known",
        "_just_left",
        "_next_number",
        "_packet",
        "_rtt",
        "_turns",
        "_waiting",
        "dropped",
        "given_up",
        "waiting_bytes",
    )

    def __init__(
        self,
        packet: int,
        retry_seconds: float = 0.0,
        first_number: int = 0,
        *,
        is_known: bool = True,
    ) -> None:
        self._packet = packet
        self._first_delay = max(_FIRST_TIMER, retry_seconds)
        self._next_number = first_number
        self._is_known = is_known
        self._turns = 0
        self._rtt = 0.0
        self._arrived_at = -inf  # the last message that did as a whole
        self._active: dict[int, _Transfer] = {}
        self._waiting: deque[_Transfer] = deque()
        self._just_left: list[_Transfer] = []
        self.waiting_bytes = 0
        self.given_up = 0
        self.dropped = 0

    @property
    def is_busy(self) -> bool:
        """Whether a message is still leaving."""
        return bool(self._active or self._waiting)

    @property
    def is_all_out(self) -> bool:
        """Whether every segment has left once."""
        if self._waiting:
            return False
        return all(each.next == each.count for each in self._active.values())

    def is_moving(self, now: float) -> bool:
        """Whether segments have arrived lately, or a message so lately that no answer can have."""
        if now - self._arrived_at < self._first_delay:
            return True
        since = now - max(LATELY_SECONDS, 2 * self._first_delay)
        return any(each.progress_at > since for each in self._active.values())

    def send(self, message: bytes) -> None:
        """Take a message, unless the same one is leaving already; `poll` gives its segments."""
        if not any(each.message == message for each in (*self._active.values(), *self._waiting)):
            self._waiting.append(_Transfer(message))
            self.waiting_bytes += len(message)

    def forget(self, message: bytes, *, unless_heard: bool = False) -> None:
        """Stop sending a message, if it is leaving.

        Args:
            message: as it was given to `send`.
            unless_heard: go on if some of it is known to have arrived.
        """
        for number, transfer in self._active.items():
            if transfer.message == message:
                if not (unless_heard and transfer.is_heard):
                    self._end(number)
                return
        for transfer in self._waiting:
            if transfer.message == message:
                self._waiting.remove(transfer)
                self.waiting_bytes -= len(message)
                return

    def message_of(self, number: int) -> bytes | None:
        """The message that is leaving under a number."""
        transfer = self._active.get(number)
        return None if transfer is None else transfer.message

    def next_due(self) -> float:
        """When `poll` has something to send, if no report comes before."""
        return min((each.due for each in self._active.values()), default=inf)

    def poll(self, now: float) -> list[bytes]:
        """The segments that may leave.

        Args:
            now: seconds.
        """
        self._just_left = []
        for transfer in tuple(self._active.values()):
            if transfer.due <= now:
                self._time_out(transfer, now)
        packets: list[bytes] = []
        window = _WINDOW if self._is_known else _STRANGERS_WINDOW
        room = window - sum(len(each.flying) for each in self._active.values())
        for transfer in self._active.values():
            room -= self._transmit(transfer, room, now, packets)
        while room > 0 and self._may_start():
            room -= self._transmit(self._start(now), room, now, packets)
        return packets

    def left(self, now: float) -> None:
        """Note when the segments of the last `poll` have left: on a slow link that takes a while.

        Args:
            now: seconds.
        """
        for transfer in self._just_left:
            self._set_timer(transfer, now)

    def take_report(self, packet: bytes, now: float) -> None:
        """Note what has arrived.

        Args:
            packet: a report.
            now: seconds.
        """
        match = _REPORT.fullmatch(packet)
        if match is None:
            self.dropped += 1
            return
        transfer = self._active.get(int(match[1], 16))
        if transfer is None:
            return  # a late one
        below = int(match[2], 16)
        missing = _read_missing(match[3], transfer.next)
        if missing is None or below > transfer.next:
            self.dropped += 1
        elif below == transfer.count and not missing:
            self._is_known = True
            self._arrived_at = now
            self._end(transfer.number)
        elif transfer.sent > _MOST_REPEATS * transfer.count:
            self._give_up(transfer)
        else:
            self._is_known = True
            self._note(transfer, below, missing, now)

    def _note(self, transfer: _Transfer, below: int, missing: dict[int, None], now: float) -> None:
        """Repeat what is missing; what is not and lies below a missing one has arrived."""
        transfer.tries = 0
        flying, again = transfer.flying, transfer.again
        reach = max(below, *missing) if missing else below
        prefix = min(below, *missing) if missing else below
        arrived = [index for index in flying if index < reach and index not in missing]
        for index in [index for index in again if index < reach and index not in missing]:
            del again[index]
        if arrived or prefix > transfer.prefix:
            transfer.progress_at = now
            transfer.is_heard = True
            transfer.delay = self._first_delay
        youngest = arrived[-1] if arrived else None
        if youngest is not None:
            sample = now - flying[youngest]
            self._rtt += (sample - self._rtt) * (0.2 if self._rtt else 1.0)
        # What was repeated since the youngest left that has arrived may still be on its way.
        patience = max(REPORT_SECONDS, 2 * self._rtt)
        overtaken = youngest is not None
        for index, left_at in tuple(flying.items()):
            if index < reach and index not in missing:
                del flying[index]
                overtaken = overtaken and index != youngest
            elif now - left_at >= patience or (
                index in missing and (overtaken or index not in transfer.repeated)
            ):
                del flying[index]
                again[index] = None
        for index in missing:
            if index not in flying:
                again[index] = None
        transfer.prefix = prefix
        self._set_timer(transfer, now)

    def _may_start(self) -> bool:
        """Whether the next message may begin to leave.

        The other end assembles few at a time. And it remembers few that are whole: if more followed
        one whose last report was lost, that one would be put together twice.
        """
        if not self._waiting or len(self._active) >= UNFINISHED:
            return False
        oldest = next(iter(self._active.values()), None)
        return oldest is None or self._turns - oldest.turn < REMEMBERED

    def _start(self, now: float) -> _Transfer:
        transfer = self._waiting.popleft()
        while self._next_number in self._active:
            self._next_number = (self._next_number + 1) & 0xFF
        transfer.number = self._next_number
        transfer.turn = self._turns
        self._turns += 1
        self._next_number = (self._next_number + 1) & 0xFF
        transfer.cuts = cut(transfer.message, self._packet - HEADER_BYTES)
        transfer.delay = self._first_delay
        transfer.progress_at = now
        self._active[transfer.number] = transfer
        return transfer

    def _transmit(self, transfer: _Transfer, room: int, now: float, packets: list[bytes]) -> int:
        """Add the segments that are due and for which there is room; says how many."""
        indexes = list(transfer.again)[: max(0, room)]
        for index in indexes:
            del transfer.again[index]
        transfer.repeated.update(indexes)
        room = max(0, room - len(indexes)) if self._is_known or not transfer.tries else 0
        fresh = min(transfer.next + room, transfer.count)
        indexes += range(transfer.next, fresh)
        if not indexes:
            return 0
        transfer.next = fresh
        cuts, view = transfer.cuts, memoryview(transfer.message)
        for index in indexes:
            transfer.flying[index] = now
            head = b"~%02x%03x%03x" % (transfer.number, index, transfer.count)
            packets.append(b"".join((head, view[cuts[index] : cuts[index + 1]])))
        transfer.sent += len(indexes)
        self._just_left.append(transfer)
        self._set_timer(transfer, now)
        return len(indexes)

    def _time_out(self, transfer: _Transfer, now: float) -> None:
        """Ask for a report, with the first and the last segment that may be missing."""
        transfer.tries += 1
        is_stranger = not self._is_known and transfer.tries > _STRANGERS_TRIES
        if is_stranger or now >= transfer.progress_at + _GIVE_UP_SECONDS:
            self._give_up(transfer)
            return
        transfer.flying.clear()
        asking = (transfer.prefix, transfer.next - 1)
        transfer.again = dict.fromkeys(index for index in asking if index < transfer.next)
        transfer.delay = max(transfer.delay, min(2 * transfer.delay, _LONGEST_TIMER))
        self._set_timer(transfer, now)

    def _set_timer(self, transfer: _Transfer, now: float) -> None:
        due = now + max(transfer.delay, 2 * self._rtt)
        transfer.due = min(due, transfer.progress_at + _GIVE_UP_SECONDS)

    def _give_up(self, transfer: _Transfer) -> None:
        self._end(transfer.number)
        self.given_up += 1

    def _end(self, number: int) -> None:
        self.waiting_bytes -= len(self._active.pop(number).message)


def cut(message: bytes, size: int) -> list[int]:
    """Where to cut a message into chunks: before each character of UTF-8, or where there is none.

    Args:
        message: to be cut.
        size: bytes of the largest chunk.

    Returns:
        The beginnings of all chunks, and the end of the last one.
    """
    length = len(message)
    anywhere = [*range(0, max(1, length), size), length]
    if message.isascii():
        return anywhere
    cuts = [0]
    while cuts[-1] + size < length:
        end = cuts[-1] + size
        for _ in range(3):
            if message[end] & 0xC0 != 0x80:
                break
            end -= 1
        if message[end] & 0xC0 == 0x80 or end <= cuts[-1]:
            end = cuts[-1] + size
        cuts.append(end)
    cuts.append(length)
    # Whole characters can make the largest messages need more segments than there are numbers.
    return cuts if len(cuts) <= MAX_SEGMENTS + 1 else anywhere


def _read_missing(text: bytes, end: int) -> dict[int, None] | None:
    """The indexes of a report's list, `None` where they do not ascend or reach `end`."""
    missing: dict[int, None] = {}
    least = 0
    for item in text.split(b",")[1:]:
        first = int(item[:3], 16)
        last = int(item[4:], 16) if len(item) > 3 else first
        if not least <= first <= last < end:
            return None
        missing.update(dict.fromkeys(range(first, last + 1)))
        least = last + 1
    return missing
