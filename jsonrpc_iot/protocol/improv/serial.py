"""Improv on a serial line: packets made, and found again beside Tuya frames and other text.

A packet is `IMPROV`, the version 1, type, length, data, and a checksum: the sum of all bytes before
it, modulo 256. A newline follows, since programs in the field look for packets at the beginning of
a line. Source: "Improv via Serial", "Packet format", https://www.improv-wifi.com/serial.

Logs and Tuya frames share the line, and bytes get lost. So where a packet cannot be right, the
search goes on with its second byte: a good one is found wherever it begins, also inside a broken
one.
"""

from enum import IntEnum
from typing import NamedTuple, Self

from ...errors import MalformedFrame
from ..tuya.frame import MARK as _FRAME_MARK
from ..tuya.frame import Frame, FrameDecoder
from .messages import Call, ErrorState, State, without_key

VERSION = 1
LONGEST_DATA = 255
OVERHEAD = 10
"""Bytes of a packet besides its data, without the newline."""

_MARK = b"IMPROV"
_HEADER = len(_MARK) + 3
_FRAME_HEADER = len(_FRAME_MARK) + 4


class PacketType(IntEnum):
    """What a packet is. Source: "The packet types are"."""

    STATE = 1
    ERROR = 2
    CALL = 3
    RESULT = 4


_COMMAND = _MARK + bytes((VERSION, PacketType.CALL))


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


class LineDecoder(FrameDecoder):
    """Finds packets and Tuya frames on a line that both share.

    It is as `FrameDecoder` says, with `IMPROV` as one more mark: where a packet or frame cannot be
    right, one byte is dropped and the search goes on. Of two that overlap, the one counts that
    began first, so that no message and no DataPoint smuggles a packet in.

    Args:
        max_data: as in `FrameDecoder`.
        silence_seconds: likewise.
        pause_seconds: likewise.
        baudrate: likewise.

    Attributes:
        packets: those that are whole; who feeds takes them away.
        bad_packets: what looked like a packet, but for its checksum.
        noise_bytes: bytes that belong to no frame and no packet, such as logs.
    """

    __slots__ = ("_may_be_newline", "bad_packets", "packets")

    def __init__(
        self,
        max_data: int = 4096,
        silence_seconds: float = 0.4,
        pause_seconds: float = 1.0,
        baudrate: int = 9600,
    ) -> None:
        super().__init__(max_data, silence_seconds, pause_seconds, baudrate)
        self.packets: list[Packet] = []
        self.bad_packets = 0
        self._may_be_newline = False  # what comes next, behind a packet

    @classmethod
    def instead_of(cls, other: FrameDecoder) -> Self:
        """A decoder that goes on where another one is, with its counts."""
        made = cls()
        for name in FrameDecoder.__slots__:
            setattr(made, name, getattr(other, name))
        return made

    def take_packets(self) -> list[Packet]:
        """The packets that are whole, in order."""
        packets, self.packets = self.packets, []
        return packets

    def _scan(self, data: bytes, at: int, frames: list[Frame]) -> int:
        """Add the frames and packets from there on; see `FrameDecoder`."""
        size = len(data)
        if self._may_be_newline:
            at += data.startswith(b"\n", at)
            self._may_be_newline = False
        while (start := _first_mark(data, at)) >= 0:
            self.noise_bytes += start - at
            is_packet = data[start] == _MARK[0]
            header = _HEADER if is_packet else _FRAME_HEADER
            body = start + header
            if body > size:
                self._awaited = header
                return start
            length = data[body - 1] if is_packet else int.from_bytes(data[body - 2 : body], "big")
            end = body + length
            if is_packet and data[start + len(_MARK)] != VERSION:
                pass
            elif not is_packet and length > self._max_data:
                self.too_long += 1
            elif end >= size:
                self._awaited = header + length + 1
                return start
            elif sum(data[start:end]) & 0xFF != data[end]:
                if is_packet:
                    self.bad_packets += 1
                else:
                    self.bad_checksums += 1
            else:
                at = end + 1
                if is_packet:
                    self.packets.append(Packet(data[body - 2], data[body:end]))
                    at += data.startswith(b"\n", at)
                    self._may_be_newline = at == size == end + 1
                else:
                    frames.append(Frame(data[start + 2], data[start + 3], data[body:end]))
                continue
            self.noise_bytes += 1
            at = start + 1
        rest = size - _begun(data, at)
        self.noise_bytes += rest - at
        self._awaited = 0
        return rest


class NoiseMask:
    """Hides what may be a key where bytes are shown that were found to be nothing.

    From the header of a command on, as many bytes are hidden as the longest packet has, since its
    own length may be spoilt.
    """

    def __init__(self) -> None:
        self._before = b""  # the last bytes, which may be the beginning of a header
        self._hidden = 0  # bytes that are still to be hidden

    def shown(self, noise: bytes) -> bytes:
        """The next bytes, with asterisks in place of those that are hidden."""
        count = min(self._hidden, len(noise))
        self._hidden -= count
        rest = noise[count:]
        joined = self._before + rest
        start = joined.find(_COMMAND)
        if start < 0:
            self._before = joined[1 - len(_COMMAND) :]
            return b"*" * count + rest
        end = start + len(_COMMAND) - len(self._before)
        self._before = b""
        self._hidden = LONGEST_DATA + 2  # its length and checksum
        return b"*" * count + rest[:end] + self.shown(rest[end:])


def _first_mark(data: bytes, at: int) -> int:
    """Where a frame or packet may begin; -1 for nowhere."""
    packet = data.find(_MARK, at)
    frame = data.find(_FRAME_MARK, at, len(data) if packet < 0 else packet)
    return packet if frame < 0 else frame


def _begun(data: bytes, at: int) -> int:
    """How many of the last bytes may be the beginning of a mark."""
    if data.endswith(_FRAME_MARK[:1], at):
        return 1
    return next((n for n in range(len(_MARK) - 1, 0, -1) if data.endswith(_MARK[:n], at)), 0)
