"""The end of a Tuya serial line that leads to the network."""

import math
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import ClassVar

from ...errors import MalformedFrame
from .datapoints import Unit, read_datapoints, split_units
from .frame import Command, Frame, NetworkStatus
from .inventory import Inventory
from .role import REFUSED, TAKEN, Product, Role

_HEARTBEAT_SECONDS = 15.0
_SEARCHING_SECONDS = 1.0
_OFFLINE_SECONDS = 3.0
_STEP_SECONDS = 1.0
_STEP_TRIES = 3
_REPLAY_SECONDS = 3.0
_RESET_SECONDS = 0.45
_FIRST_YEAR = 2000

_START = (
    Command.PRODUCT,
    Command.WORKING_MODE,
    Command.NETWORK_STATUS,
    Command.QUERY_DATAPOINTS,
)
_LONGEST_WORKING_MODE = 3

# Of `Command.EXTENDED`, by its first byte.
_WEATHER_NOW, _TELL_OF_RESETS, _REPORT_WITH_TIME = b"\x03", b"\x04", b"\x0b"
_TIME_SIZE = 8

# What a module says to what it cannot do.
_NO_TEST_NETWORK = b"\0\0"
_NO_WEATHER = b"\0\2"
_NO_MAC_ADDRESS = b"\1" + bytes(6)
_NO_WEATHER_NOW = b"\x03\1"


class Module(Role):
    """Looks after the MCU, and passes on what that reports.

    Args:
        network_status: what it tells the MCU.
        clock: gives the local time, with its zone; an MCU that asks gets none without it.

    Attributes:
        is_online: the MCU answers.
        is_introduced: it has said what product it is, or was asked often enough.
        product: what the MCU said of itself, `None` before.
        working_mode: likewise.
        rssi: signal strength in dBm for an MCU that asks, 0 for unknown.
        inventory: which DataPoints the MCU has.
    """

    version = 0
    sends = Command.SET_DATAPOINTS
    takes = frozenset({Command.REPORT_DATAPOINTS, Command.SYNC_REPORT})

    _SHOWS_PRESENCE: ClassVar = takes | {Command.HEARTBEAT, Command.PRODUCT}

    def __init__(
        self,
        network_status: NetworkStatus = NetworkStatus.CLOUD,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        super().__init__()
        self.is_online = False
        self.is_introduced = False
        self.product: Product | None = None
        self.working_mode: bytes | None = None
        self.rssi = 0
        self._network_status = network_status
        self._clock = clock
        self._heartbeat_due = -math.inf
        self._is_quiet = False  # the MCU wants no heartbeats
        self._offline_due = math.inf
        self._steps: list[Command] = []  # of the start and later ones, still to be answered
        self._step_due = math.inf
        self._reset_due = math.inf
        self._tries = 0
        self._asked: set[int] = set()  # and not answered; it may be late
        self._replaying_until = -math.inf
        self.inventory = Inventory()
        self._told_again: list[Unit] = []

    def set_network_status(self, status: NetworkStatus, now: float) -> list[bytes]:
        """Have another network status, of which the MCU is told until it has answered.

        Args:
            status: the new one.
            now: seconds.

        Returns:
            What to send at once.
        """
        self._network_status = status
        return self._add_step(Command.NETWORK_STATUS, now)

    def query(self, now: float) -> list[bytes]:
        """Ask for all DataPoints, until they are reported; see `set_network_status`."""
        return self._add_step(Command.QUERY_DATAPOINTS, now)

    def is_replaying(self, now: float) -> bool:
        """Whether reports may be the answer to a query: old values, not news."""
        return now < self._replaying_until

    def units(self, frame: Frame) -> bytes | None:
        """The DataPoints that a frame brings; of those with a time, that is left out."""
        if _is_report_with_time(frame):
            return frame.data[1 + _TIME_SIZE :]
        return super().units(frame)

    def take(self, frame: Frame, now: float) -> list[bytes]:
        """Go on with the start, or answer the MCU; see `Role.take`."""
        if self._is_echo(frame, now):
            return []
        if not self.echoes or frame.command in self._SHOWS_PRESENCE:
            self._offline_due = math.inf  # whatever it says, it is there
        if frame.command == Command.HEARTBEAT:
            return self._take_heartbeat(frame.data, now)
        if frame.command in self._asked:
            self._learn(frame)
        self._told_again = self._hear_units(frame, now)
        answers = self._answer(frame, now)
        if self._steps and self._is_step_done(frame):
            answers += self._next_step(now)
        return answers

    def is_news(self, unit: Unit) -> bool:
        """Whether a unit is for the program: a second answer to one query tells it nothing."""
        return unit not in self._told_again

    def _hear_units(self, frame: Frame, now: float) -> list[Unit]:
        """Learn what the MCU has; returns what is no news."""
        told_again: list[Unit] = []
        if frame.command in self.takes:
            with suppress(MalformedFrame):  # which the line counts
                told_again.extend(
                    unit for unit in split_units(frame.data) if not self.inventory.hear(unit, now)
                )
        return told_again

    def _is_step_done(self, frame: Frame) -> bool:
        if frame.command in self.takes:
            return self._steps[0] is Command.QUERY_DATAPOINTS and self.inventory.is_told
        return frame.command == self._steps[0]

    def poll(self, now: float) -> list[bytes]:
        """The heartbeat, and what was not answered; see `Role.poll`."""
        frames: list[bytes] = []
        if now >= self._offline_due:
            self.is_online = False
            self._steps = []
            self._heartbeat_due, self._offline_due = now, math.inf
        if now >= self._heartbeat_due:
            frames.append(self.encode(Command.HEARTBEAT))
            if self.is_online and self.inventory.is_doubtful:
                frames += self.query(now)
            if self.is_online:
                self._offline_due = now + _OFFLINE_SECONDS
            self._heartbeat_due = now + self._pause()
        if now >= self._reset_due:
            self._reset_due = math.inf
            frames += self._add_step(Command.NETWORK_STATUS, now)
        elif self._steps and now >= self._step_due:
            if self._tries >= _STEP_TRIES:  # an MCU that does not know this command
                frames += self._next_step(now)
            else:
                frames.append(self._try_step(now))
        return frames

    def next_due(self) -> float:
        """When `poll` has something to do."""
        step_due = self._step_due if self._steps else math.inf
        return min(self._heartbeat_due, self._offline_due, self._reset_due, step_due)

    def _is_own(self, frame: Frame) -> bool:
        match frame.command:
            case Command.HEARTBEAT | Command.PRODUCT | Command.QUERY_DATAPOINTS:
                return frame.data == b""  # an MCU answers with data
            case Command.NETWORK_STATUS:
                return frame.data != b""
        return frame.command in (Command.SET_DATAPOINTS, Command.SYNC_REPORT_RESULT)

    def _learn(self, frame: Frame) -> None:
        """Take what was asked for; the same unasked is something else, of which nobody knows."""
        if frame.command == Command.PRODUCT:
            self.product = Product.decode(frame.data)
            self.is_introduced = True
        elif frame.command == Command.WORKING_MODE:
            if len(frame.data) > _LONGEST_WORKING_MODE:
                return
            self.working_mode = frame.data
        self._asked.discard(frame.command)

    def _answer(self, frame: Frame, now: float) -> list[bytes]:
        """What the MCU gets that asks. Of each command an answer of ours would not be one."""
        match frame.command, frame.data:
            case (Command.RESET, b"") | (Command.RESET_TO_MODE, b"" | b"\0" | b"\1"):
                # It may take no command before it has heard what became of the network.
                self._reset_due = now + _RESET_SECONDS
                return [self._twin(frame.command, now)]
            case (Command.GMT_TIME | Command.LOCAL_TIME, b""):
                return [self.encode(frame.command, self._time(frame.command))]
            case (Command.SYNC_REPORT, units):
                result = TAKEN if _makes_sense(units) else REFUSED
                return [self.encode(Command.SYNC_REPORT_RESULT, result)]
            case (Command.RSSI, b""):
                strength = self.rssi.to_bytes(1, "big", signed=True)
                return [self.encode(frame.command, strength)]
            case (Command.STOP_HEARTBEAT, b""):
                self._is_quiet = True
                self._heartbeat_due = math.inf
                return [self._twin(frame.command, now)]
        if frame.command in self.left_to_program:
            return []
        answer = self._answer_rarity(frame)
        return [] if answer is None else [self.encode(frame.command, answer)]

    def _answer_rarity(self, frame: Frame) -> bytes | None:
        """What the MCU gets that asks for what few know, and for what is not to be had here."""
        match frame.command, frame.data:
            case (Command.WIFI_TEST, b""):
                return _NO_TEST_NETWORK
            case (Command.OPEN_WEATHER, names) if names != _NO_WEATHER:
                return _NO_WEATHER
            case (Command.ASK_NETWORK_STATUS, b""):
                return bytes((self._network_status,))
            case (Command.MAC_ADDRESS, b""):
                return _NO_MAC_ADDRESS
            case (Command.EXTENDED, b"\x03"):
                return _NO_WEATHER_NOW
            case (Command.EXTENDED, b"\x04"):
                return _TELL_OF_RESETS + b"\0"
        if _is_report_with_time(frame):
            refused = not _makes_sense(frame.data[1 + _TIME_SIZE :])
            return _REPORT_WITH_TIME + bytes((refused,))
        return None

    def _take_heartbeat(self, data: bytes, now: float) -> list[bytes]:
        was_online, self.is_online = self.is_online, True
        has_restarted = data == b"\0"
        self._is_quiet = self._is_quiet and was_online and not has_restarted
        self._heartbeat_due = math.inf if self._is_quiet else now + self._pause()
        if was_online and not has_restarted:
            return []
        self.is_introduced = False
        self._steps = list(_START)
        self._tries = 0
        return [self._try_step(now)]

    def _pause(self) -> float:
        return _HEARTBEAT_SECONDS if self.is_online else _SEARCHING_SECONDS

    def _add_step(self, step: Command, now: float) -> list[bytes]:
        """Ask at once, and then what waits for its answer again."""
        if not self.is_online:
            return [self._ask(step, now)]  # and again in the start
        self._steps = [step, *(each for each in self._steps if each is not step)]
        self._tries = 0
        return [self._try_step(now)]

    def _next_step(self, now: float) -> list[bytes]:
        """Go on with what was asked next."""
        self.is_introduced = self.is_introduced or self._steps[0] is Command.PRODUCT
        if self._steps[0] is Command.QUERY_DATAPOINTS:
            self.inventory.end()
        del self._steps[0]
        self._tries = 0
        return [self._try_step(now)] if self._steps else []

    def _try_step(self, now: float) -> bytes:
        self._tries += 1
        self._step_due = now + _STEP_SECONDS
        return self._ask(self._steps[0], now)

    def _ask(self, command: Command, now: float) -> bytes:
        self._asked.add(command)
        if command is Command.NETWORK_STATUS:
            return self.encode(command, bytes((self._network_status,)))
        if command is Command.QUERY_DATAPOINTS:
            self._replaying_until = now + _REPLAY_SECONDS
            self.inventory.ask(now, again=self._tries > 1)
            return self.encode(command)
        return self._twin(command, now)

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


def _is_report_with_time(frame: Frame) -> bool:
    has_units = len(frame.data) > 1 + _TIME_SIZE
    return frame.command == Command.EXTENDED and frame.data[:1] == _REPORT_WITH_TIME and has_units


def _makes_sense(units: bytes) -> bool:
    """Whether any DataPoint is taken: an MCU repeats what is refused."""
    points, problems = read_datapoints(units)
    return bool(points) or not problems
