"""The receiving half of segmentation: segments are put together, and reported.

The format is in `format`. What one peer may cost is bounded, and all that is dropped is counted.
"""

from array import array
from binascii import unhexlify
from collections.abc import Hashable
from math import inf
from zlib import crc32

from msgspec import Struct

from ..limits import Limits

HEADER_BYTES = 9
_REPORT_EVERY = 16
REPORT_SECONDS = 0.1
UNFINISHED = 8
_UNFINISHED_SECONDS = 10.0
_IDLE_SECONDS = 1.0
REMEMBERED = 16
_REMEMBERED_SECONDS = 45.0  # longer than any sender tries
SEGMENT_COST = 128
LATELY_SECONDS = 1.0


class AssemblyBudget:
    """What all peers of one listener may hold together of unfinished messages.

    When all is taken, a network that has less than an equal share gets it from the one that has
    most, and a peer that has less than an equal share of its network's from the peer that has most
    there: whose unfinished messages are dropped. So no few peers or hosts keep it from the others.

    Args:
        left: bytes.
    """

    __slots__ = ("_networks", "_total", "left")

    def __init__(self, left: int) -> None:
        self.left = left
        self._total = left
        self._networks: dict[Hashable, _Network] = {}

    def has_room(self, holder: "Assembler", cost: int) -> bool:
        """Whether a peer may take so much; makes room for one that has less than its share."""
        if cost <= self.left:
            return True
        mine = self._networks.get(holder.network, _NOBODY)
        networks = len(self._networks) + (mine is _NOBODY)
        peers = len(mine.holders) + (holder not in mine.holders)
        if (mine.used + cost) * networks <= self._total:
            rival = max(self._networks.values(), key=lambda each: each.used)
        elif (holder.used + cost) * peers <= mine.used:
            rival = mine
        else:
            return False
        max(rival.holders, key=lambda each: each.used).abandon_all()  # has more, so it is another
        return True

    def take(self, holder: "Assembler", cost: int) -> None:
        """Note that a peer holds more."""
        network = self._networks.get(holder.network)
        if network is None:
            network = self._networks[holder.network] = _Network()
        network.used += cost
        network.holders.add(holder)
        self.left -= cost
        holder.used += cost

    def give_back(self, holder: "Assembler", size: int) -> None:
        """Note that a peer holds less."""
        network = self._networks[holder.network]
        network.used -= size
        self.left += size
        holder.used -= size
        if not holder.used:
            network.holders.remove(holder)
            if not network.holders:
                del self._networks[holder.network]


class _Network:
    """The peers of one network that hold something."""

    __slots__ = ("holders", "used")

    def __init__(self) -> None:
        self.holders: set[Assembler] = set()
        self.used = 0


_NOBODY = _Network()


class _Assembly(Struct, eq=False):
    """One message that is arriving."""

    count: int
    heard_at: float
    new_at: float  # when the last segment came that was not there yet
    parts: dict[int, bytes] = {}
    prefix: int = 0  # all below have arrived
    size: int = 0
    fresh: int = 0  # segments since the last report
    gap_at: float = inf  # since when one is missing that was not reported

    def due(self) -> float:
        """When it is to be reported."""
        if not self.fresh:
            return inf
        if self.fresh >= _REPORT_EVERY:
            return -inf
        return min(self.heard_at, self.gap_at) + REPORT_SECONDS

    def report(self, number: int, room: int) -> bytes:
        """The report, with as many missing ones as it has room for."""
        self.fresh = 0
        self.gap_at = inf
        report = b"~%02x!%03x" % (number, self.prefix)
        if len(self.parts) == self.prefix:
            return report
        start = self.prefix
        for index in sorted(index for index in self.parts if index > start):
            if index > start:
                gap = b",%03x" % start if index == start + 1 else b",%03x-%03x" % (start, index - 1)
                if len(report) + len(gap) > room:
                    break
                report += gap
            start = index + 1
        return report


class _Finished(Struct, eq=False):
    """What is remembered of a message that has arrived, so that late copies are known."""

    checks: "array[int]"  # of its chunks
    at: float


class Assembler:
    """Puts the segments of one peer together.

    Args:
        packet: bytes of the largest packet that may be sent back.
        limits: of which `assembled_bytes` is used here.
        budget: what is left for all peers.
        network: where the peer is, empty where it is on its own.

    Attributes:
        dropped: segments that made no sense, or for which there was no room.
        abandoned: messages that were never finished.
        network: what it shares its part of the budget with.
        used: bytes that the unfinished messages take, for `AssemblyBudget` to count.
    """

    __slots__ = (
        "_answers",
        "_budget",
        "_finished",
        "_limit",
        "_packet",
        "_unfinished",
        "abandoned",
        "dropped",
        "network",
        "used",
    )

    def __init__(
        self, packet: int, limits: Limits, budget: AssemblyBudget, network: str = ""
    ) -> None:
        self.network: Hashable = network or id(self)
        self._packet = packet
        self._limit = limits.assembled_bytes
        self._budget = budget
        self._unfinished: dict[int, _Assembly] = {}
        self._finished: dict[int, _Finished] = {}  # oldest first
        self._answers: dict[int, int] = {}  # counts of finished messages to be reported
        self.dropped = 0
        self.abandoned = 0
        self.used = 0

    def is_moving(self, now: float) -> bool:
        """Whether part of a message has arrived lately."""
        return any(now - each.new_at < LATELY_SECONDS for each in self._unfinished.values())

    def is_taking(self, packet: bytes) -> bool:
        """Whether other segments of the message have arrived, by the number in one."""
        try:
            return int(packet[1:3], 16) in self._unfinished
        except ValueError:
            return False

    def take(self, packet: bytes, now: float) -> bytes | None:
        """Take a segment.

        Args:
            packet: begins with `~` and is no report.
            now: seconds.

        Returns:
            The whole message, when this was its last segment.
        """
        try:
            head = int.from_bytes(unhexlify(packet[1:HEADER_BYTES]), "big")
        except ValueError:
            self.dropped += 1
            return None
        number, index, count = head >> 24, head >> 12 & 0xFFF, head & 0xFFF
        chunk = packet[HEADER_BYTES:]
        if len(packet) < HEADER_BYTES or index >= count or (not chunk and count > 1):
            self.dropped += 1
            return None
        assembly = self._unfinished.get(number)
        if assembly is None or assembly.count != count or assembly.parts.get(index, chunk) != chunk:
            if self._is_late(number, index, count, chunk, now):
                self._answers[number] = count
                return None
            assembly = self._begin(number, index, count, chunk, now)
            if assembly is None:
                self.dropped += 1
                return None
        return self._add(assembly, number, index, chunk, now)

    def poll(self, now: float) -> list[bytes]:
        """The reports that are due.

        Args:
            now: seconds.
        """
        reports = [b"~%02x!%03x" % answer for answer in self._answers.items()]
        self._answers.clear()
        for number, assembly in tuple(self._unfinished.items()):
            if now >= assembly.new_at + _UNFINISHED_SECONDS:
                self._abandon(number)
            elif assembly.due() <= now:
                reports.append(assembly.report(number, self._packet))
        return reports

    def next_due(self) -> float:
        """When `poll` has something to do, if no segment comes before."""
        if self._answers:
            return -inf
        return min(
            (
                min(each.due(), each.new_at + _UNFINISHED_SECONDS)
                for each in self._unfinished.values()
            ),
            default=inf,
        )

    def clear(self) -> None:
        """Drop all, and give the room back."""
        self.abandon_all()
        self._finished.clear()

    def abandon_all(self) -> None:
        """Drop what is unfinished, and give its room back."""
        for number in tuple(self._unfinished):
            self._abandon(number)

    def _add(
        self, assembly: _Assembly, number: int, index: int, chunk: bytes, now: float
    ) -> bytes | None:
        parts = assembly.parts
        assembly.heard_at = now
        if index in parts:
            assembly.fresh += 1  # the report may have been lost
            return None
        cost = len(chunk) + SEGMENT_COST
        if not self._has_room(cost):
            self.dropped += 1
            return None
        self._budget.take(self, cost)
        assembly.size += cost
        assembly.new_at = now
        assembly.fresh += 1
        parts[index] = chunk
        if index != assembly.prefix:
            assembly.gap_at = min(assembly.gap_at, now)
        else:
            while assembly.prefix in parts:
                assembly.prefix += 1
            if assembly.prefix == assembly.count:
                return self._finish(number, assembly, now)
        if index == assembly.count - 1:
            assembly.fresh = _REPORT_EVERY
        return None

    def _finish(self, number: int, assembly: _Assembly, now: float) -> bytes:
        self._release(number)
        chunks = [assembly.parts[index] for index in range(assembly.count)]
        self._finished.pop(number, None)
        self._finished[number] = _Finished(array("I", map(crc32, chunks)), now)
        if len(self._finished) > REMEMBERED:
            del self._finished[next(iter(self._finished))]
        self._answers[number] = assembly.count
        return b"".join(chunks)

    def _is_late(self, number: int, index: int, count: int, chunk: bytes, now: float) -> bool:
        """Whether it is a copy of what has arrived already, as part of a whole message."""
        finished = self._finished.get(number)
        if (
            finished is None
            or now - finished.at > _REMEMBERED_SECONDS
            or len(finished.checks) != count
            or finished.checks[index] != crc32(chunk)
        ):
            return False
        finished.at = now
        return True

    def _begin(
        self, number: int, index: int, count: int, chunk: bytes, now: float
    ) -> _Assembly | None:
        """Make room for a new message, if that can be."""
        if number in self._unfinished:
            self._abandon(number)
        if index < count - 1 and count * (len(chunk) + SEGMENT_COST) > self._limit:
            return None
        if not self._has_room(len(chunk) + SEGMENT_COST):
            return None
        if len(self._unfinished) >= UNFINISHED:
            oldest = min(self._unfinished, key=lambda each: self._unfinished[each].new_at)
            if now - self._unfinished[oldest].new_at < _IDLE_SECONDS:
                return None
            self._abandon(oldest)
        assembly = self._unfinished[number] = _Assembly(count, heard_at=now, new_at=now)
        return assembly

    def _has_room(self, cost: int) -> bool:
        return self.used + cost <= self._limit and self._budget.has_room(self, cost)

    def _abandon(self, number: int) -> None:
        self._release(number)
        self.abandoned += 1

    def _release(self, number: int) -> None:
        self._budget.give_back(self, self._unfinished.pop(number).size)
