"""Reading values: some at a time, so that nobody holds many and the database's log stays short.

The values of a sensor lie in several runs, each of them in order: one in each group that has come,
one in each merged part, and one in the table of the first version. `rows` merges them as far as
they are asked for.
"""

import heapq
import math
import sqlite3
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any

import msgspec
from msgspec import Struct

from .store import AHEAD_SECONDS, Aggregate, Order, Point, Query
from .telemetry import MICROSECONDS, from_sql

MOST_ROWS = 1000
MOST_BYTES = 1 << 18
"""Of one answer to `points`, more or less."""

_AHEAD = -int(AHEAD_SECONDS * MICROSECONDS)
_EVER = 1e300
_FAR = 1 << 64
_OLD_DELAY = "received - CAST(timestamp * 1000000 AS INTEGER)"
_TABLES = {
    "fresh_0": "fresh_0 WHERE part = :part AND sensor = :sensor",
    "fresh_1": "fresh_1 WHERE part = :part AND sensor = :sensor",
    "merged": "merged WHERE part = :part AND sensor = :sensor",
    "telemetry_1": "telemetry_1 WHERE sensor = :sensor",
}
_WITHIN = "timestamp >= :start AND timestamp < :end"
_TRUE, _FALSE = "x'74727565'", "x'66616c7365'"
_IS_NUMBER = f"(typeof(value) IN ('integer', 'real') OR value IN ({_TRUE}, {_FALSE}))"
_NUMBER = f"CASE value WHEN {_TRUE} THEN 1 WHEN {_FALSE} THEN 0 ELSE value END"
_AGGREGATES: dict[Aggregate, tuple[str, str]] = {
    "mean": (f"avg({_NUMBER})", f"WHERE {_IS_NUMBER}"),
    "sum": (f"total({_NUMBER})", f"WHERE {_IS_NUMBER}"),
    "min": (f"min({_NUMBER})", f"WHERE {_IS_NUMBER}"),
    "max": (f"max({_NUMBER})", f"WHERE {_IS_NUMBER}"),
    "first": ("min(timestamp)", ""),
    "last": ("max(timestamp)", ""),
    "count": ("count(*)", ""),
}

Key = tuple[float, int]
"""Timestamp and delay, by which the values of a sensor are in order."""
Row = tuple[float, int, Any]
"""The same, and the value as the tables have it."""


class Place(Struct, frozen=True):
    """Where to go on reading: after a value, or from the beginning of a group on.

    Args:
        after: the key of the last value that was read.
        group: the number of the first group that was not, with `desc` of the last one that was.
    """

    after: Key | None = None
    group: int | None = None


def delay_of(table: str) -> str:
    """The expression for the delay of a table's values."""
    return _OLD_DELAY if table == "telemetry_1" else "delay"


def _backwards(order: Order) -> str:
    return "DESC" if order == "desc" else "ASC"


def _runs_text(order: Order) -> str:
    way = _backwards(order)

    def begin(table: str, part: str) -> str:
        condition = _TABLES[table].replace(":part", part)
        return f"(SELECT timestamp FROM {condition} AND {_WITHIN} ORDER BY timestamp {way} LIMIT 1)"

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
    return (
        f"WITH RECURSIVE {groups[2:]} SELECT begin, source, part FROM ({fresh} UNION ALL "
        f"SELECT {begin('merged', 'parts.part')}, 'merged', part FROM parts "
        "WHERE level > 0 AND last >= :start AND first < :end UNION ALL "
        f"SELECT {begin('telemetry_1', '0')}, 'telemetry_1', 0) "
        f"WHERE begin IS NOT NULL ORDER BY begin {way}"
    )


_RUNS: dict[Order, str] = {"asc": _runs_text("asc"), "desc": _runs_text("desc")}
_ROWS = {
    (table, order): (
        f"SELECT timestamp, {delay_of(table)} AS delay, value FROM {condition} AND {_WITHIN} "
        f"ORDER BY timestamp {_backwards(order)}, delay {_backwards(order)}"
    )
    for table, condition in _TABLES.items()
    for order in _RUNS
}


def _bounds(sensor: int, start: float | None, end: float | None) -> dict[str, Any]:
    return {
        "sensor": sensor,
        "start": -_EVER if start is None else start,
        "end": _EVER if end is None else end,
    }


def rows(
    db: sqlite3.Connection,
    sensor: int,
    start: float | None = None,
    end: float | None = None,
    order: Order = "asc",
    after: Key | None = None,
) -> Generator[Row, None, None]:
    """Yield values in order, reading no more of them than are taken.

    Args:
        db: in a transaction, as long as values are taken.
        sensor: its id.
        start: the earliest timestamp.
        end: up to here, exclusive.
        order: `desc` for the latest first.
        after: the key of the last value that is not wanted any more.
    """
    values = _bounds(sensor, start, end)
    if after is not None and order == "asc":
        values["start"] = max(values["start"], after[0])
    elif after is not None:
        values["end"] = min(values["end"], math.nextafter(after[0], math.inf))
    way = 1 if order == "asc" else -1
    starts = deque(db.execute(_RUNS[order], values).fetchall())
    open_runs: list[tuple[tuple[float, int], int, Row, Iterator[Row]]] = []
    number = 0
    while starts or open_runs:
        while starts and (not open_runs or way * starts[0][0] <= open_runs[0][0][0]):
            _, table, part = starts.popleft()
            run: Iterator[Row] = db.execute(_ROWS[table, order], {**values, "part": part})
            number += 1
            _wait(open_runs, next(run, None), run, way, number)
        if not open_runs:
            continue
        _, place, row, run = heapq.heappop(open_runs)
        limits = [open_runs[0][0]] if open_runs else []
        if starts:
            limits.append((way * starts[0][0], -_FAR))
        until = min(limits, default=(math.inf, 0))
        following: Row | None = row
        while following is not None and (key := (way * following[0], way * following[1])) <= until:
            if after is None or key > (way * after[0], way * after[1]):
                yield following
            following = next(run, None)
        _wait(open_runs, following, run, way, place)


def _wait(
    open_runs: list[tuple[tuple[float, int], int, Row, Iterator[Row]]],
    row: Row | None,
    run: Iterator[Row],
    way: int,
    number: int,
) -> None:
    """Have the next value of a run wait for its turn."""
    if row is not None:
        heapq.heappush(open_runs, ((way * row[0], way * row[1]), number, row, run))


def first_row(
    db: sqlite3.Connection, sensor: int, start: float | None, end: float | None, order: Order
) -> Row | None:
    """The first of `rows`, if there is any."""
    with closing(rows(db, sensor, start, end, order)) as found:
        return next(found, None)


def points(
    db: sqlite3.Connection, query: Query, place: Place
) -> tuple[Sequence[Point], Place | None]:
    """Read some of the points of a query.

    Args:
        db: in a transaction.
        query: which ones; its limit is for this answer.
        place: where to begin.

    Returns:
        The points, and where to go on; `None` when there are no more.
    """
    if query.interval is not None or query.aggregate is not None:
        return _groups(db, query, place)
    found: list[Point] = []
    size = 0
    after = place.after
    with closing(rows(db, query.sensor, query.start, query.end, query.order, after)) as stored:
        for row in stored:
            after = row[:2]
            found.append(point(row))
            size += len(row[2]) if isinstance(row[2], str | bytes) else 8
            if len(found) >= min(query.limit, MOST_ROWS) or size >= MOST_BYTES:
                return found, Place(after=after)
    return found, None


def point(row: Row) -> Point:
    """A value as callers see it."""
    timestamp, delay, value = row
    return Point(timestamp, from_sql(value), delay < _AHEAD)


def _groups(
    db: sqlite3.Connection, query: Query, place: Place
) -> tuple[Sequence[Point], Place | None]:
    """Read groups of one stretch of time, which is long enough for as many as are wanted.

    Where values are rare, each stretch without enough of them is twice as long as the last one.
    """
    span = _range(db, query)
    if span is None:
        return [], None
    if query.interval is None:
        begin = span[0] if query.start is None else query.start
        return _stretch(db, query, *span, begin), None
    interval, offset = query.interval, query.offset
    first, last = (math.floor((at + offset) / interval) for at in span)
    stretch = min(query.limit, MOST_ROWS)
    if query.order == "asc":
        low = first if place.group is None else place.group
        while low <= last:
            high = low + stretch
            if found := _stretch(db, query, *_clipped(query, low, high), low):
                return found, Place(group=high) if high <= last else None
            low, stretch = high, 2 * stretch
    else:
        high = last + 1 if place.group is None else place.group
        while high > first:
            low = high - stretch
            if found := _stretch(db, query, *_clipped(query, low, high), low):
                return found, Place(group=low) if low > first else None
            high, stretch = low, 2 * stretch
    return [], None


def _clipped(query: Query, low: int, high: int) -> tuple[float, float]:
    """From when until when there are some groups, as far as they are wanted."""
    assert query.interval is not None
    start, end = (number * query.interval - query.offset for number in (low, high))
    return (
        start if query.start is None else max(start, query.start),
        end if query.end is None else min(end, query.end),
    )


def _range(db: sqlite3.Connection, query: Query) -> tuple[float, float] | None:
    """The timestamps of the first and last value, the last one made a bit later."""
    first = first_row(db, query.sensor, query.start, query.end, "asc")
    last = first_row(db, query.sensor, query.start, query.end, "desc")
    if first is None or last is None:
        return None
    return first[0], math.nextafter(last[0], math.inf)


def _stretch(
    db: sqlite3.Connection, query: Query, start: float, end: float, begin: float
) -> list[Point]:
    """Read the groups between two times.

    Args:
        db: in a transaction.
        query: which ones.
        start: the first time.
        end: up to here, exclusive.
        begin: the number of the first group; without an interval the time of the only one.
    """
    values = _bounds(query.sensor, start, end)
    found: dict[str, list[int]] = {table: [] for table in _TABLES}
    for _, table, part in db.execute(_RUNS["asc"], values):
        found[table].append(part)
    tables = [table for table, numbers in found.items() if numbers]
    if not tables:
        return []
    for table in tables:
        values[table] = msgspec.json.encode(found[table]).decode()
    aggregate = query.aggregate or "mean"
    expression, condition = _AGGREGATES[aggregate]
    if query.interval is None:
        columns, group = "timestamp, value", "HAVING count(*) > 0"
        head = "0"
    else:
        values |= {"interval": query.interval, "limit": query.limit}
        values["low"] = begin * query.interval - query.offset
        columns = "timestamp, value, CAST((timestamp - :low) / :interval AS INTEGER) AS number"
        group = f"GROUP BY number ORDER BY number {_backwards(query.order)} LIMIT :limit"
        head = "number"
    text = f"SELECT {head}, {expression} FROM ({_source(tables, columns)}) {condition} {group}"
    result = []
    for number, value in db.execute(text, values).fetchall():
        if aggregate in ("first", "last"):
            value = _value_at(db, query.sensor, value, aggregate)  # noqa: PLW2901
        at = begin
        if query.interval is not None:
            at = (begin + number) * query.interval - query.offset
        result.append(Point(at, _finite(value)))
    return result


def _value_at(db: sqlite3.Connection, sensor: int, timestamp: float, aggregate: Aggregate) -> Any:
    """The first or last value of a moment."""
    order: Order = "asc" if aggregate == "first" else "desc"
    row = first_row(db, sensor, timestamp, math.nextafter(timestamp, math.inf), order)
    assert row is not None
    return from_sql(row[2])


def _source(tables: Iterable[str], columns: str) -> str:
    """All values between two times, as they lie."""
    return " UNION ALL ".join(
        f"SELECT {columns} "
        f"FROM (SELECT value AS number FROM json_each(:{table})) AS run CROSS JOIN "
        f"{_TABLES[table].replace(':part', 'run.number')} AND {_WITHIN}"
        for table in tables
    )


def _finite(value: Any) -> Any:
    """A value, `None` for a mean whose sum is too large for a number: JSON has no infinity."""
    return None if isinstance(value, float) and math.isinf(value) else value


def latest_point(db: sqlite3.Connection, sensor: int, now: float) -> Point | None:
    """See `Store.latest`, for one sensor."""
    before = math.nextafter(now + AHEAD_SECONDS, math.inf)
    row = first_row(db, sensor, None, before, "desc") or first_row(db, sensor, None, None, "desc")
    return None if row is None else point(row)


def latest_points(db: sqlite3.Connection, device_id: str, now: float) -> dict[str, Point]:
    """See `Store.latest`."""
    sensors = db.execute("SELECT id, value_key FROM sensors WHERE device_id = ?", (device_id,))
    found = {key: latest_point(db, sensor, now) for sensor, key in sensors.fetchall()}
    return {key: value for key, value in found.items() if value is not None}
