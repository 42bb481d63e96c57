"""Frames of the Tuya MCU serial protocol: made, and found again in a noisy stream.

A frame is `55 AA`, version, command, length (2 bytes, big-endian), data, and a checksum: the sum of
all bytes before it, modulo 256. Source: Tuya's document "Serial Communication Protocol".

A serial line loses bytes, alters them and begins in the middle. So where a frame cannot be right,
one byte is dropped and the search goes on with the next: a good frame is found wherever it begins,
also inside a broken one. Data may hold `55 AA`, and the version says nothing.

What the data means is for others: `datapoints` reads units, the commands are for the channel.
Nothing here has a clock or does I/O.
"""

import math
from enum import IntEnum
from functools import partial
from struct import Struct
from typing import NamedTuple
from zlib import adler32

OVERHEAD = 7
"""Bytes of a frame besides its data."""

BITS_PER_BYTE = 10
"""On the line: a start bit, eight of data and a stop bit."""

LATE_SECONDS = 0.01
"""How long to look for what has arrived before `FrameDecoder.expire`, which may be overdue."""

MARK = b"\x55\xaa"
_FIRST = MARK[:1]
_HEADER = Struct(">2sBBH")
_fields = Struct(">BBH").unpack_from  # the header after its mark

# Begun with 0, the lower half of Adler-32 is the plain sum, ten times as fast as `sum`, as long as
# that is under 65521. A header and so much data cannot sum up to more.
_SUMMABLE = 249


class Command(IntEnum):
    """What a frame is about. Others than these exist, and are frames like any other."""

    HEARTBEAT = 0x00
    PRODUCT = 0x01
    WORKING_MODE = 0x02
    NETWORK_STATUS = 0x03
    RESET = 0x04
    RESET_TO_MODE = 0x05
    SET_DATAPOINTS = 0x06
    REPORT_DATAPOINTS = 0x07
    QUERY_DATAPOINTS = 0x08
    GMT_TIME = 0x0C
    WIFI_TEST = 0x0E
    LOCAL_TIME = 0x1C
    OPEN_WEATHER = 0x20
    SYNC_REPORT = 0x22
    SYNC_REPORT_RESULT = 0x23
    RSSI = 0x24
    STOP_HEARTBEAT = 0x25
    ASK_NETWORK_STATUS = 0x2B
    MAC_ADDRESS = 0x2D
    EXTENDED = 0x34
    RPC = 0xFE
    """A message of JSON-RPC: not Tuya's, but this project's."""


class NetworkStatus(IntEnum):
    """The one byte that `Command.NETWORK_STATUS` carries to the MCU."""

    PAIRING_EZ = 0
    PAIRING_AP = 1
    NO_ROUTER = 2
    ROUTER = 3
    CLOUD = 4
    LOW_POWER = 5
    PAIRING_EZ_AND_AP = 6


class Frame(NamedTuple):
    """What a frame carries.

    Args:
        version: 0 from a module, 3 from most MCUs; captures hold others.
        command: of `Command` or not.
        data: any bytes.
    """

    version: int
    command: int
    data: bytes


_frame = partial(tuple.__new__, Frame)  # `Frame._make`, without a call in Python


def encode_frame(command: int, data: bytes = b"", version: int = 0) -> bytes:
    """Make a frame.

    Args:
        command: 0 to 255.
        data: up to 65,535 bytes.
        version: 0 to 255.

    Raises:
        ValueError: one of them is out of its range.
    """
    if len(data) > 0xFFFF:
        raise ValueError(f"{len(data)} bytes of data; a frame holds up to 65535")
    if not (0 <= command <= 0xFF and 0 <= version <= 0xFF):
        name, value = ("version", version) if 0 <= command <= 0xFF else ("command", command)
        raise ValueError(f"{name} {value} is not in 0 to 255")
    frame = _HEADER.pack(MARK, version, command, len(data)) + data
    return frame + bytes((_checksum(frame),))


def _checksum(data: bytes) -> int:
    """The sum of the bytes, modulo 256."""
    parts = range(0, len(data), _SUMMABLE)
    return sum([adler32(data[at : at + _SUMMABLE], 0) for at in parts]) & 0xFF


class FrameDecoder:
    """Finds the frames in what a serial line brings.

    Any bytes give frames whose checksum is right and counted noise, nothing else, and the same
    wherever they are cut into pieces. At most one unfinished frame is kept. Its end may never come,
    and a length that was altered makes it wait for the frames after it: so call `expire` when
    `next_due` says.

    Args:
        max_data: bytes of data of the longest frame that is accepted, up to 65,535.
        silence_seconds: how long the line may be silent within a frame.
        pause_seconds: how long it may pause within a frame, all pauses together: on a line with
            other traffic a wrong length would never meet with silence.
        baudrate: bits per second that the line carries at least, while it does not pause.

    Attributes:
        noise_bytes: bytes that belong to no frame.
        bad_checksums: what looked like a frame, but for its checksum.
        too_long: what looked like a frame, but for a length over `max_data`.
        expired: how often silence or pauses put an end to an unfinished frame.
    """

    __slots__ = (
        "_awaited",
        "_begun",
        "_byte_seconds",
        "_heard",
        "_max_data",
        "_pause",
        "_silence",
        "_unfinished",
        "bad_checksums",
        "expired",
        "noise_bytes",
        "too_long",
    )

    def __init__(
        self,
        max_data: int = 4096,
        silence_seconds: float = 0.4,
        pause_seconds: float = 1.0,
        baudrate: int = 9600,
    ) -> None:
        self.noise_bytes = 0
        self.bad_checksums = 0
        self.too_long = 0
        self.expired = 0
        self._max_data = max_data
        self._silence = silence_seconds
        self._pause = pause_seconds
        self._byte_seconds = BITS_PER_BYTE / baudrate
        self._heard = self._begun = -math.inf
        self._unfinished = bytearray()  # begins with a mark, or is its first byte
        self._awaited = 0  # how long it must be before there is something to decide

    def feed(self, data: bytes, now: float, *, is_late: bool = False) -> list[Frame]:
        """Take what the line brought.

        Args:
            data: any bytes.
            now: seconds, when they came.
            is_late: they lay in a buffer, so that the time says nothing of when they came: they may
                still end a frame that `expire` would give up.

        Returns:
            The frames that are whole by them, in order, and before those the ones that `expire`
            finds, if it had something to do.
        """
        unfinished = self._unfinished
        frames = self.expire(now) if unfinished and not is_late else []
        if not data:
            return frames
        self._heard = now
        if unfinished:
            unfinished += data
            if len(unfinished) < self._awaited:
                return frames
            data = bytes(unfinished)
        self._keep(data, self._scan(data, 0, frames), now)
        return frames

    def expire(self, now: float) -> list[Frame]:
        """Give up an unfinished frame if the line was silent, or paused in it, for too long.

        Args:
            now: seconds.

        Returns:
            The frames that are found inside it.
        """
        frames: list[Frame] = []
        if not self._unfinished or now < self.next_due():
            return frames
        self.expired += 1
        is_silent = now >= self._heard + self._silence
        data, at = bytes(self._unfinished), 0
        while at < len(data):
            self.noise_bytes += 1
            at = self._scan(data, at + 1, frames)
            if not is_silent:  # the frame after it may have begun
                break
        self._keep(data, at, now)
        return frames

    def next_due(self) -> float:
        """When `expire` has something to do, if nothing comes before: seconds, or infinity."""
        size = len(self._unfinished)
        if not size:
            return math.inf
        age = self._pause + size * self._byte_seconds
        return min(self._heard + self._silence, self._begun + age)

    def _keep(self, data: bytes, at: int, now: float) -> None:
        """Keep what is unfinished from there on."""
        if at or not self._unfinished:
            self._begun = now
        self._unfinished[:] = data[at:]

    def _scan(self, data: bytes, at: int, frames: list[Frame]) -> int:
        """Add the frames from there on; returns where an unfinished one begins, or the end."""
        size, max_data = len(data), self._max_data
        while (start := data.find(MARK, at)) >= 0:
            if start > at:
                self.noise_bytes += start - at
            body = start + 6
            if body > size:
                self._awaited = 6
                return start
            version, command, length = _fields(data, start + 2)
            end = body + length
            if length > max_data:
                self.too_long += 1
            elif end >= size:
                self._awaited = length + OVERHEAD
                return start
            else:
                before = data[start:end]
                total = adler32(before, 0) if length <= _SUMMABLE else _checksum(before)
                if total & 0xFF == data[end]:
                    frames.append(_frame((version, command, data[body:end])))
                    at = end + 1
                    continue
                self.bad_checksums += 1
            self.noise_bytes += 1
            at = start + 1
        rest = size - 1 if data.endswith(_FIRST, at) else size
        self.noise_bytes += rest - at
        self._awaited = len(MARK)
        return rest
