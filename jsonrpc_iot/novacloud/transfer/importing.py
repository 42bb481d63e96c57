"""Taking lines into a database that no platform has open.

What is there already stays as it is, so a file may be taken in again, also after half of it. A
mistake ends it; what the lines before said is in the database then, which is sound at all times.
"""

import math
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from msgspec import Struct, field

from jsonrpc_iot import UsageError

from ..errors import StoreFailed
from ..group_commit import Transaction
from ..platform.admission import canonical_id
from ..platform.ingest import fits
from ..store.registry import DeviceRow, SensorType
from ..store.sqlite import retention, upkeep
from ..store.sqlite.fresh import FreshTables, to_sql
from ..store.sqlite.readers import connect
from ..store.sqlite.rows import DEVICE, create_device, read_device
from ..store.sqlite.schema import upgrade
from ..store.sqlite.sole import hold
from ..store.sqlite.value_pages import value_page
from ..store.telemetry_log import Retention
from .lines import (
    LONGEST_LINE,
    VERSION,
    ActuatorLine,
    DeviceLine,
    End,
    Header,
    Line,
    RetentionLine,
    SensorLine,
    ValuesLine,
    decode,
)

_BATCH_BYTES = 1 << 20  # of lines in one transaction
_SENSORS = 10_000  # that are remembered
_PAGE = 1000
_INT64 = 1 << 63


class Tally(Struct):
    """How many were added, were there already, and were there but are not the same."""

    added: int = 0
    existing: int = 0
    different: int = 0


class Outcome(Struct):
    """What became of the lines.

    Args:
        lines: that were read.
        devices: and the others: see `Tally`.
        refused_values: values that were left out, since their sensor here is of another type.
    """

    lines: int = 0
    devices: Tally = field(default_factory=Tally)
    sensors: Tally = field(default_factory=Tally)
    actuators: Tally = field(default_factory=Tally)
    retention: Tally = field(default_factory=Tally)
    values: Tally = field(default_factory=Tally)
    refused_values: int = 0


class Importer:
    """Takes lines into a database.

    Args:
        db: it, which nobody else writes to.
        tell: is told, in a sentence, of what is there but not the same.
    """

    def __init__(self, db: sqlite3.Connection, tell: Callable[[str], object]) -> None:
        self._db = db
        self._tell = tell
        self._fresh = FreshTables()
        self._fresh.load(db)
        self._known: dict[tuple[str, str], tuple[int, SensorType | None]] = {}
        self._is_export = False
        self._first = 0
        self.outcome = Outcome()

    def run(self, file: BinaryIO, progress: Callable[[Outcome], object]) -> None:
        """Take all lines of a file.

        Args:
            file: is read line by line.
            progress: is told now and then how far it is.

        Raises:
            UsageError: a line has a mistake, which the text tells with its number.
            sqlite3.Error: the database refused.
        """
        mistake: UsageError | None = None
        text = b""
        while mistake is None and (text := file.readline(LONGEST_LINE + 1)):
            with Transaction(self._db, "IMMEDIATE"):
                size = 0
                while text and mistake is None:
                    mistake = self._take_text(text)
                    size += len(text)
                    if size >= _BATCH_BYTES:
                        break
                    text = b"" if mistake else file.readline(LONGEST_LINE + 1)
            self._tidy()
            progress(self.outcome)
        if mistake is not None:
            raise mistake
        if self._is_export:
            raise UsageError(
                f"line {self.outcome.lines} is the last one, and no end: the export was cut off; "
                "what is in it has been imported"
            )

    def _take_text(self, text: bytes) -> UsageError | None:
        """Take one line; returns what is wrong with it, and nothing of it is taken then."""
        self.outcome.lines += 1
        self._db.execute("SAVEPOINT line")
        try:
            if len(text) > LONGEST_LINE:
                raise ValueError(f"longer than {LONGEST_LINE >> 20} MiB")
            if text.strip():
                self._take(decode(text))
        except (msgspec.MsgspecError, RecursionError, ValueError, OverflowError) as error:
            self._db.execute("ROLLBACK TO line")
            problem = "nested too deeply" if isinstance(error, RecursionError) else str(error)
            return UsageError(
                f"line {self.outcome.lines}: {problem}; the lines before it have been imported"
            )
        finally:
            self._db.execute("RELEASE line")
        return None

    def _take(self, line: Line) -> None:
        if isinstance(line, ValuesLine):
            self._take_values(line)
        elif isinstance(line, DeviceLine):
            self._take_device(line)
        elif isinstance(line, SensorLine):
            self._take_sensor(line)
        elif isinstance(line, ActuatorLine):
            self._take_actuator(line)
        elif isinstance(line, RetentionLine):
            self._take_rule(line)
        elif isinstance(line, Header):
            if line.version > VERSION:
                raise ValueError(f"version {line.version}; this program knows {VERSION}")
            self._is_export = True
            self._first = self.outcome.lines
        elif isinstance(line, End):
            count = self.outcome.lines - self._first if self._is_export else line.lines
            if count != line.lines:
                raise ValueError(f"the end of {line.lines} lines, and there were {count}")
            self._is_export = False

    def _take_device(self, line: DeviceLine) -> None:
        device_id = _canonical(line.device_id)
        if len(self._known) >= _SENSORS:
            self._known.clear()
        old = line.old_key_hash
        row = DeviceRow(
            device_id=device_id,
            name=line.name,
            key_hash=bytes.fromhex(line.key_hash),
            enabled=line.enabled,
            created=line.created or 0.0,
            last_seen=line.last_seen,
            tags=tuple(line.tags),
            old_key_hash=None if old is None else bytes.fromhex(old),
            old_key_until=line.old_key_until,
        )
        found = self._db.execute(
            f"SELECT {DEVICE} FROM devices WHERE device_id = ?", (device_id,)
        ).fetchone()
        if found is None:
            create_device(self._db, row)
        mine = None if found is None else read_device(found)
        names = ("name", "key_hash", "enabled", "tags")
        differing = (
            [] if mine is None else [n for n in names if getattr(mine, n) != getattr(row, n)]
        )
        what = f"device {device_id} ({', '.join(differing)})"
        self._note(self.outcome.devices, what, is_new=mine is None, is_same=not differing)

    def _take_sensor(self, line: SensorLine) -> None:
        device_id = self._device(line.device_id)
        is_new = self._db.execute(
            "INSERT OR IGNORE INTO sensors (device_id, value_key, type, unit) VALUES (?, ?, ?, ?)",
            (device_id, line.value_key, line.type, line.unit),
        ).rowcount
        number, type, unit = self._db.execute(
            "SELECT id, type, unit FROM sensors WHERE device_id = ? AND value_key = ?",
            (device_id, line.value_key),
        ).fetchone()
        # Its values are as they are: its type may have been another one when they came.
        self._known[device_id, line.value_key] = number, None if type == line.type else type
        what = f"sensor {line.value_key!r} of {device_id}"
        is_same = (type, unit) == (line.type, line.unit)
        self._note(self.outcome.sensors, what, is_new=bool(is_new), is_same=is_same)

    def _take_actuator(self, line: ActuatorLine) -> None:
        device_id = self._device(line.device_id)
        is_new = self._db.execute(
            "INSERT OR IGNORE INTO actuators (device_id, command_key, type) VALUES (?, ?, ?)",
            (device_id, line.command_key, line.type),
        ).rowcount
        (type,) = self._db.execute(
            "SELECT type FROM actuators WHERE device_id = ? AND command_key = ?",
            (device_id, line.command_key),
        ).fetchone()
        what = f"actuator {line.command_key!r} of {device_id}"
        is_same = type == line.type
        self._note(self.outcome.actuators, what, is_new=bool(is_new), is_same=is_same)

    def _take_rule(self, line: RetentionLine) -> None:
        device_id = None if line.device_id is None else self._device(line.device_id)
        rule = Retention(line.days, device_id, line.value_key, line.downsample)
        names = "device_id", "value_key"
        found = [
            each
            for each in retention.rules(self._db)
            if all(getattr(each, name) == getattr(rule, name) for name in names)
        ]
        if not found:
            retention.set_rule(self._db, rule)
        what = f"the retention of {line.value_key or 'all values'} of {device_id or 'all'}"
        self._note(self.outcome.retention, what, is_new=not found, is_same=found == [rule])

    def _take_values(self, line: ValuesLine) -> None:
        number, kind = self._sensor(line.device_id, line.value_key)
        points = {(timestamp, delay): value for timestamp, delay, value in line.points}
        if not points:
            return
        first, last = min(points)[0], max(points)[0]
        for key in self._stored(number, first, math.nextafter(last, math.inf)):
            if points.pop(key, None) is not None:
                self.outcome.values.existing += 1
        rows = [
            (number, timestamp, delay, to_sql(_storable(value)))
            for (timestamp, delay), value in points.items()
            if value is not None and (kind is None or fits(kind, value))
        ]
        if rows:
            self._fresh.add(self._db, rows)
        self.outcome.values.added += len(rows)
        self.outcome.refused_values += len(points) - len(rows)

    def _stored(self, number: int, start: float, end: float) -> Iterator[tuple[float, int]]:
        """Yield the times of a sensor's values, some at a time."""
        place = None
        while page := value_page(self._db, [number], place, _PAGE, start, end, "asc"):
            place = page[-1][0]
            yield from ((timestamp, delay) for (timestamp, delay, _), _ in page)

    def _sensor(self, device_id: str, value_key: str) -> tuple[int, SensorType | None]:
        """The number of a sensor, and of which type values have to be."""
        key = _canonical(device_id), value_key
        if key not in self._known:
            found = self._db.execute(
                "SELECT id, type FROM sensors WHERE device_id = ? AND value_key = ?", key
            ).fetchone()
            if found is None:
                raise ValueError(f"there is no sensor {value_key!r} of {device_id} before it")
            self._known[key] = found
        return self._known[key]

    def _device(self, device_id: str) -> str:
        """The id of a device that is there, in its canonical form."""
        id = _canonical(device_id)
        text = "SELECT 1 FROM devices WHERE device_id = ?"
        if self._db.execute(text, (id,)).fetchone() is None:
            raise ValueError(f"there is no device {id} before it")
        return id

    def _note(self, tally: Tally, what: str, *, is_new: bool, is_same: bool) -> None:
        if is_new:
            tally.added += 1
        elif is_same:
            tally.existing += 1
        else:
            tally.different += 1
            self._tell(f"line {self.outcome.lines}: {what} is there with something else, and stays")

    def _tidy(self) -> None:
        """Sort what has come into parts, as a platform does, so that it stays quick to look up."""
        while (merge := self._do(lambda: upkeep.begin_merge(self._db, self._fresh))) is not None:
            rest: upkeep.Merge | None = merge
            while rest is not None:
                rest = self._step(rest)
        for part in upkeep.dead_parts(self._db):
            is_gone = False
            while not is_gone:
                with Transaction(self._db, "IMMEDIATE"):
                    is_gone = upkeep.delete_part(self._db, part)

    def _do(self, work: Callable[[], upkeep.Merge | None]) -> upkeep.Merge | None:
        with Transaction(self._db, "IMMEDIATE"):
            return work()

    def _step(self, merge: upkeep.Merge) -> upkeep.Merge | None:
        with Transaction(self._db, "IMMEDIATE"):
            return upkeep.step_merge(self._db, merge)


def _canonical(device_id: str) -> str:
    id = canonical_id(device_id)
    if id is None:
        raise ValueError("the device_id is no UUID")
    return id


def _storable(value: Any) -> Any:
    """A value; an integer of more than 64 bits is a float, as it is when a device sends it."""
    return float(value) if type(value) is int and not -_INT64 <= value < _INT64 else value


@contextmanager
def importing(path: Path, tell: Callable[[str], object]) -> Iterator[Importer]:
    """Open a database for an import; nobody else may have it open until the block ends.

    Args:
        path: the file, made when it is not there.
        tell: see `Importer`.

    Raises:
        StoreInUse: a platform has it open.
        StoreFailed: it cannot be opened, is no database, or refuses to take something.
    """
    lock = hold(path)
    try:
        db = connect(path)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA secure_delete = OFF")
            upgrade(db)
            yield Importer(db, tell)
        finally:
            db.close()
    except sqlite3.Error as error:
        raise StoreFailed(f"{path}: {error}") from None
    finally:
        lock.close()
