"""Reading the values of a sensor in order, no more of them than are taken.

They lie in several runs, each of them in order: one in each group that has come, one in each merged
part, and one in the table of the first version. `rows` merges them; a part is looked into only once
its time has come.
"""

import heapq
import math
import sqlite3
from bisect import bisect_right
from collections import deque
from collections.abc import Generator
from contextlib import closing
from typing import Any

from .query import Order

EVER = 1e300
TABLES = {
    "fresh_0": "fresh_0 WHERE part = :part AND sensor = :sensor",
    "fresh_1": "fresh_1 WHERE part = :part AND sensor = :sensor",
    "merged": "merged WHERE part = :part AND sensor = :sensor",
    "telemetry_1": "telemetry_1 WHERE sensor = :sensor",
}
"""The tables of values, and which of them are those of a sensor in a run."""

WITHIN = "timestamp >= :start AND timestamp < :end"

_FAR = 1 << 64
_OLD_DELAY = "received - CAST(timestamp * 1000000 AS INTEGER)"
_AT_ONCE, _LONG_AT_ONCE = 32, 2  # rows of one run that are in memory; the long ones may be 64 KiB

Key = tuple[float, int]
"""Timestamp and delay, by which the values of a sensor are in order."""
Row = tuple[float, int, Any]
"""The same, and the value as the tables have it."""


def delay_of(table: str) -> str:
    """The expression for the delay of a table's values."""
    return _OLD_DELAY if table == "telemetry_1" else "delay"


def backwards(order: Order) -> str:
    """How statements say that order."""
    return "DESC" if order == "desc" else "ASC"


def _runs_text(order: Order) -> str:
    way = backwards(order)

    def begin(table: str, part: str) -> str:
        condition = TABLES[table].replace(":part", part)
        return f"(SELECT timestamp FROM {condition} AND {WITHIN} ORDER BY timestamp {way} LIMIT 1)"

    groups = " ".join(
        f", groups_{place}(part) AS (SELECT min(part) FROM fresh_{place} UNION ALL "
        f"SELECT (SELECT min(part) FROM fresh_{place} WHERE part > groups_{place}.part) "
        f"FROM groups_{place} WHERE part IS NOT NULL)"
        for place in (0, 1)
    )
    fresh = " UNION ALL ".join(
        f"SELECT {begin(f'fresh_{place}', f'groups_{place}.part')} AS begin, "
        f"'fresh_{place}' AS source, part FROM groups_{place}"
        for place in (0, 1)
    )
    in_parts = "max(first, :start)" if order == "asc" else "min(last, :end)"
    return (
        f"WITH RECURSIVE {groups[2:]} SELECT begin, source, part FROM ({fresh} UNION ALL "
        f"SELECT {in_parts}, 'merged', part FROM parts "
        "WHERE level > 0 AND last >= :start AND first < :end UNION ALL "
        f"SELECT {begin('telemetry_1', '0')}, 'telemetry_1', 0) "
        f"WHERE begin IS NOT NULL ORDER BY begin {way}"
    )


RUNS: dict[Order, str] = {"asc": _runs_text("asc"), "desc": _runs_text("desc")}
"""Statements for the runs that may have values between two times, each with a time from which on it
does; in the order of these."""

_ROWS = {
    (table, order): (
        f"SELECT timestamp, {delay_of(table)} AS delay, value FROM {condition} AND {WITHIN} "
        f"AND (timestamp, {delay_of(table)}) {'>' if order == 'asc' else '<'} (:at, :delay) "
        f"ORDER BY timestamp {backwards(order)}, delay {backwards(order)}"
    )
    for table, condition in TABLES.items()
    for order in RUNS
}


def bounds(sensor: int, start: float | None, end: float | None) -> dict[str, Any]:
    """The parameters of statements that read a sensor's values between two times."""
    return {
        "sensor": sensor,
        "start": -EVER if start is None else start,
        "end": EVER if end is None else end,
    }


def rows(
    db: sqlite3.Connection,
    sensor: int,
    start: float | None = None,
    end: float | None = None,
    order: Order = "asc",
    after: Key | None = None,
) -> Generator[Row, None, None]:
    """Yield values in order.

    Args:
        db: in a transaction, as long as values are taken.
        sensor: its id.
        start: the earliest timestamp.
        end: up to here, exclusive.
        order: `desc` for the latest first.
        after: the key of the last value that is not wanted any more.
    """
    for some in some_rows(db, sensor, start, end, order, after):
        yield from some


def some_rows(
    db: sqlite3.Connection,
    sensor: int,
    start: float | None = None,
    end: float | None = None,
    order: Order = "asc",
    after: Key | None = None,
) -> Generator[list[Row], None, None]:
    """The same, a few values at a time: those that no other run has values between."""
    values = bounds(sensor, start, end)
    if after is None:
        after = (-EVER, 0) if order == "asc" else (EVER, 0)
    elif order == "asc":
        values["start"] = max(values["start"], after[0])
    else:
        values["end"] = min(values["end"], math.nextafter(after[0], math.inf))
    values |= {"at": after[0], "delay": after[1]}
    way = 1 if order == "asc" else -1
    starts = deque(db.execute(RUNS[order], values).fetchall())
    open_runs: list[tuple[Key, int, _Run]] = []
    number = 0
    while starts or open_runs:
        while starts and (not open_runs or way * starts[0][0] <= open_runs[0][0][0]):
            _, table, part = starts.popleft()
            run = _Run(db.execute(_ROWS[table, order], {**values, "part": part}), way)
            number += 1
            if run.rows:
                heapq.heappush(open_runs, (run.key(run.rows[0]), number, run))
        if not open_runs:
            continue
        _, place, run = heapq.heappop(open_runs)
        until: Key = (way * starts[0][0], -_FAR) if starts else (math.inf, 0)
        if open_runs:
            until = min(until, open_runs[0][0])
        while some := run.take(until):
            yield some
        if run.rows:
            heapq.heappush(open_runs, (run.key(run.rows[0]), place, run))


class _Run:
    """The values of one run that are still to be read.

    Args:
        cursor: reads them.
        way: 1, or -1 where they come backwards.

    Attributes:
        rows: the next ones, none only at the end.
    """

    __slots__ = ("_cursor", "_way", "rows")

    def __init__(self, cursor: sqlite3.Cursor, way: int) -> None:
        self._cursor = cursor
        self._way = way
        self.rows: list[Row] = cursor.fetchmany(1)

    def key(self, row: Row) -> Key:
        """What the rows of all runs are merged by, the smallest first."""
        return self._way * row[0], self._way * row[1]

    def take(self, until: Key) -> list[Row]:
        """Take rows up to a key, some of them at least if there are any."""
        some = self.rows
        if not some:
            return some
        if self.key(some[-1]) > until:
            count = bisect_right(some, until, key=self.key)
            self.rows = some[count:]
            return some[:count]
        is_long = isinstance(some[-1][2], str | bytes)
        self.rows = self._cursor.fetchmany(_LONG_AT_ONCE if is_long else _AT_ONCE)
        return some


def first_row(
    db: sqlite3.Connection, sensor: int, start: float | None, end: float | None, order: Order
) -> Row | None:
    """The first of `rows`, if there is any."""
    with closing(rows(db, sensor, start, end, order)) as found:
        return next(found, None)
