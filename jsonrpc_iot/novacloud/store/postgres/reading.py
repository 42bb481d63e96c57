"""Values by time, some with each statement, so that nobody holds a connection or many values."""

import math
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from ..query import Order, Point, Query
from ..telemetry_log import Place
from .pools import Pools, Rows
from .values import COLUMNS, SIZE, from_sql, point

MOST_ROWS = 1000
MOST_BYTES = 1 << 18
"""Of one statement's answer, more or less."""


def _text(order: Order, source: str, key: str) -> str:
    """A statement for rows of a source in order, up to $1 of them and $2 bytes, one at least."""
    way = "DESC" if order == "desc" else "ASC"
    sorting = ", ".join(f"{column} {way}" for column in key.split(", "))
    return (
        f"SELECT {COLUMNS}, sensor FROM (SELECT *, "
        f"sum({SIZE}) OVER (ORDER BY {sorting}) - {SIZE} AS before "
        f"FROM ({source} ORDER BY {sorting} LIMIT $1) AS most) AS counted "
        f"WHERE before < $2 ORDER BY {sorting}"
    )


def _run(order: Order, sensor: str, received: str) -> str:
    """What one sensor has between two times, behind a place."""
    sign, bound = (">", "timestamp >= $6") if order == "asc" else ("<", "timestamp <= $6")
    return (
        f"SELECT sensor, {COLUMNS} FROM telemetry WHERE sensor = {sensor} "
        f"AND timestamp >= $4 AND timestamp <= $5 AND {bound} "
        f"AND (timestamp, received) {sign} ($6, {received})"
    )


def _pages(order: Order) -> str:
    way, step = ("DESC", "+") if order == "desc" else ("ASC", "-")
    # Of values with the same times those of other sensors may still be to come.
    behind = "each > $8::bigint" if order == "asc" else "each < $8::bigint"
    run = _run(order, "each", f"$7::bigint {step} ({behind})::int")
    return _text(
        order,
        f"SELECT run.* FROM unnest($3::bigint[]) AS each CROSS JOIN LATERAL ({run} "
        f"ORDER BY timestamp {way}, received {way} LIMIT $1) AS run",
        "timestamp, received, sensor",
    )


_ORDERS: tuple[Order, ...] = ("asc", "desc")
_POINTS = {order: _text(order, _run(order, "$3", "$7"), "timestamp, received") for order in _ORDERS}
_PAGES = {order: _pages(order) for order in _ORDERS}
_EVER = math.inf


def _begin(order: Order) -> tuple[float, int]:
    return (-_EVER, 0) if order == "asc" else (_EVER, 0)


async def stored_points(pools: Pools, query: Query) -> AsyncGenerator[Point, None]:
    """All values of a query, as they are stored."""
    after = _begin(query.order)
    left = query.limit
    most, size = max(1, MOST_ROWS // query.beside), MOST_BYTES // query.beside
    while left > 0:
        rows = await pools.fetch(
            _POINTS[query.order],
            min(left, most),
            size,
            query.sensor,
            *bounds(query.start, query.end),
            *after,
            purpose="reports",
        )
        for row in rows:
            yield point(row)
        if not rows:
            return
        left -= len(rows)
        after = rows[-1]["timestamp"], rows[-1]["received"]


async def value_page(
    pools: Pools,
    sensors: Sequence[int],
    after: Place | None,
    limit: int,
    start: float | None,
    end: float | None,
    order: Order,
) -> list[tuple[Place, Any]]:
    """See `TelemetryLog.value_page`. The delay of a place is the number of an arrival here."""
    place = after or (*_begin(order), 0)
    rows: Rows = await pools.fetch(
        _PAGES[order],
        limit,
        MOST_BYTES,
        sorted(set(sensors)),
        *bounds(start, end),
        *place,
    )
    return [
        ((row["timestamp"], row["received"], row["sensor"]), from_sql(*row[2:5])) for row in rows
    ]


def bounds(start: float | None, end: float | None) -> tuple[float, float]:
    """The first and the last time from a start to before an end, as statements have them.

    `timestamp` is compared with `>=` and `<=` alone: TimescaleDB finds chunks by bounds of whole
    seconds, and takes what is less than a time for less than its second.
    """
    return -_EVER if start is None else start, _EVER if end is None else math.nextafter(end, -_EVER)
