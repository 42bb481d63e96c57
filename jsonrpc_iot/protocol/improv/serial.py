"""Improv on a serial line: packets made, and found again beside other text.

A packet is `IMPROV`, the version 1, type, length, data, and a checksum: the sum of all bytes before
it, modulo 256. A newline follows, since programs in the field look for packets at the beginning of
a line. Source: "Improv via Serial", "Packet format", https://www.improv-wifi.com/serial.

Logs and other protocols share the line, and bytes get lost. So where a packet cannot be right, the
search goes on with its second byte: a good one is found wherever it begins, also inside a broken
one.
"""

import math
from enum import IntEnum
from typing import NamedTuple

from ...errors import MalformedFrame
from .messages import Call, ErrorState, State, without_key

VERSION = 1
LONGEST_DATA = 255
OVERHEAD = 10
"""Bytes of a packet besides its data, without the newline."""

_MARK = b"IMPROV"
_HEADER = len(_MARK) + 3


class PacketType(IntEnum):
    """What a packet is. Source: "The packet types are"."""

    STATE = 1
    ERROR = 2
    CALL = 3
    RESULT = 4


class Packet(NamedTuple):
    """What a packet carries.

    Args:
        type: of `PacketType` or not.
        data: up to 255 bytes.
    """

    type: int
    data: bytes

    def __repr__(self) -> str:
        """Without the data, which may hold a key."""
        return f"Packet({self.type}, {len(self.data)} bytes)"

    def encode(self) -> bytes:
        """The packet as it goes over the line, with its newline.

        Raises:
            ValueError: the data is too long.
        """
        head = _MARK + bytes((VERSION, self.type, len(self.data)))
        packet = head + self.data
        return packet + bytes((sum(packet) & 0xFF,)) + b"\n"

    @property
    def call(self) -> Call:
        """The command or result in it.

        Raises:
            MalformedFrame: it is cut short.
        """
        return Call.decode(self.data)

    @property
    def value(self) -> int:
        """The one byte of a state or an error.

        Raises:
            MalformedFrame: it has none.
        """
        if not self.data:
            raise MalformedFrame("an Improv packet without data")
        return self.data[0]

    def shown(self) -> bytes:
        """The packet to be shown: one with Wi-Fi settings has no key, and so another checksum."""
        if self.type != PacketType.CALL:
            return self.encode()
        try:
            call = self.call
        except MalformedFrame:  # it may have begun as settings
            call = Call(self.data[0] if self.data else 0)
        return call_packet(without_key(call)).encode()


def state_packet(state: State) -> Packet:
    """A packet that tells the state."""
    return Packet(PacketType.STATE, bytes((state,)))


def error_packet(error: ErrorState) -> Packet:
    """A packet that tells what went wrong, or that nothing has."""
    return Packet(PacketType.ERROR, bytes((error,)))


def call_packet(call: Call) -> Packet:
    """A packet with a command."""
    return Packet(PacketType.CALL, call.encode())


def result_packet(call: Call) -> Packet:
    """A packet with a result."""
    return Packet(PacketType.RESULT, call.encode())


class PacketDecoder:
    """Finds the packets in what a serial line brings.

    Any bytes give packets whose checksum is right and counted others, nothing else, and the same
    wherever they are cut into pieces. At most one unfinished packet is kept. Its end may never
    come: so call `expire` when `next_due` says.

    Args:
        silence_seconds: how long the line may be silent within a packet.

    Attributes:
        other_bytes: bytes that belong to no packet, such as newlines and logs.
        bad_checksums: what looked like a packet, but for its checksum.
        bad_versions: likewise, but for its version.
        expired: how often silence put an end to an unfinished packet.
    """

    def __init__(self, silence_seconds: float = 0.4) -> None:
        self.other_bytes = 0
        self.bad_checksums = 0
        self.bad_versions = 0
        self.expired = 0
        self._silence = silence_seconds
        self._heard = -math.inf
        self._unfinished = b""  # a packet's beginning, or that of its mark

    def feed(self, data: bytes, now: float) -> list[Packet]:
        """Take what the line brought.

        Args:
            data: any bytes.
            now: seconds, when they came.

        Returns:
            The packets that are whole by them, in order, and before those the ones that `expire`
            finds, if it had something to do.
        """
        packets = self.expire(now)
        if data:
            self._heard = now
            self._scan(self._unfinished + data, 0, packets)
        return packets

    def expire(self, now: float) -> list[Packet]:
        """Give up an unfinished packet if the line was silent for too long.

        Args:
            now: seconds.

        Returns:
            The packets that are found inside it.
        """
        packets: list[Packet] = []
        if now >= self.next_due():
            self.expired += 1
            while self._unfinished:
                self.other_bytes += 1
                self._scan(self._unfinished, 1, packets)
        return packets

    def next_due(self) -> float:
        """When `expire` has something to do, if nothing comes before: seconds, or infinity."""
        return self._heard + self._silence if self._unfinished else math.inf

    def _scan(self, data: bytes, at: int, packets: list[Packet]) -> None:
        """Add the packets from there on, and keep what is unfinished."""
        while (start := data.find(_MARK, at)) >= 0:
            self.other_bytes += start - at
            at = start
            header = data[start : start + _HEADER]
            if len(header) > len(_MARK) and header[len(_MARK)] != VERSION:
                self.bad_versions += 1
            else:
                end = start + OVERHEAD + header[-1]
                if len(header) < _HEADER or end > len(data):
                    self._unfinished = data[start:]
                    return
                if sum(data[start : end - 1]) & 0xFF == data[end - 1]:
                    packets.append(Packet(header[-2], data[start + _HEADER : end - 1]))
                    at = end
                    continue
                self.bad_checksums += 1
            self.other_bytes += 1
            at = start + 1
        begun = next((n for n in range(len(_MARK) - 1, 0, -1) if data.endswith(_MARK[:n], at)), 0)
        self.other_bytes += len(data) - at - begun
        self._unfinished = data[len(data) - begun :]
