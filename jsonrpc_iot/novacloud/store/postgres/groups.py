"""One point for each interval: some with each statement, whatever a series is like.

Each statement looks at a stretch of time that has as many groups as are wanted. Where values are
rare, each stretch without any is twice as long as the last one.
"""

import math
from collections.abc import AsyncGenerator
from typing import Any

import asyncpg
import msgspec

from ..query import Aggregate, Point, Query
from .pools import Pools, Rows
from .reading import MOST_BYTES, MOST_ROWS, bounds, stored_points
from .values import SIZE, from_sql

# Booleans are the numbers 0 and 1.
_WHOLE = "coalesce(whole, CASE content WHEN 'true' THEN 1 WHEN 'false' THEN 0 END)"
_NUMBER = f"coalesce(number, {_WHOLE}::float8)"
_IS_NUMBER = "AND (content IS NULL OR content IN ('true', 'false'))"

# PostgreSQL fails where a sum is too large for a number: very large ones are added up apart.
_LARGE = 64
_SUM = (
    f"sum({_NUMBER}) FILTER (WHERE abs({_NUMBER}) < 1e290) AS small, "
    f"sum({_NUMBER} / {1 << _LARGE}) FILTER (WHERE abs({_NUMBER}) >= 1e290) AS large, "
    "count(*) AS count"
)
_TELLS: dict[Aggregate, str] = {
    "mean": _SUM,
    "sum": _SUM,
    "min": f"min(number) AS number, min({_WHOLE}) AS whole",
    "max": f"max(number) AS number, max({_WHOLE}) AS whole",
    "count": "count(*) AS count",
}

_WITHIN = "FROM telemetry WHERE sensor = $1 AND timestamp >= $2 AND timestamp <= $3"
_RANGE = (
    "SELECT min(timestamp), max(timestamp) FROM "
    f"((SELECT timestamp {_WITHIN} ORDER BY timestamp LIMIT 1) UNION ALL "
    f"(SELECT timestamp {_WITHIN} ORDER BY timestamp DESC LIMIT 1)) AS ends"
)
# Whose group it is decides; a bound that was rounded leaves nothing out, and counts nothing twice.
_GROUP = "floor((timestamp + $5) / $6)"
_SOME = f"{_WITHIN} AND {_GROUP} >= $7 AND {_GROUP} < $8"


def _aggregate_text(aggregate: Aggregate, way: str) -> str:
    condition = "" if aggregate == "count" else _IS_NUMBER
    return (
        f"SELECT {_GROUP} AS place, {_TELLS[aggregate]} {_SOME} {condition} "
        f"GROUP BY 1 ORDER BY 1 {way} LIMIT $4"
    )


def _end_text(aggregate: Aggregate, way: str) -> str:
    """For the first or last value of each group, as many as are not too much for one answer."""
    inner = "DESC" if aggregate == "last" else "ASC"
    return (
        f"SELECT * FROM (SELECT *, sum({SIZE}) OVER (ORDER BY place {way}) - {SIZE} AS before "
        "FROM (SELECT DISTINCT ON (place) * FROM (SELECT "
        f"{_GROUP} AS place, timestamp, received, whole, number, content {_SOME}) AS each "
        f"ORDER BY place {way}, timestamp {inner}, received {inner} LIMIT $4) AS ends) AS counted "
        f"WHERE before < $9 ORDER BY place {way}"
    )


def _total(row: asyncpg.Record) -> float:
    return float((row["small"] or 0.0) + (row["large"] or 0.0) * float(1 << _LARGE))


def _value(aggregate: Aggregate, row: asyncpg.Record) -> Any:
    """What is told of a group; `None` where a sum is too large: JSON has no infinity."""
    if aggregate == "count":
        return row["count"]
    if aggregate in ("first", "last"):
        return from_sql(row["whole"], row["number"], row["content"])
    if aggregate in ("min", "max"):
        both = [each for each in (row["whole"], row["number"]) if each is not None]
        return (min if aggregate == "min" else max)(both)
    total = _total(row)
    if math.isinf(total):
        return None
    return total / row["count"] if aggregate == "mean" else total


async def groups(pools: Pools, query: Query) -> AsyncGenerator[Point, None]:
    """The groups of a query that have values."""
    (ends,) = await _fetch(pools, _RANGE, query, *bounds(query.start, query.end))
    if ends[0] is None:
        return
    first, last = ends
    if query.interval is None:
        begin = first if query.start is None else query.start
        async for value in _all_as_one(pools, query, first, last):
            yield Point(begin, value)
        return
    interval, offset = query.interval, query.offset
    low, high = (math.floor((at + offset) / interval) for at in ends)
    most = min(query.limit, max(1, MOST_ROWS // query.beside))
    left, length = query.limit, most
    while left > 0 and low <= high:
        begin, end = (low, low + length) if query.order == "asc" else (high + 1 - length, high + 1)
        some = await _stretch(pools, query, begin, end, min(left, most), first, last)
        for place, value in some:
            yield Point(place * interval - offset, value)
        left -= len(some)
        length = most if some else 2 * length
        if query.order == "asc":
            low = some[-1][0] + 1 if some else end
        else:
            high = some[-1][0] - 1 if some else begin - 1


async def _stretch(
    pools: Pools, query: Query, begin: int, end: int, most: int, first: float, last: float
) -> list[tuple[int, Any]]:
    """The number and value of the groups from one number up to another, exclusive."""
    assert query.interval is not None
    aggregate = query.aggregate or "mean"
    way = "DESC" if query.order == "desc" else "ASC"
    values: list[Any] = [
        max(first, (begin - 1) * query.interval - query.offset),
        min(last, (end + 1) * query.interval - query.offset),
        most,
        query.offset,
        query.interval,
        float(begin),
        float(end),
    ]
    if aggregate in ("first", "last"):
        text = _end_text(aggregate, way)
        values.append(MOST_BYTES // query.beside)
    else:
        text = _aggregate_text(aggregate, way)
    rows = await _fetch(pools, text, query, *values)
    return [(int(row["place"]), _value(aggregate, row)) for row in rows]


async def _all_as_one(
    pools: Pools, query: Query, first: float, last: float
) -> AsyncGenerator[Any, None]:
    """The value of the only group, if it has one."""
    aggregate = query.aggregate or "mean"
    if aggregate in ("first", "last"):
        order = "asc" if aggregate == "first" else "desc"
        one = msgspec.structs.replace(query, aggregate=None, limit=1, order=order)
        async for each in stored_points(pools, one):
            yield each.value
        return
    condition = "" if aggregate == "count" else _IS_NUMBER
    text = f"SELECT {_TELLS[aggregate]} {_WITHIN} {condition} HAVING count(*) > 0"
    for row in await _fetch(pools, text, query, first, last):
        yield _value(aggregate, row)


async def _fetch(pools: Pools, text: str, query: Query, *values: Any) -> Rows:
    return await pools.fetch(text, query.sensor, *values, purpose="reports")
