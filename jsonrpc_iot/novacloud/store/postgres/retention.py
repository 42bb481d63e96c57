"""How long values are kept: the rules, and which values they say are to go."""

import math
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from msgspec import Struct

from ..means import DAY_SECONDS, EVER, Thinning, mean_of, read_rule, thinnings_of
from ..telemetry_log import Retention
from .pools import Db, Pools
from .reading import bounds
from .values import COLUMNS, MICROSECONDS, NODE_BITS, from_sql, to_sql

SLICE = 2000  # values
_STORED = (
    f"SELECT {COLUMNS} FROM telemetry WHERE sensor = $1 AND timestamp >= $2 AND timestamp <= $3 "
    "ORDER BY timestamp, received"
)
_DELETE = (
    "DELETE FROM telemetry USING unnest($2::float8[]) AS place WHERE sensor = $1 "
    "AND timestamp >= $4 AND timestamp <= $5 AND timestamp >= place AND timestamp < place + $3"
)
_INSERT = (
    "INSERT INTO telemetry (sensor, timestamp, received, whole, number, content) "
    f"SELECT $1, place, (greatest(place, 0) * {MICROSECONDS})::bigint << {NODE_BITS}, "
    "whole, number, content FROM unnest($2::float8[], $3::bigint[], $4::float8[], $5::text[]) "
    "AS mean (place, whole, number, content)"
)
_DONE = (
    "INSERT INTO downsampled (sensor, upto) VALUES ($1, $2) "
    "ON CONFLICT (sensor) DO UPDATE SET upto = excluded.upto"
)

# Of several rules for a sensor the most particular one counts. All is read in one moment.
_RULES = """
WITH found AS MATERIALIZED (
    SELECT rule.device_id, rule.value_key, array_agg(sensors.id ORDER BY sensors.id) AS sensors
    FROM sensors LEFT JOIN LATERAL (
        SELECT device_id, value_key FROM retention
        WHERE retention.device_id IN (sensors.device_id, '')
            AND retention.value_key IN (sensors.value_key, '')
        ORDER BY retention.device_id <> '' DESC, retention.value_key <> '' DESC LIMIT 1
    ) AS rule ON TRUE
    GROUP BY 1, 2)
SELECT device_id, value_key, days, "interval", after_days, swept,
    coalesce(sensors, ARRAY[]::bigint[]) AS sensors,
    EXISTS (SELECT 1 FROM found WHERE device_id IS NULL) AS is_partial
FROM retention LEFT JOIN found USING (device_id, value_key)"""


class Rule(Struct, frozen=True):
    """A rule as it is stored.

    Args:
        sensors: that it counts for.
        is_partial: whether there are sensors that no rule counts for.
    """

    device_id: str
    value_key: str
    days: float
    interval: float | None
    after_days: float | None
    swept: float
    sensors: Sequence[int]
    is_partial: bool


class Sweep(Struct, frozen=True):
    """Values of a rule's sensors that are too old: those before `end`."""

    rule: Rule
    end: float


async def set_rule(pools: Pools, rule: Retention) -> None:
    """Add a rule, or replace that for the same device and key."""
    thin = rule.downsample
    await pools.change(
        'INSERT INTO retention (device_id, value_key, days, "interval", after_days, swept) '
        "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (device_id, value_key) DO UPDATE SET "
        'days = excluded.days, "interval" = excluded."interval", '
        "after_days = excluded.after_days, swept = excluded.swept",
        rule.device_id or "",
        rule.value_key or "",
        rule.days,
        thin and thin.interval,
        thin and thin.after_days,
        -EVER,
    )


async def rules(pools: Pools) -> list[Retention]:
    """All rules."""
    found = await pools.fetch(
        'SELECT days, device_id, value_key, "interval", after_days FROM retention '
        "ORDER BY device_id, value_key"
    )
    return [read_rule(*row) for row in found]


async def read_rules(db: Db) -> list[Rule]:
    """The rules with their sensors."""
    return [Rule(**row) for row in await db.fetch(_RULES)]


def oldest(rules: Sequence[Rule], now: float) -> float | None:
    """The time before which no value is wanted, `None` where some are wanted for ever."""
    used = [rule for rule in rules if rule.sensors]
    if not used or used[0].is_partial:
        return None
    return now - max(rule.days for rule in used) * DAY_SECONDS


def sweeps(rules: Sequence[Rule], now: float) -> list[Sweep]:
    """Find what is too old beside values that are not; not each moment, but now and then."""
    found = []
    for rule in rules:
        end = now - rule.days * DAY_SECONDS
        swept = rule.swept if rule.swept <= end else -EVER  # else the clock was ahead
        if rule.sensors and end - swept >= rule.days * DAY_SECONDS / 20:
            found.append(Sweep(rule, end))
    return found


async def end_sweep(db: Db, sweep: Sweep) -> None:
    """Note that all that a sweep names is deleted."""
    text = "UPDATE retention SET swept = $1 WHERE device_id = $2 AND value_key = $3"
    await db.execute(text, sweep.end, sweep.rule.device_id, sweep.rule.value_key)


async def thinnings(db: Db, rules: Sequence[Rule], now: float) -> list[Thinning]:
    """Find what is old enough to become means."""
    rows = await db.fetch("SELECT sensor, upto FROM downsampled")
    upto: dict[int, float] = {row["sensor"]: row["upto"] for row in rows}
    found: list[Thinning] = []
    for rule in rules:
        if rule.interval is not None and rule.after_days is not None:
            found += thinnings_of(rule.sensors, rule.interval, rule.after_days, upto, now)
    return found


async def thin(db: Db, thinning: Thinning) -> Thinning | None:
    """Make means of some values; returns what is left to do. What is alone stays as it is."""
    sensor, every, start = thinning.sensor, thinning.interval, thinning.start
    first, last = bounds(start, thinning.end)
    rows = await db.fetch(f"{_STORED} LIMIT {SLICE}", sensor, first, last)
    end = thinning.end
    if len(rows) == SLICE:  # and what else there is of the last interval
        end = min((math.floor(rows[-1]["timestamp"] / every) + 1) * every, end)
        first, last = bounds(start, end)
        rows += await db.fetch(f"{_STORED} OFFSET {SLICE}", sensor, first, last)
    means: list[tuple[float, Any]] = []
    for place, some in groupby(rows, lambda row: math.floor(row["timestamp"] / every) * every):
        values = [from_sql(*row[2:5]) for row in some]
        if len(values) > 1:
            means.append((place, mean_of(values)))
    places = [place for place, _ in means]
    await db.execute(_DELETE, sensor, places, every, first, last)
    columns = zip(*(to_sql(value) for _, value in means), strict=True)
    await db.execute(_INSERT, sensor, places, *(columns if means else ([], [], [])))
    await db.execute(_DONE, sensor, end)
    if end == thinning.end:
        return None
    return Thinning(sensor, every, end, thinning.end)
