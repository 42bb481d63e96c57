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
from operator import itemgetter
from typing import Any

from ..query import Order

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
_FEW = 300  # rows, where they are short

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


def groups_of(table: str) -> str:
    """A common table expression for the numbers of a table's groups, and NULL at the end."""
    return (
        f"groups(number) AS (SELECT min(part) FROM {table} UNION ALL SELECT "
        f"(SELECT min(part) FROM {table} WHERE part > groups.number) "
        "FROM groups WHERE number IS NOT NULL) "
    )


def _groups_text(table: str, order: Order) -> str:
    begin = (
        f"SELECT timestamp FROM {TABLES[table].replace(':part', 'groups.number')} AND {WITHIN} "
        f"ORDER BY timestamp {backwards(order)} LIMIT 1"
    )
    return (
        f"WITH RECURSIVE {groups_of(table)} SELECT * FROM "
        f"(SELECT ({begin}) AS begin, '{table}', number FROM groups) WHERE begin IS NOT NULL"
    )


def _parts_text(order: Order) -> str:
    first = "max(first, :start)" if order == "asc" else "min(last, :end)"
    return (
        f"SELECT {first}, 'merged', part FROM parts "
        "WHERE level > 0 AND last >= :start AND first < :end UNION ALL "
        f"SELECT * FROM (SELECT timestamp, 'telemetry_1', 0 FROM {TABLES['telemetry_1']} "
        f"AND {WITHIN} ORDER BY timestamp {backwards(order)} LIMIT 1)"
    )


def _behind(table: str, order: Order) -> str:
    return f"(timestamp, {delay_of(table)}) {'>' if order == 'asc' else '<'} (:at, :delay)"


_ORDERS: tuple[Order, ...] = ("asc", "desc")
_FRESH = ("fresh_0", "fresh_1")
_PARTS = {order: _parts_text(order) for order in _ORDERS}
_GROUPS = {(table, order): _groups_text(table, order) for table in _FRESH for order in _ORDERS}
_FEW_ROWS = {
    (table, order): (
        f"WITH RECURSIVE {groups_of(table)} SELECT timestamp, delay, CASE WHEN typeof(value) "
        f"IN ('integer', 'real') OR length(value) <= 64 THEN value END FROM groups CROSS JOIN "
        f"{TABLES[table].replace(':part', 'groups.number')} "
        f"AND {WITHIN} AND {_behind(table, order)} LIMIT {_FEW + 1}"
    )
    for table in _FRESH
    for order in _ORDERS
}
_ROWS = {
    (table, order): (
        f"SELECT timestamp, {delay_of(table)} AS delay, value FROM {condition} AND {WITHIN} "
        f"AND {_behind(table, order)} "
        f"ORDER BY timestamp {backwards(order)}, delay {backwards(order)}"
    )
    for table, condition in TABLES.items()
    for order in _ORDERS
}


def bounds(sensor: int, start: float | None, end: float | None) -> dict[str, Any]:
    """The parameters of statements that read a sensor's values between two times."""
    return {
        "sensor": sensor,
        "start": -EVER if start is None else start,
        "end": EVER if end is None else end,
    }


def runs_between(
    db: sqlite3.Connection, values: dict[str, Any], order: Order = "asc"
) -> list[tuple[float, str, int]]:
    """The runs that may have values between two times: from which time on, the table, the number.

    Args:
        db: in a transaction.
        values: from `bounds`.
        order: of those times.
    """
    found = db.execute(_PARTS[order], values).fetchall()
    for table in _FRESH:
        found += db.execute(_GROUPS[table, order], values).fetchall()
    return found


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
    starts, open_runs = _begin(db, order, values, way)
    number = len(_FRESH)
    while starts or open_runs:
        while starts and (not open_runs or way * starts[0][0] <= open_runs[0][0][0]):
            _, table, part = starts.popleft()
            cursor = db.execute(_ROWS[table, order], {**values, "part": part})
            run = _Run(cursor.fetchmany(1), cursor, way)
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


def _begin(
    db: sqlite3.Connection, order: Order, values: dict[str, Any], way: int
) -> tuple[deque[tuple[float, str, int]], list[tuple[Key, int, "_Run"]]]:
    """The runs that are to be opened when their time comes, in that order, and those in memory."""
    begins = db.execute(_PARTS[order], values).fetchall()
    ready = []
    for number, table in enumerate(_FRESH):
        some = _few_rows(db, table, order, values)
        if some is None:
            begins += db.execute(_GROUPS[table, order], values).fetchall()
        elif some:
            run = _Run(some, None, way)
            ready.append((run.key(some[0]), number, run))
    ready.sort()
    return deque(sorted(begins, key=lambda begin: way * begin[0])), ready


def _few_rows(
    db: sqlite3.Connection, table: str, order: Order, values: dict[str, Any]
) -> list[Row] | None:
    """All that has come of a sensor, `None` where that is much: many groups have one value each."""
    found: list[Row] = db.execute(_FEW_ROWS[table, order], values).fetchall()
    if len(found) > _FEW or any(value is None for _, _, value in found):
        return None
    found.sort(key=_KEY, reverse=order == "desc")
    return found


_KEY = itemgetter(0, 1)


class _Run:
    """The values of one run that are still to be read.

    Args:
        rows: the next ones; none at the end.
        cursor: reads the others.
        way: 1, or -1 where they come backwards.
    """

    __slots__ = ("_at_once", "_cursor", "_way", "rows")

    def __init__(self, rows: list[Row], cursor: sqlite3.Cursor | None, way: int) -> None:
        self._cursor = cursor
        self._way = way
        self._at_once = _LONG_AT_ONCE
        self.rows = rows

    def key(self, row: Row) -> Key:
        """What the rows of all runs are merged by, the smallest first."""
        return self._way * row[0], self._way * row[1]

    def take(self, until: Key) -> list[Row]:
        """Take rows up to a key, some of them at least if there are any."""
        if not self.rows and self._cursor is not None:
            self.rows = self._cursor.fetchmany(self._at_once)
        some, self.rows = self.rows, []
        if some and self.key(some[-1]) > until:
            count = bisect_right(some, until, key=self.key)
            some, self.rows = some[:count], some[count:]
        if some:
            is_long = isinstance(some[-1][2], str | bytes)
            self._at_once = _LONG_AT_ONCE if is_long else _AT_ONCE
        return some


def first_row(
    db: sqlite3.Connection, sensor: int, start: float | None, end: float | None, order: Order
) -> Row | None:
    """The first of `rows`, if there is any."""
    with closing(rows(db, sensor, start, end, order)) as found:
        return next(found, None)
