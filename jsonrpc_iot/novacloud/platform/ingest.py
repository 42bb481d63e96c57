"""What devices report on its way into the store: checked, gathered, written in groups, announced.

One task writes. A lone value is stored at once. Where many come, a group comes together for a
moment, since each one costs the disk some pages however little is in it; but none gets so large
that a command has to wait for it.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import anyio
from msgspec import UNSET, Struct, UnsetType

from ...protocol.about import about
from ..errors import CONFINED, NovaError, StoreFailed, unforeseen
from ..messages import Ack, AckPayload, Data, Payload, Status, encode_line
from ..store.registry import SensorType
from ..store.store import Store
from ..store.telemetry_log import Report
from ..token_bucket import TokenBucket
from .command_states import CommandStates
from .counts import Counts
from .session import DeviceSession
from .settings import PlatformSettings

logger = logging.getLogger("jsonrpc_iot.novacloud")

_KINDS: dict[type, SensorType] = {
    bool: "boolean",
    int: "number",
    float: "number",
    str: "string",
}
_INT64 = 1 << 63
_MAX_KEY = 128
_SHOWN_KEY = 64

# New states of commands are gathered for so long, lest the next command wait for their commit.
_COMMAND_SECONDS = 0.1

_GROUPS, _BURST = 4.0, 16  # a second when it goes on, and at first
_MOST, _MOST_BYTES = 2000, 1 << 22  # messages of a group, and about how long their lines are
_UNWRITTEN_BYTES = 1 << 25


class Telemetry(Struct, frozen=True):
    """Values of a device that are stored, by `value_key`."""

    device_id: str
    timestamp: float
    values: dict[str, Any]


class _Entry(Struct):
    """A report that waits for its commit, whose it is, how long its line was and when it came."""

    session: DeviceSession
    report: Report
    values: dict[str, Any]
    size: int
    at: float


class Ingest:
    """Takes data and statuses, and says when the states of commands are written.

    Args:
        store: where all of it goes.
        states: of commands.
        settings: limits.
        counts: of the whole platform.
        on_values: is told of values once they are stored.
        now: tells the time, in Unix seconds.

    Attributes:
        finished: is set once all is written after `close`.
        problem: why nothing can be stored, `""` while it can.
        writes_states: whether those of commands are written with reports.
    """

    def __init__(
        self,
        store: Store,
        states: CommandStates,
        settings: PlatformSettings,
        counts: Counts,
        on_values: Callable[[Telemetry], object],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._states = states
        self._settings = settings
        self._counts = counts
        self._on_values = on_values
        self._now = now
        self._entries: deque[_Entry] = deque()
        self._size = 0
        self._turns = TokenBucket(_GROUPS, _BURST)
        self._wake = anyio.Event()
        self._hurry = anyio.Event()
        self._room = anyio.Event()
        self._closing = False
        self._is_waiting_for_reports = False
        self._since = 0.0
        self.problem = ""
        self.finished = anyio.Event()
        self.writes_states = True
        states.on_saved = self._wake_up

    @property
    def lag(self) -> float:
        """Seconds that the oldest report which is not stored has waited."""
        return anyio.current_time() - self._since if self._since else 0.0

    async def accept(self, session: DeviceSession, message: Data | Status, size: int) -> None:
        """Check a message and have it stored; waits while too much waits for the store.

        Args:
            session: whose it is.
            message: what it says.
            size: bytes of its line.
        """
        received = self._now()
        report = Report(
            session.device_id,
            received if message.timestamp is None else message.timestamp,
            received,
        )
        values: dict[str, Any] = {}
        if isinstance(message, Data):
            if self._settings.auto_define and not message.payload.keys() <= session.sensors.keys():
                await self._define(session, message.payload)
            values = self._check(session, report, message.payload)
        else:
            report.status = message.payload
        if session.outbox_id and not isinstance(message.seq, UnsetType):
            report.outbox_id, report.seq = session.outbox_id, message.seq
        if not (values or report.seq or report.status is not None):
            return
        self._entries.append(_Entry(session, report, values, size, session.seen))
        self._size += size
        self._since = self._since or session.seen
        self._wake.set()
        if self._is_waiting_for_reports or self._is_full:
            self._hurry.set()
        while len(self._entries) >= self._settings.unwritten or self._size >= _UNWRITTEN_BYTES:
            await self._room.wait()

    def close(self) -> None:
        """Take no more; `run` ends when all is written."""
        self._closing = True
        self._wake.set()
        self._hurry.set()

    async def run(self) -> None:
        """Write until `close`, also when all around is cancelled: what has come is to be stored."""
        with anyio.CancelScope(shield=True):
            while not self._closing:
                await self._wake.wait()
                self._wake = anyio.Event()
                while self._entries or self._has_states:
                    await self._gather()
                    if not await self._write() and not self._entries:
                        break
        self.finished.set()

    @property
    def _has_states(self) -> bool:
        return self.writes_states and bool(self._states)

    def _wake_up(self) -> None:
        self._wake.set()

    @property
    def _is_full(self) -> bool:
        return len(self._entries) >= _MOST or self._size >= _MOST_BYTES

    async def _gather(self) -> None:
        """Let a group come together."""
        self._is_waiting_for_reports = not self._entries
        if not self._entries:
            await self._wait(_COMMAND_SECONDS)
        self._is_waiting_for_reports = False
        if pause := self._turns.spend(1, anyio.current_time()):
            await self._wait(min(pause, 1 / _GROUPS))

    async def _wait(self, seconds: float) -> None:
        """Wait so long, or until there is a reason to hurry."""
        if self._closing or self._is_full:
            return
        self._hurry = anyio.Event()
        with anyio.move_on_after(seconds):
            await self._hurry.wait()

    def _take(self) -> list[_Entry]:
        """Take the next group from those that wait."""
        group: list[_Entry] = []
        size = 0
        while self._entries and len(group) < _MOST and size < _MOST_BYTES:
            each = self._entries.popleft()
            size += each.size
            if not each.session.failed:
                group.append(each)
        self._size -= size
        return group

    async def _write(self) -> bool:
        """Write a group, and the states of commands beside it; returns whether that is possible."""
        entries = self._take()
        self._room.set()
        self._room = anyio.Event()
        began = anyio.current_time()
        failures: list[StoreFailed] = []
        async with anyio.create_task_group() as tasks:  # a store may commit both at once
            if entries:
                tasks.start_soon(self._write_reports, entries, failures)
            if self._has_states:
                tasks.start_soon(self._write_states, failures)
        if failures:
            return False
        self._counts.commits.add(anyio.current_time() - began)
        self.problem = ""
        return True

    async def _write_reports(self, entries: Sequence[_Entry], failures: list[StoreFailed]) -> None:
        try:
            await self._write_part(entries)
        except CONFINED:
            await self._write_apart(entries)
        except StoreFailed as error:
            self._fail(entries, error)
            failures.append(error)
        except Exception as error:  # noqa: BLE001  # it is logged
            self._fail(entries, unforeseen(error))
        self._since = self._entries[0].at if self._entries else 0.0

    async def _write_part(self, entries: Sequence[_Entry]) -> None:
        self._announce(entries, await self._store.write([each.report for each in entries]))

    async def _write_apart(self, entries: Sequence[_Entry]) -> None:
        """Write each device's reports alone: what is wrong with one costs no other its reports."""
        parts: dict[str, list[_Entry]] = {}
        for each in entries:
            parts.setdefault(each.report.device_id, []).append(each)
        for part in parts.values():
            try:
                await self._write_part(part)
            except StoreFailed as error:
                self._fail(part, error)

    async def _write_states(self, failures: list[StoreFailed]) -> None:
        try:
            await self._states.write()
        except StoreFailed as error:
            self._fail((), error)
            failures.append(error)
        except Exception as error:  # noqa: BLE001  # it is logged
            failures.append(unforeseen(error))

    def _fail(self, entries: Sequence[_Entry], error: StoreFailed) -> None:
        if not self.problem:
            logger.error("reports are lost: %s", error)
        self.problem = str(error)
        for each in entries:
            if each.report.seq:
                each.session.failed = True  # the device keeps it, and sends it again
                each.session.connection.close("the store failed")
            else:
                self._counts.lost += 1
                each.session.record.lost += 1

    def _announce(self, entries: Sequence[_Entry], fresh: Sequence[bool]) -> None:
        acks: dict[DeviceSession, int] = {}
        for each, is_new in zip(entries, fresh, strict=True):
            report = each.report
            if report.seq:
                acks[each.session] = max(report.seq, acks.get(each.session, 0))
            if not is_new:
                self._counts.duplicates += 1
                each.session.record.duplicates += 1
            elif each.values:
                self._counts.values += len(each.values)
                self._on_values(Telemetry(report.device_id, report.timestamp, each.values))
        for session, upto in acks.items():
            session.connection.send(encode_line(Ack(payload=AckPayload(upto))))

    def _check(self, session: DeviceSession, report: Report, payload: Payload) -> Payload:
        """Put the good values of a message into its report, and count the others."""
        values: Payload = {}
        rows: list[tuple[int, Any]] = []
        for key, given in payload.items():
            sensor = session.sensors.get(key)
            value = UNSET if sensor is None else _fitting(sensor.type, given)
            if sensor is None or value is UNSET:
                self._ignore(session, key, None if sensor is None else sensor.type)
                continue
            values[sensor.value_key] = value
            rows.append((sensor.id, value))
        report.values = rows
        return values

    def _ignore(self, session: DeviceSession, key: str, kind: SensorType | None) -> None:
        """Count a value that is not of its sensor's type, or has no sensor."""
        device_id = session.device_id
        ignored = self._counts.ignored_of(device_id)
        if kind is None:
            ignored.unknown += 1
            session.record.unknown_values += 1
            self._counts.unknown_values += 1
        else:
            ignored.wrong += 1
            session.record.wrong_values += 1
            self._counts.wrong_values += 1
        shown = key[:_SHOWN_KEY]
        if ignored.is_new(shown):
            reason = f"is no {kind}" if kind else "has no sensor"
            logger.warning(
                "%s: a value is not stored: %r %s", device_id, shown, reason, extra=about(device_id)
            )

    async def _define(self, session: DeviceSession, payload: dict[str, Any]) -> None:
        """Define sensors for the new keys of a message, up to the device's limit."""
        for key, value in payload.items():
            kind = _kind(value)
            if key in session.sensors or kind is None or not 1 <= len(key) <= _MAX_KEY:
                continue
            if len(session.sensors) >= self._settings.sensors:
                return
            try:
                sensor = await self._store.define_sensor(session.device_id, key, kind)
            except NovaError:  # another connection of the device was first, or it was deleted
                continue
            except StoreFailed as error:
                logger.error(
                    "%s: no sensor for %r: %s",
                    session.device_id,
                    key,
                    error,
                    extra=about(session.device_id),
                )
                return
            session.sensors[key] = sensor


def _kind(value: Any) -> SensorType | None:
    """The type of sensor that a value from JSON is of."""
    return None if value is None else _KINDS.get(type(value), "json")


def _fitting(kind: SensorType, value: Any) -> Any:
    """A value as it is stored, `UNSET` where it is not of that type."""
    if _KINDS.get(type(value)) != kind and (kind != "json" or value is None):
        return UNSET
    if type(value) is int and kind == "number" and not -_INT64 <= value < _INT64:
        try:
            return float(value)
        except OverflowError:
            return UNSET
    return value


def fits(kind: SensorType, value: Any) -> bool:
    """Whether a value is of a sensor's or actuator's type."""
    return _fitting(kind, value) is not UNSET
