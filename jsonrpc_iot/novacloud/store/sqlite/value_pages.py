"""Values of several sensors in one order, some at a time."""

import heapq
import sqlite3
from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Any

from ..query import Order
from ..telemetry_log import Place
from .fresh import from_sql
from .points import size_of
from .runs import rows

_BYTES = 1 << 18


def value_page(
    db: sqlite3.Connection,
    sensors: Sequence[int],
    after: Place | None,
    limit: int,
    start: float | None,
    end: float | None,
    order: Order,
) -> list[tuple[Place, Any]]:
    """See `TelemetryLog.value_page`."""
    is_desc = order == "desc"
    runs = [_run(db, sensor, after, start, end, order) for sensor in sorted(set(sensors))]
    merged = heapq.merge(*runs, key=lambda row: row[0], reverse=is_desc)
    found: list[tuple[Place, Any]] = []
    size = 0
    for place, value in merged:
        found.append((place, from_sql(value)))
        size += size_of(value)
        if len(found) >= limit or size >= _BYTES:
            break
    for run in runs:
        run.close()
    return found


def _run(
    db: sqlite3.Connection,
    sensor: int,
    after: Place | None,
    start: float | None,
    end: float | None,
    order: Order,
) -> Generator[tuple[Place, Any], None, None]:
    """Yield the values of one sensor from behind a place, reading no more than are taken."""
    key = None
    if after is not None:
        timestamp, delay, last = after
        is_desc = order == "desc"
        # Of values with the same times those of other sensors may still be to come.
        is_behind = sensor < last if is_desc else sensor > last
        key = timestamp, delay + (1 if is_desc else -1) if is_behind else delay
    with closing(rows(db, sensor, start, end, order, key)) as found:
        for timestamp, delay, value in found:
            yield (timestamp, delay, sensor), value
