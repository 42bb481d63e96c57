"""What an end of a Tuya serial line says besides values, and the end that runs the product.

A role is told of every frame, and says what to send: it has no clock and does no I/O. Source:
Tuya's document "Serial Communication Protocol", its general commands. The other end is in `module`.

A line may echo: an adapter for RS-485 hears itself. What an end hears of its own is no question and
no answer, and says nothing about the other end; most of it cannot be mistaken, by its data.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar

import msgspec
from msgspec import Struct

from .datapoints import DataPoint, Unit, encode_datapoints
from .frame import OVERHEAD, Command, Frame, NetworkStatus, encode_frame

BUFFER = 256
"""Bytes of the largest frame that every module can hold."""

TAKEN, REFUSED = b"\1", b"\0"
"""What a module says to a synchronous report."""

_ECHO_SECONDS = 1.0


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
        echoes: frames of this end that came back to it.
        left_to_program: commands that the program answers, where this end would refuse.
    """

    version: ClassVar[int]
    sends: ClassVar[Command]
    takes: ClassVar[frozenset[int]]

    def __init__(self) -> None:
        self.echoes = 0
        self.left_to_program: set[int] = set()
        self._twins: dict[int, float] = {}

    @abstractmethod
    def take(self, frame: Frame, now: float) -> list[bytes]:
        """Learn of a frame that came.

        Args:
            frame: any one.
            now: seconds.

        Returns:
            The frames that answer it.
        """

    def units(self, frame: Frame) -> bytes | None:
        """The DataPoints that a frame brings from the other end, `None` for none."""
        return frame.data if frame.command in self.takes else None

    def is_news(self, unit: Unit) -> bool:
        """Whether a unit of the frame that was just taken is for the program."""
        return True

    def poll(self, now: float) -> list[bytes]:
        """The frames that are due."""
        return []

    def next_due(self) -> float:
        """When `poll` has something to do: seconds, or infinity."""
        return math.inf

    def encode(self, command: int, data: bytes = b"") -> bytes:
        """A frame of this end."""
        return encode_frame(command, data, self.version)

    @abstractmethod
    def _is_own(self, frame: Frame) -> bool:
        """Whether only this end says that."""

    def _is_echo(self, frame: Frame, now: float) -> bool:
        """Whether a frame of this end came back to it."""
        if self._is_own(frame):
            self.echoes += 1
            return True
        is_empty = frame.version == self.version and not frame.data
        return is_empty and self._twins.pop(frame.command, -math.inf) >= now

    def _twin(self, command: int, now: float) -> bytes:
        """A frame without data that the other end may send as well; of one, an echo is due."""
        if self.echoes:
            self._twins[command] = now + _ECHO_SECONDS
        return self.encode(command)


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
        super().__init__()
        self.product = product
        self.datapoints: dict[int, DataPoint] = {}
        self.network_status: NetworkStatus | int | None = None
        self.report_result: bool | None = None
        self._working_mode = working_mode
        self._buffer = buffer
        self._restarted = True

    def take(self, frame: Frame, now: float) -> list[bytes]:
        """Answer the module; see `Role.take`."""
        if self._is_echo(frame, now):
            return []
        match frame.command:
            case Command.HEARTBEAT:
                state = b"\0" if self._restarted else b"\1"
                self._restarted = False
                return [self.encode(frame.command, state)]
            case Command.PRODUCT:
                return [self.encode(frame.command, msgspec.json.encode(self.product))]
            case Command.WORKING_MODE:
                if self._working_mode:
                    return [self.encode(frame.command, self._working_mode)]
                return [self._twin(frame.command, now)]
            case Command.NETWORK_STATUS:
                status = read_network_status(frame)
                self.network_status = self.network_status if status is None else status
                return [self.encode(frame.command)]
            case Command.QUERY_DATAPOINTS:
                return list(self._report_all())
            case Command.SYNC_REPORT_RESULT:
                self.report_result = frame.data == TAKEN
        return []

    def _is_own(self, frame: Frame) -> bool:
        match frame.command:
            case Command.HEARTBEAT | Command.PRODUCT | Command.WORKING_MODE:
                return frame.data != b""  # a module asks without data
            case Command.NETWORK_STATUS:
                return frame.data == b""
        return frame.command in (Command.REPORT_DATAPOINTS, Command.SYNC_REPORT)

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


def read_network_status(frame: Frame) -> NetworkStatus | int | None:
    """What a frame says of the network: a number where it is a new one, `None` where it is none."""
    if len(frame.data) != 1:
        return None
    try:
        return NetworkStatus(frame.data[0])
    except ValueError:
        return frame.data[0]
