"""Statuses as they came, and the latest of each member.

As in SQLite a status is one row more, and each hundredth one of a device has `statuses` brought up
to date, from which on the rest is read.
"""

import logging
from collections.abc import Sequence

import asyncpg
import msgspec

from ....protocol.about import about
from ..latest_status import LatestStatus
from ..telemetry_log import Report, StatusReport
from ..texts import all_to_sql
from .pools import Db, Pools

logger = logging.getLogger("jsonrpc_iot.novacloud")

_KEPT = 1000
_STEP = 100  # statuses of a device from one update of `statuses` to the next

_INSERT = """
INSERT INTO status_log (device_id, number, timestamp, received, payload)
SELECT device_id, row_number() OVER (PARTITION BY device_id ORDER BY place) + coalesce(
        (SELECT max(number) FROM status_log WHERE status_log.device_id = new.device_id), 0),
    timestamp, received, payload
FROM unnest($1::text[], $2::float8[], $3::float8[], $4::text[])
    WITH ORDINALITY AS new (device_id, timestamp, received, payload, place)
WHERE EXISTS (SELECT 1 FROM devices WHERE devices.device_id = new.device_id)
RETURNING device_id, number"""

_LATEST = "SELECT payload, ranks, rank, timestamp, upto FROM statuses WHERE device_id = $1"
_LATER = (
    "SELECT number, timestamp, received, payload FROM status_log "
    "WHERE device_id = $1 AND number > $2 ORDER BY number"
)
_SAVE = (
    "INSERT INTO statuses (device_id, payload, ranks, rank, timestamp, upto) "
    "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (device_id) DO UPDATE SET "
    "payload = excluded.payload, ranks = excluded.ranks, rank = excluded.rank, "
    "timestamp = excluded.timestamp, upto = excluded.upto"
)
_HISTORY = f"""
SELECT payload, timestamp FROM status_log WHERE device_id = $1
    AND number > (SELECT max(number) FROM status_log WHERE device_id = $1) - {_KEPT}
    AND timestamp >= coalesce($2::float8, '-infinity')
    AND timestamp < coalesce($3::float8, 'infinity')
ORDER BY timestamp DESC, number DESC LIMIT $4"""


async def save_statuses(db: Db, reports: Sequence[Report]) -> None:
    """Store the statuses of reports whose devices are there.

    Args:
        db: in a transaction.
        reports: all of a group, in the order in which they came.

    Raises:
        asyncpg.UniqueViolationError: another node has stored one of the same device just now.
    """
    some = [(report, text) for report in reports if (text := _encode(report))]
    if not some:
        return
    some.sort(key=lambda each: each[0].device_id)  # in one order for all, as heads are
    rows = await db.fetch(
        _INSERT,
        all_to_sql(report.device_id for report, _ in some),
        [report.timestamp for report, _ in some],
        [report.received for report, _ in some],
        [text for _, text in some],
    )
    steps = {id for id, number in rows if number % _STEP == 0}
    for device_id in sorted(steps):
        await _catch_up(db, device_id)


async def latest_status(pools: Pools, device_id: str) -> StatusReport | None:
    """See `TelemetryLog.status`."""
    # The rows first: those that are in `statuses` by the time that is read are read there.
    row = await pools.row(_LATEST, device_id)
    latest = _snapshot(row)
    rows = await pools.fetch(_LATER, device_id, 0 if latest is None else latest.upto)
    latest = _with_later(latest, rows)
    return None if latest is None else StatusReport(latest.payload, latest.timestamp)


async def status_history(
    pools: Pools, device_id: str, start: float | None, end: float | None, limit: int
) -> list[StatusReport]:
    """See `TelemetryLog.status_history`."""
    rows = await pools.fetch(_HISTORY, device_id, start, end, limit)
    return [StatusReport(msgspec.json.decode(text), at) for text, at in rows]


def _encode(report: Report) -> str:
    """Its status as the table has it, empty where there is none, or one that is no JSON."""
    if report.status is None:
        return ""
    try:
        return msgspec.json.encode(report.status).decode()
    except ValueError as error:
        logger.warning(
            "%s: a status cannot be stored: %s",
            report.device_id,
            error,
            extra=about(report.device_id),
        )
        return ""


def _snapshot(row: asyncpg.Record | None) -> LatestStatus | None:
    if row is None:
        return None
    payload, ranks, rank, timestamp, upto = row
    return LatestStatus(
        msgspec.json.decode(payload), msgspec.json.decode(ranks), rank, timestamp, upto
    )


def _with_later(latest: LatestStatus | None, rows: Sequence[asyncpg.Record]) -> LatestStatus | None:
    for number, timestamp, received, text in rows:
        if latest is None:
            latest = LatestStatus({}, {}, min(timestamp, received), timestamp, 0)
        latest.take(msgspec.json.decode(text), timestamp, received)
        latest.upto = number
    return latest


async def _catch_up(db: Db, device_id: str) -> None:
    """Bring `statuses` up to date, and delete what is too much."""
    latest = _snapshot(await db.fetchrow(_LATEST, device_id))
    latest = _with_later(
        latest, await db.fetch(_LATER, device_id, 0 if latest is None else latest.upto)
    )
    assert latest is not None
    payload, ranks = (msgspec.json.encode(each).decode() for each in (latest.payload, latest.ranks))
    await db.execute(_SAVE, device_id, payload, ranks, latest.rank, latest.timestamp, latest.upto)
    text = "DELETE FROM status_log WHERE device_id = $1 AND number <= $2"
    await db.execute(text, device_id, latest.upto - _KEPT)
