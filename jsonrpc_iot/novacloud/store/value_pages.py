"""Values of several sensors in one order, some at a time."""

import heapq
import sqlite3
from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Any

from .managed import Place
from .store import Order
from .telemetry import from_sql

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
    """See `ManagedStore.value_page`."""
    is_desc = order == "desc"
    runs = [_run(db, sensor, after, start, end, is_desc) for sensor in sorted(set(sensors))]
    merged = heapq.merge(*runs, key=lambda row: row[0], reverse=is_desc)
    found: list[tuple[Place, Any]] = []
    size = 0
    for place, value in merged:
        found.append((place, from_sql(value)))
        size += len(value) if isinstance(value, str | bytes) else 8
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
    is_desc: bool,
) -> Generator[tuple[Place, Any], None, None]:
    """Yield the values of one sensor from behind a place, reading no more than are taken."""
    text = (
        "SELECT timestamp, received, value FROM telemetry WHERE sensor = :sensor "
        "AND timestamp >= ifnull(:start, -1e300) AND timestamp < ifnull(:end, 1e300)"
    )
    values = {"sensor": sensor, "start": start, "end": end}
    if after is not None:
        # Values of one report have one arrival; among them the sensor's number decides.
        values |= {"at": after[0], "received": after[1]}
        sign = "<" if is_desc else ">"
        is_behind = sensor < after[2] if is_desc else sensor > after[2]
        text += f" AND timestamp {sign}= :at"
        text += f" AND (timestamp, received) {sign}{'=' if is_behind else ''} (:at, :received)"
    way = "DESC" if is_desc else "ASC"
    with closing(db.cursor()) as cursor:
        cursor.execute(f"{text} ORDER BY timestamp {way}, received {way}", values)
        for timestamp, received, value in cursor:
            yield (timestamp, received, sensor), value
