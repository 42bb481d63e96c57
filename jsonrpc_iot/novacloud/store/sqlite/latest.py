"""The newest value of each of many sensors.

What has come lies by groups, so all of it is looked through once for all sensors. The parts are
asked for those sensors alone that may have something newer in them.
"""

import math
import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from ..query import Point
from ..telemetry_log import AHEAD_SECONDS, Latest
from .lists import as_list, in_list
from .points import MOST_BYTES, point, size_of
from .runs import EVER, delay_of, groups_of

_SENSORS_AT_ONCE = 500

_Found = tuple[float, int, str, int]
"""Timestamp, delay, table and part of a value."""


def _fresh_text(table: str) -> str:
    """A statement for one table of what has come.

    Ids of sensors that are asked for together lie together, mostly. Of the values with the newest
    timestamp the one that came last counts.
    """
    source = (
        f"groups CROSS JOIN {table} AS each ON each.part = groups.number "
        "AND each.sensor BETWEEN :low AND :high"
    )
    return (
        f"WITH RECURSIVE {groups_of(table)}, "
        "wanted AS MATERIALIZED (SELECT value FROM json_each(:sensors)), "
        f"newest AS MATERIALIZED (SELECT sensor, max(timestamp) AS timestamp FROM {source} "
        "WHERE timestamp < :before AND sensor IN wanted GROUP BY sensor) "
        f"SELECT each.sensor, each.timestamp, max(each.delay), each.part FROM {source} "
        "CROSS JOIN newest WHERE newest.sensor = each.sensor "
        "AND newest.timestamp = each.timestamp GROUP BY each.sensor"
    )


_FRESH = {table: _fresh_text(table) for table in ("fresh_0", "fresh_1")}
_PARTS = "SELECT part, last FROM parts WHERE level > 0 AND first < ? ORDER BY last DESC"


def _seek(table: str, condition: str) -> str:
    delay = delay_of(table)
    where = f"FROM {table} WHERE {condition} sensor = wanted.value"
    return (
        f"SELECT wanted.value, timestamp, {delay} FROM json_each(:sensors) AS wanted "
        f"CROSS JOIN {table} WHERE {condition} sensor = wanted.value AND (timestamp, {delay}) = "
        f"(SELECT timestamp, {delay} {where} AND timestamp < :before "
        f"ORDER BY timestamp DESC, {delay} DESC LIMIT 1)"
    )


_IN_PART = _seek("merged", "part = :part AND")
_IN_FIRST_VERSION = _seek("telemetry_1", "")


def latest_points(db: sqlite3.Connection, device_id: str, now: float) -> dict[str, Point]:
    """See `TelemetryLog.latest`."""
    text = "SELECT id, value_key FROM sensors WHERE device_id = ? ORDER BY id"
    keys = dict(db.execute(text, (device_id,)).fetchall())
    found = _newest(db, [*keys], now)
    return {keys[sensor]: _read(db, sensor, found[sensor]) for sensor in keys if sensor in found}


def latest_page(
    db: sqlite3.Connection,
    after: tuple[str, str] | None,
    limit: int,
    now: float,
    tag: str | None,
    value_keys: Sequence[str] | None,
) -> list[Latest]:
    """See `TelemetryLog.latest_page`."""
    text = "SELECT id, device_id, value_key FROM sensors WHERE (device_id, value_key) > (:id, :key)"
    if value_keys is not None:
        text += f" AND value_key {in_list(':keys')}"
    if tag is not None:
        text += (
            " AND EXISTS (SELECT 1 FROM devices "
            "WHERE devices.device_id = sensors.device_id AND has_text(tags, :tag))"
        )
    text += " ORDER BY device_id, value_key LIMIT :limit"
    values: dict[str, Any] = {"tag": tag, "limit": min(limit, _SENSORS_AT_ONCE)}
    values["keys"] = as_list(value_keys or ())
    after = after or ("", "")
    result: list[Latest] = []
    size = 0
    while not result:
        values["id"], values["key"] = after
        sensors = db.execute(text, values).fetchall()
        if not sensors:
            break
        found = _newest(db, [sensor for sensor, _, _ in sensors], now)
        for sensor, device, key in sensors:
            if sensor in found and size < MOST_BYTES:
                newest = _read(db, sensor, found[sensor])
                result.append(Latest(device, key, newest))
                size += size_of(newest.value)
        after = sensors[-1][1:]
    return result


def _newest(db: sqlite3.Connection, sensors: Sequence[int], now: float) -> dict[int, _Found]:
    """Where the newest values are, of those sensors that have any."""
    if not sensors:
        return {}
    found = _newest_before(db, sensors, math.nextafter(now + AHEAD_SECONDS, math.inf))
    others = [sensor for sensor in sensors if sensor not in found]
    return found | _newest_before(db, others, EVER) if others else found


def _newest_before(
    db: sqlite3.Connection, sensors: Sequence[int], before: float
) -> dict[int, _Found]:
    found: dict[int, _Found] = {}
    values: dict[str, Any] = {"sensors": _encode(sensors), "before": before}
    values |= {"low": min(sensors), "high": max(sensors)}
    for table, text in _FRESH.items():
        for sensor, timestamp, delay, part in db.execute(text, values):
            _note(found, sensor, (timestamp, delay, table, part))
    for sensor, timestamp, delay in db.execute(_IN_FIRST_VERSION, values):
        _note(found, sensor, (timestamp, delay, "telemetry_1", 0))
    open_sensors = list(sensors)
    for part, last in db.execute(_PARTS, (before,)).fetchall():
        open_sensors = [id for id in open_sensors if id not in found or found[id][0] <= last]
        if not open_sensors:
            break
        values |= {"sensors": _encode(open_sensors), "part": part}
        for sensor, timestamp, delay in db.execute(_IN_PART, values):
            _note(found, sensor, (timestamp, delay, "merged", part))
    return found


def _note(found: dict[int, _Found], sensor: int, place: _Found) -> None:
    if sensor not in found or place[:2] > found[sensor][:2]:
        found[sensor] = place


def _read(db: sqlite3.Connection, sensor: int, found: _Found) -> Point:
    timestamp, delay, table, part = found
    condition = "" if table == "telemetry_1" else "part = :part AND "
    text = (
        f"SELECT value FROM {table} WHERE {condition}sensor = :sensor "
        f"AND timestamp = :timestamp AND {delay_of(table)} = :delay"
    )
    values = {"part": part, "sensor": sensor, "timestamp": timestamp, "delay": delay}
    (value,) = db.execute(text, values).fetchone()
    return point((timestamp, delay, value))


def _encode(sensors: Sequence[int]) -> str:
    return msgspec.json.encode(sensors).decode()
