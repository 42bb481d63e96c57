"""The points of a query: some at a time, so that nobody holds many and the log stays short."""

import math
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import Any

import msgspec
from msgspec import Struct

from ..query import Aggregate, Order, Point, Query
from ..telemetry_log import AHEAD_SECONDS
from .fresh import MICROSECONDS, from_sql
from .runs import TABLES, WITHIN, Key, Row, backwards, bounds, first_row, runs_between, some_rows

MOST_ROWS = 1000
MOST_BYTES = 1 << 18
"""Of one answer to `points`, more or less."""

_AHEAD = -int(AHEAD_SECONDS * MICROSECONDS)
_TRUE, _FALSE = "x'74727565'", "x'66616c7365'"
# Numbers come before texts, and these before blobs.
_IS_NUMBER = f"(value < '' OR value IN ({_TRUE}, {_FALSE}))"
_NUMBER = f"CASE WHEN value < '' THEN value ELSE value = {_TRUE} END"
_AGGREGATES: dict[Aggregate, tuple[str, str]] = {
    "mean": (f"avg({_NUMBER})", f"WHERE {_IS_NUMBER}"),
    "sum": (f"total({_NUMBER})", f"WHERE {_IS_NUMBER}"),
    "min": (f"min({_NUMBER})", f"WHERE {_IS_NUMBER}"),
    "max": (f"max({_NUMBER})", f"WHERE {_IS_NUMBER}"),
    "first": ("min(timestamp)", ""),
    "last": ("max(timestamp)", ""),
    "count": ("count(*)", ""),
}


class Place(Struct, frozen=True):
    """Where to go on reading: after a value, or from the beginning of a group on.

    Args:
        after: the key of the last value that was read.
        group: the number of the first group that was not, with `desc` of the last one that was.
        stretch: groups to look at next, fewer than usual where values are long.
    """

    after: Key | None = None
    group: int | None = None
    stretch: int = MOST_ROWS


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
    most, size = min(query.limit, _most_rows(query)), _most_bytes(query)
    after = place.after
    with closing(some_rows(db, query.sensor, query.start, query.end, query.order, after)) as stored:
        for some in stored:
            del some[most - len(found) :]
            found += [point(row) for row in some]
            after = some[-1][:2]
            size -= sum(size_of(row[2]) for row in some)
            if len(found) >= most or size <= 0:
                return found, Place(after=after)
    return found, None


def _most_rows(query: Query) -> int:
    return max(1, MOST_ROWS // query.beside)


def _most_bytes(query: Query) -> int:
    return MOST_BYTES // query.beside


def size_of(value: Any) -> int:
    """About how many bytes a value takes."""
    return len(value) if type(value) in _LONG else 8


_LONG = frozenset({str, bytes})


def point(row: Row) -> Point:
    """A value as callers see it."""
    timestamp, delay, value = row
    if type(value) is bytes:
        value = from_sql(value)
    return Point(timestamp, value, True) if delay < _AHEAD else Point(timestamp, value)


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
        return _stretch(db, query, *span, begin)[0], None
    interval, offset = query.interval, query.offset
    first, last = (math.floor((at + offset) / interval) for at in span)
    stretch = min(query.limit, place.stretch)
    if query.order == "asc":
        low = first if place.group is None else place.group
        while low <= last:
            high = low + stretch
            found, cut = _stretch(db, query, *_clipped(query, low, high), low)
            if found:
                following = high if cut is None else cut + 1
                return found, _behind(following, found, cut) if following <= last else None
            low, stretch = high, 2 * stretch
    else:
        high = last + 1 if place.group is None else place.group
        while high > first:
            low = high - stretch
            found, cut = _stretch(db, query, *_clipped(query, low, high), low)
            if found:
                following = low if cut is None else cut
                return found, _behind(following, found, cut) if following > first else None
            high, stretch = low, 2 * stretch
    return [], None


def _behind(group: int, found: Sequence[Point], cut: int | None) -> Place:
    return Place(group=group, stretch=MOST_ROWS if cut is None else min(2 * len(found), MOST_ROWS))


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
) -> tuple[list[Point], int | None]:
    """Read the groups between two times, as many as are not too much for one answer.

    Args:
        db: in a transaction.
        query: which ones.
        start: the first time.
        end: up to here, exclusive.
        begin: the number of the first group; without an interval the time of the only one.

    Returns:
        The groups, and the number of the last one where there may be more.
    """
    values = bounds(query.sensor, start, end)
    found: dict[str, list[int]] = {table: [] for table in TABLES}
    for _, table, part in runs_between(db, values):
        found[table].append(part)
    tables = [table for table, numbers in found.items() if numbers]
    if not tables:
        return [], None
    for table in tables:
        values[table] = msgspec.json.encode(found[table]).decode()
    aggregate = query.aggregate or "mean"
    most = min(query.limit, _most_rows(query))
    expression, condition = _AGGREGATES[aggregate]
    if query.interval is None:
        columns, group = "timestamp", "HAVING count(*) > 0"
        head = "0"
    else:
        values |= {"interval": query.interval, "limit": most}
        values["low"] = begin * query.interval - query.offset
        columns = "timestamp, CAST((timestamp - :low) / :interval AS INTEGER) AS number"
        group = f"GROUP BY number ORDER BY number {backwards(query.order)} LIMIT :limit"
        head = "number"
    if condition:  # else no value is looked at, and they may be long
        columns += ", value"
    text = f"SELECT {head}, {expression} FROM ({_source(tables, columns)}) {condition} {group}"
    result: list[Point] = []
    size = 0
    for number, value in db.execute(text, values).fetchall():
        if aggregate in ("first", "last"):
            value = _value_at(db, query.sensor, value, aggregate)  # noqa: PLW2901
        at = begin
        if query.interval is not None:
            at = (begin + number) * query.interval - query.offset
        size += size_of(value)
        result.append(Point(at, _finite(from_sql(value))))
        if len(result) >= most or size >= _most_bytes(query):
            return result, math.floor(begin + number)
    return result, None


def _value_at(db: sqlite3.Connection, sensor: int, timestamp: float, aggregate: Aggregate) -> Any:
    """The first or last value of a moment."""
    order: Order = "asc" if aggregate == "first" else "desc"
    row = first_row(db, sensor, timestamp, math.nextafter(timestamp, math.inf), order)
    assert row is not None
    return row[2]


def _source(tables: Iterable[str], columns: str) -> str:
    """All values between two times, as they lie."""
    return " UNION ALL ".join(
        f"SELECT {columns} "
        f"FROM (SELECT value AS number FROM json_each(:{table})) AS run CROSS JOIN "
        f"{TABLES[table].replace(':part', 'run.number')} AND {WITHIN}"
        for table in tables
    )


def _finite(value: Any) -> Any:
    """A value, `None` for a mean whose sum is too large for a number: JSON has no infinity."""
    return None if isinstance(value, float) and math.isinf(value) else value
