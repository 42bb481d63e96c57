"""The table of values: many rows at once into it, points out of it.

The `sqlite3` module gives up Python's lock around every step of a statement, and a busy event loop
takes its time to return it. One statement for hundreds of rows has to ask for it once.
"""

import math
import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import Any

import msgspec

from .store import AHEAD_SECONDS, Point, Query, Report

_MICROSECONDS = 1_000_000
_SET_BACK = int(AHEAD_SECONDS * _MICROSECONDS)  # from here on not load, but another time of day
_CHUNKS = (512, 32, 1)
_INSERTS = {
    size: "INSERT OR REPLACE INTO telemetry VALUES " + ", ".join(["(?, ?, ?, ?)"] * size)
    for size in _CHUNKS
}

_NUMBERS = "AND typeof(value) IN ('integer', 'real')"
_AGGREGATES = {
    "mean": f"SELECT begin, avg(value) FROM grouped WHERE TRUE {_NUMBERS} GROUP BY begin",
    "min": f"SELECT begin, min(value) FROM grouped WHERE TRUE {_NUMBERS} GROUP BY begin",
    "max": f"SELECT begin, max(value) FROM grouped WHERE TRUE {_NUMBERS} GROUP BY begin",
    "count": "SELECT begin, count(*) FROM grouped GROUP BY begin",
    "last": (
        "SELECT begin, value FROM (SELECT *, row_number() OVER (PARTITION BY begin "
        "ORDER BY timestamp DESC, received DESC) AS place FROM grouped) WHERE place = 1"
    ),
}
_RANGE = (
    "sensor = :sensor AND timestamp >= ifnull(:start, -1e300) AND timestamp < ifnull(:end, 1e300)"
)


class TelemetryTable:
    """Inserts values."""

    def __init__(self) -> None:
        self._received = 0

    def insert(self, db: sqlite3.Connection, reports: Sequence[Report]) -> None:
        """Add the values of reports, except those of sensors that are gone."""
        rows: list[tuple[int, float, int, Any]] = []
        for report in reports:
            if report.values:
                timestamp = report.timestamp
                received = int(report.received * _MICROSECONDS)
                if self._received - received < _SET_BACK:
                    received = max(self._received + 1, received)
                self._received = received
                rows += [
                    (sensor, timestamp, received, _to_sql(value)) for sensor, value in report.values
                ]
        if not rows:
            return
        gone = _gone(db, {row[0] for row in rows})
        if gone:
            rows = [row for row in rows if row[0] not in gone]
        rows.sort(key=_sensor)  # neighbours in the table one after the other
        start = 0
        for size in _CHUNKS:
            while len(rows) - start >= size:
                chunk = rows[start : start + size]
                db.execute(_INSERTS[size], tuple(chain.from_iterable(chunk)))
                start += size


def _sensor(row: tuple[int, float, int, Any]) -> int:
    return row[0]


def _gone(db: sqlite3.Connection, sensors: set[int]) -> set[int]:
    found = db.execute(
        "SELECT value FROM json_each(?) WHERE value NOT IN (SELECT id FROM sensors)",
        (msgspec.json.encode(list(sensors)).decode(),),
    )
    return {id for (id,) in found}


def _to_sql(value: Any) -> int | float | str | bytes:
    if type(value) in (float, int, str):
        return value  # type: ignore[no-any-return]
    return msgspec.json.encode(value)


def from_sql(value: Any) -> Any:
    """A value of a column as callers see it."""
    return msgspec.json.decode(value) if isinstance(value, bytes) else value


def query_points(db: sqlite3.Connection, query: Query) -> list[Point]:
    """See `Store.query`."""
    values = msgspec.structs.asdict(query)
    order = {"asc": "ASC", "desc": "DESC"}[query.order]
    if query.interval is None and query.aggregate is None:
        text = (
            f"SELECT timestamp, value, received FROM telemetry WHERE {_RANGE} "
            f"ORDER BY timestamp {order}, received {order} LIMIT :limit"
        )
        return [_point(*row) for row in db.execute(text, values)]
    if query.interval is None:
        begin = (
            "ifnull(:start, (SELECT timestamp FROM telemetry WHERE sensor = :sensor "
            "ORDER BY timestamp LIMIT 1))"
        )
    else:
        begin = "CAST(timestamp / :interval AS INTEGER) * :interval"
    text = (
        f"WITH grouped AS (SELECT {begin} AS begin, timestamp, received, value FROM telemetry "
        f"WHERE {_RANGE}) {_AGGREGATES[query.aggregate or 'mean']} "
        f"ORDER BY begin {order} LIMIT :limit"
    )
    return [Point(begin, _finite(from_sql(value))) for begin, value in db.execute(text, values)]


def _finite(value: Any) -> Any:
    """A value, `None` for a mean whose sum is too large for a number: JSON has no infinity."""
    return None if isinstance(value, float) and math.isinf(value) else value


def latest_points(db: sqlite3.Connection, device_id: str, now: float) -> dict[str, Point]:
    """See `Store.latest`."""
    newest = (
        "SELECT timestamp, value, received FROM telemetry WHERE sensor = ? {} "
        "ORDER BY timestamp DESC, received DESC LIMIT 1"
    )
    points = {}
    sensors = db.execute("SELECT id, value_key FROM sensors WHERE device_id = ?", (device_id,))
    for sensor, value_key in sensors.fetchall():
        row = (
            db.execute(
                newest.format("AND timestamp <= ?"), (sensor, now + AHEAD_SECONDS)
            ).fetchone()
        ) or db.execute(newest.format(""), (sensor,)).fetchone()
        if row is not None:
            points[value_key] = _point(*row)
    return points


def _point(timestamp: float, value: Any, received: int) -> Point:
    is_ahead = timestamp > received / _MICROSECONDS + AHEAD_SECONDS
    return Point(timestamp, from_sql(value), is_ahead)
