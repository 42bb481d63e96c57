"""The SQLite file that is moved: one moment of it, which no platform can change meanwhile."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from ..errors import StoreDamaged, StoreFailed
from ..group_commit import Transaction
from ..store.postgres.partitions import WEEK
from ..store.postgres.values import NODE_BITS, to_sql
from ..store.sqlite.backup import open_existing
from ..store.sqlite.schema import check_current
from ..store.sqlite.sole import hold
from ..store.sqlite.taken import all_heads
from .rows import TABLES, Row, Table

VALUES = "telemetry"
"""The table of values: the name is that of a view in SQLite, and of a table in PostgreSQL."""

VALUE_COLUMNS = ("sensor", "timestamp", "received", "whole", "number", "content")

# With the plus the table of sensors is asked for each value, and not the values for each sensor.
_KEPT = "FROM telemetry WHERE +sensor IN (SELECT id FROM sensors)"
_WEEKS = (
    f"SELECT CAST(timestamp / {WEEK} AS INTEGER) AS week, count(*) {_KEPT} GROUP BY 1 ORDER BY 1"
)
_SELECT = f"SELECT sensor, timestamp, received, value {_KEPT}"
_FAR = (1 << 53) - (1 << 30)  # microseconds, and some are added

FEW = 100_000
"""Values that may be in front of all weeks, or a hundredth of all: they are moved in a moment."""


class Source:
    """What is in the file.

    Args:
        db: it, in a transaction.
        tell: is told, in a sentence, of each value that cannot be moved.

    Attributes:
        counts: rows by table, those of deleted sensors left out.
        left_out: values that cannot be moved, of those that were read so far.
    """

    def __init__(self, db: sqlite3.Connection, tell: Callable[[str], object]) -> None:
        self._db = db
        self._tell = tell
        self._weeks: list[tuple[int, int]] = db.execute(_WEEKS).fetchall()
        self.counts = {table.name: table.count(db) for table in TABLES}
        self.counts[VALUES] = sum(count for _, count in self._weeks)
        self.left_out = 0

    @property
    def begin(self) -> float | None:
        """From when on there are more than a few values, in Unix seconds; `None` if never.

        Devices that do not know the time have values of 1970.
        """
        few = max(self.counts[VALUES] // 100, FEW)
        for week, count in self._weeks:
            few -= count
            if few < 0:
                return week * WEEK
        return None

    def rows(self, table: Table) -> Iterator[Row]:
        """Yield the rows of a table."""
        return table.rows(self._db)

    def last_number(self, table: Table) -> int:
        """The highest number that was ever given in a table."""
        return table.last_number(self._db)

    def last_use(self) -> int:
        """The highest `used` of an outbox."""
        return max((used for *_, used in all_heads(self._db)), default=0)

    def values(self) -> Iterator[Row]:
        """Yield the values as `VALUE_COLUMNS`; those of one moment keep their order."""
        place, last = (0, 0.0), 0
        for sensor, timestamp, received, value in self._db.execute(_SELECT):
            try:
                columns = _columns(value)
            except (ValueError, msgspec.MsgspecError, RecursionError) as error:
                self._leave_out(sensor, timestamp, error)
                continue
            arrival = min(max(int(received), 0), _FAR)
            if place == (sensor, timestamp):  # times that are no real ones shall not become equal
                arrival = max(arrival, last + 1)
            place, last = (sensor, timestamp), arrival
            yield sensor, timestamp, arrival << NODE_BITS, *columns

    def _leave_out(self, sensor: int, timestamp: float, error: Exception) -> None:
        self.left_out += 1
        text = "SELECT device_id, value_key FROM sensors WHERE id = ?"
        device_id, value_key = self._db.execute(text, (sensor,)).fetchone()
        where = f"device {device_id}, {value_key!r} at {timestamp}"
        self._tell(f"{where} is left out, since it is no value: {error}")


@contextmanager
def opened(path: Path, tell: Callable[[str], object]) -> Iterator[Source]:
    """Open a file, so that no platform can until the end of the block.

    Args:
        path: of the file.
        tell: is told, in a sentence, of each value that cannot be moved.

    Raises:
        StoreInUse: a platform has it open.
        StoreFailed: there is no such file, it is another program's, or of another version.
        StoreDamaged: it cannot be read to its end; the block raises that too.
    """
    with ExitStack() as stack:
        db = stack.enter_context(closing(open_existing(path)))
        stack.enter_context(hold(path))
        try:
            try:
                check_current(db)
            except StoreFailed as error:
                raise StoreFailed(f"{path}: {error.message}") from None
            db.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")
            with Transaction(db, "DEFERRED"):
                yield Source(db, tell)
        except sqlite3.Error as error:
            raise StoreDamaged(f"{path}: {error}") from None


def _columns(value: Any) -> tuple[int | None, float | None, str | None]:
    """The columns of a value.

    Raises:
        ValueError, msgspec.MsgspecError, RecursionError: it is no value.
    """
    if isinstance(value, bytes):
        msgspec.json.decode(value)
        return None, None, value.decode()
    return to_sql(value)
