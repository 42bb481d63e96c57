"""What the two ends of a Tuya serial line say to each other besides values, for both of them.

A role is told of every frame, and says what to send: it has no clock and does no I/O. Source:
Tuya's document "Serial Communication Protocol", its general commands.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import ClassVar

import msgspec
from msgspec import Struct

from jsonrpc_iot.errors import MalformedFrame

from .datapoints import DataPoint, decode_datapoints, encode_datapoints
from .frame import OVERHEAD, Command, Frame, NetworkStatus, encode_frame

BUFFER = 256
"""Bytes of the largest frame that every module can hold."""

_HEARTBEAT_SECONDS = 15.0
_SEARCHING_SECONDS = 1.0
_OFFLINE_SECONDS = 3.0
_STEP_SECONDS = 1.0
_STEP_TRIES = 3
_REPLAY_SECONDS = 3.0
_FIRST_YEAR = 2000
_ACCEPTED, _REFUSED = b"\1", b"\0"


class Product(Struct, frozen=True, rename={"id": "p", "version": "v", "mode": "m"}):
    """What an MCU says of the product that it runs.

    Args:
        id: the product's id (PID) on Tuya's platform.
        version: of the MCU's program, `1.0.0`.
        mode: how pairing starts: 0 at once and after each reset, 1 on demand, 2 both.
    """

    id: str
    version: str = ""
    mode: int = 0

    @classmethod
    def decode(cls, data: bytes) -> "Product":
        """Read an answer. Old MCUs answer plain text: it becomes the id."""
        try:
            return msgspec.json.decode(data, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return cls(data.decode(errors="replace"))


class Role(ABC):
    """One end of the line.

    Attributes:
        version: of the frames that this end sends.
        sends: the command that carries its DataPoints.
        takes: commands that bring DataPoints of the other end.
    """

    version: ClassVar[int]
    sends: ClassVar[Command]
    takes: ClassVar[frozenset[int]]

    @abstractmethod
    def take(self, frame: Frame, now: float) -> list[bytes]:
        """Learn of a frame that came.

        Args:
            frame: any one.
            now: seconds.

        Returns:
            The frames that answer it.
        """

    def poll(self, now: float) -> list[bytes]:
        """The frames that are due."""
        return []

    def next_due(self) -> float:
        """When `poll` has something to do: seconds, or infinity."""
        return math.inf

    def encode(self, command: int, data: bytes = b"") -> bytes:
        """A frame of this end."""
        return encode_frame(command, data, self.version)


class Mcu(Role):
    """The end that runs the product, and answers its module.

    Args:
        product: what it says of itself.
        working_mode: empty where the module shows its state by itself, otherwise the numbers of the
            module's pins for the state's lamp and the reset button.
        buffer: bytes of the largest frame that the module can hold.

    Attributes:
        product: as above.
        datapoints: what it answers to a query of all of them, by id.
        network_status: what the module last said, `None` before.
        report_result: whether the module took the last synchronous report, `None` before it says.
    """

    version = 3
    sends = Command.REPORT_DATAPOINTS
    takes = frozenset({Command.SET_DATAPOINTS})

    def __init__(self, product: Product, working_mode: bytes = b"", buffer: int = BUFFER) -> None:
        self.product = product
        self.datapoints: dict[int, DataPoint] = {}
        self.network_status: NetworkStatus | int | None = None
        self.report_result: bool | None = None
        self._working_mode = working_mode
        self._buffer = buffer
        self._restarted = True

    def take(self, frame: Frame, now: float) -> list[bytes]:
        """Answer the module; see `Role.take`."""
        match frame.command:
            case Command.HEARTBEAT:
                state = b"\0" if self._restarted else b"\1"
                self._restarted = False
                return [self.encode(frame.command, state)]
            case Command.PRODUCT:
                return [self.encode(frame.command, msgspec.json.encode(self.product))]
            case Command.WORKING_MODE:
                return [self.encode(frame.command, self._working_mode)]
            case Command.NETWORK_STATUS:
                status = read_network_status(frame)
                self.network_status = self.network_status if status is None else status
                return [self.encode(frame.command)]
            case Command.QUERY_DATAPOINTS:
                return list(self._report_all())
            case Command.SYNC_REPORT_RESULT:
                self.report_result = frame.data == _ACCEPTED
        return []

    def _report_all(self) -> Iterable[bytes]:
        """All DataPoints, in as few frames as the module can hold."""
        units = b""
        for point in self.datapoints.values():
            unit = encode_datapoints([point])
            if units and len(units) + len(unit) + OVERHEAD > self._buffer:
                yield self.encode(self.sends, units)
                units = b""
            units += unit
        if units:
            yield self.encode(self.sends, units)


class Module(Role):
    """The end that leads to the network: it looks after the MCU, and passes on what that reports.

    Args:
        network_status: what it tells the MCU.
        clock: gives the local time, with its zone; an MCU that asks gets none without it.

    Attributes:
        is_online: the MCU answers.
        product: what the MCU said of itself, `None` before.
        working_mode: likewise.
        rssi: signal strength in dBm for an MCU that asks, 0 for unknown.
    """

    version = 0
    sends = Command.SET_DATAPOINTS
    takes = frozenset({Command.REPORT_DATAPOINTS, Command.SYNC_REPORT})

    _START = (Command.PRODUCT, Command.WORKING_MODE, Command.NETWORK_STATUS)

    def __init__(
        self,
        network_status: NetworkStatus = NetworkStatus.CLOUD,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self.is_online = False
        self.product: Product | None = None
        self.working_mode: bytes | None = None
        self.rssi = 0
        self._network_status = network_status
        self._clock = clock
        self._heartbeat_due = -math.inf
        self._offline_due = math.inf
        self._steps: list[Command] = []  # of the start, still to be answered
        self._step_due = math.inf
        self._tries = 0
        self._replaying_until = -math.inf

    def set_network_status(self, status: NetworkStatus) -> bytes:
        """Have another network status; returns the frame that tells the MCU."""
        self._network_status = status
        return self._ask(Command.NETWORK_STATUS)

    def query(self, now: float) -> bytes:
        """The frame that asks for all DataPoints.

        Args:
            now: seconds.
        """
        self._replaying_until = now + _REPLAY_SECONDS
        return self.encode(Command.QUERY_DATAPOINTS)

    def is_replaying(self, now: float) -> bool:
        """Whether reports may be the answer to a query: old values, not news."""
        return now < self._replaying_until

    def take(self, frame: Frame, now: float) -> list[bytes]:
        """Go on with the start, or answer the MCU; see `Role.take`."""
        self._offline_due = math.inf  # whatever it says, it is there
        match frame.command:
            case Command.HEARTBEAT:
                return self._take_heartbeat(frame.data, now)
            case Command.PRODUCT:
                self.product = Product.decode(frame.data)
            case Command.WORKING_MODE:
                self.working_mode = frame.data
            case Command.RESET | Command.RESET_TO_MODE:
                return [self.encode(frame.command)]
            case Command.GMT_TIME | Command.LOCAL_TIME:
                return [self.encode(frame.command, self._time(frame.command))]
            case Command.SYNC_REPORT:
                return [self.encode(Command.SYNC_REPORT_RESULT, _result(frame.data))]
            case Command.RSSI:
                strength = self.rssi.to_bytes(1, "big", signed=True)
                return [self.encode(frame.command, strength)]
        if self._steps and frame.command == self._steps[0]:
            return [self._next_step(now)]
        return []

    def poll(self, now: float) -> list[bytes]:
        """The heartbeat, and what was not answered; see `Role.poll`."""
        frames: list[bytes] = []
        if now >= self._offline_due:
            self.is_online = False
            self._steps = []
            self._heartbeat_due, self._offline_due = now, math.inf
        if now >= self._heartbeat_due:
            frames.append(self.encode(Command.HEARTBEAT))
            if self.is_online:
                self._offline_due = now + _OFFLINE_SECONDS
            self._heartbeat_due = now + self._pause()
        if self._steps and now >= self._step_due:
            if self._tries >= _STEP_TRIES:  # an MCU that does not know this command
                frames.append(self._next_step(now))
            else:
                frames.append(self._try_step(now))
        return frames

    def next_due(self) -> float:
        """When `poll` has something to do."""
        step_due = self._step_due if self._steps else math.inf
        return min(self._heartbeat_due, self._offline_due, step_due)

    def _take_heartbeat(self, data: bytes, now: float) -> list[bytes]:
        was_online, self.is_online = self.is_online, True
        self._heartbeat_due = now + self._pause()
        if was_online and data != b"\0":
            return []
        self._steps = list(self._START)
        self._tries = 0
        return [self._try_step(now)]

    def _pause(self) -> float:
        return _HEARTBEAT_SECONDS if self.is_online else _SEARCHING_SECONDS

    def _next_step(self, now: float) -> bytes:
        """Go on with the start; its last step, the query of all DataPoints, has no answer."""
        del self._steps[0]
        self._tries = 0
        return self._try_step(now) if self._steps else self.query(now)

    def _try_step(self, now: float) -> bytes:
        self._tries += 1
        self._step_due = now + _STEP_SECONDS
        return self._ask(self._steps[0])

    def _ask(self, command: Command) -> bytes:
        status = command is Command.NETWORK_STATUS
        return self.encode(command, bytes((self._network_status,)) if status else b"")

    def _time(self, command: int) -> bytes:
        """The time as an MCU gets it: a one, the year since 2000, and so on."""
        is_local = command == Command.LOCAL_TIME
        none = bytes(8 if is_local else 7)
        if self._clock is None:
            return none
        time = self._clock()
        fields = time.timetuple() if is_local else time.utctimetuple()
        year = fields.tm_year - _FIRST_YEAR
        if not 0 <= year <= 0xFF:  # a clock that was never set
            return none
        encoded = bytes((1, year, *fields[1:6]))
        return encoded + bytes((time.isoweekday(),)) if is_local else encoded


def _result(units: bytes) -> bytes:
    """What a module says to a synchronous report."""
    try:
        decode_datapoints(units)
    except MalformedFrame:
        return _REFUSED
    return _ACCEPTED


def read_network_status(frame: Frame) -> NetworkStatus | int | None:
    """What a frame says of the network: a number where it is a new one, `None` where it is none."""
    if len(frame.data) != 1:
        return None
    try:
        return NetworkStatus(frame.data[0])
    except ValueError:
        return frame.data[0]
