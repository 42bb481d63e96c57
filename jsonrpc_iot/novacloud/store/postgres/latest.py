"""The newest value of each of many sensors."""

from collections.abc import Sequence
from typing import Any

from ..query import Point
from ..telemetry_log import AHEAD_SECONDS, Latest
from ..texts import all_to_sql
from .pools import Pools
from .reading import MOST_BYTES
from .values import COLUMNS, SIZE, point

_SENSORS_AT_ONCE = 500

# Of the values with the newest timestamp the one that came last counts.
_NEWEST = f"""
SELECT {COLUMNS}, {{}} FROM ({{}}) AS wanted CROSS JOIN LATERAL (
    (SELECT {COLUMNS} FROM telemetry WHERE sensor = wanted.id AND timestamp <= $1
        ORDER BY timestamp DESC, received DESC LIMIT 1)
    UNION ALL
    (SELECT {COLUMNS} FROM telemetry WHERE sensor = wanted.id
        ORDER BY timestamp DESC, received DESC LIMIT 1)
    LIMIT 1) AS newest"""

_OF_DEVICE = _NEWEST.format(
    "value_key", "SELECT id, value_key FROM sensors WHERE device_id = $2 ORDER BY id"
)

# Sensors without values are told as well: the next page may begin behind them.
_PAGE = f"""
WITH page AS MATERIALIZED (
    SELECT id, device_id, value_key FROM sensors WHERE (device_id, value_key) > ($2, $3)
        AND ($5::text[] IS NULL OR value_key = ANY($5))
        AND ($6::text IS NULL OR EXISTS (SELECT 1 FROM devices
            WHERE devices.device_id = sensors.device_id AND tags @> ARRAY[$6]))
    ORDER BY device_id, value_key LIMIT $4),
found AS ({_NEWEST.format("device_id, value_key", "SELECT * FROM page")}),
counted AS (SELECT *,
    sum({SIZE}) OVER (ORDER BY device_id, value_key) - {SIZE} AS before FROM found)
SELECT {COLUMNS}, page.device_id, page.value_key
FROM page LEFT JOIN counted ON counted.device_id = page.device_id
    AND counted.value_key = page.value_key AND before < {MOST_BYTES}
ORDER BY page.device_id, page.value_key"""


async def latest_points(pools: Pools, device_id: str, now: float) -> dict[str, Point]:
    """See `TelemetryLog.latest`."""
    rows = await pools.fetch(_OF_DEVICE, now + AHEAD_SECONDS, device_id)
    return {row["value_key"]: point(row) for row in rows}


async def latest_page(
    pools: Pools,
    after: tuple[str, str] | None,
    limit: int,
    now: float,
    tag: str | None,
    value_keys: Sequence[str] | None,
) -> list[Latest]:
    """See `TelemetryLog.latest_page`."""
    keys = None if value_keys is None else all_to_sql(value_keys)
    place: tuple[Any, ...] = after or ("", "")
    most = min(limit, _SENSORS_AT_ONCE)
    while True:
        rows = await pools.fetch(
            _PAGE, now + AHEAD_SECONDS, *place, most, keys, tag, purpose="reports"
        )
        found = [
            Latest(row["device_id"], row["value_key"], point(row))
            for row in rows
            if row["timestamp"] is not None
        ]
        if found or len(rows) < most:
            return found
        place = rows[-1]["device_id"], rows[-1]["value_key"]
