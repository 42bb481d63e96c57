"""Storing reports: a group in one transaction, however many nodes write at the same time.

Where reports are numbered, the heads of their outboxes are locked first, in one order for all, and
raised at the end. So of two nodes that have got the same report the second one sees it stored.
"""

import logging
from collections.abc import Sequence
from typing import Any

from ....protocol.about import about
from ..telemetry_log import Report
from ..texts import all_to_sql, is_storable
from .pools import Db
from .statuses import save_statuses
from .values import Arrivals, to_sql

logger = logging.getLogger("jsonrpc_iot.novacloud")

_KEPT_OUTBOXES = 16

_VALUES = """
INSERT INTO telemetry (sensor, timestamp, received, whole, number, content)
SELECT * FROM unnest(
        $1::bigint[], $2::float8[], $3::bigint[], $4::bigint[], $5::float8[], $6::text[])
    AS new (sensor, timestamp, received, whole, number, content)
WHERE EXISTS (SELECT 1 FROM sensors WHERE sensors.id = new.sensor)
ON CONFLICT DO NOTHING"""

_LOCK_HEADS = """
SELECT device_id, outbox_id, seq FROM outboxes
WHERE (device_id, outbox_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))
ORDER BY device_id, outbox_id FOR UPDATE"""

_ADD_HEADS = """
INSERT INTO outboxes (device_id, outbox_id, seq, used)
SELECT device_id, outbox_id, 0, 0
FROM (SELECT * FROM unnest($1::text[], $2::text[]) AS new (device_id, outbox_id)
    ORDER BY device_id, outbox_id) AS new
WHERE EXISTS (SELECT 1 FROM devices WHERE devices.device_id = new.device_id)
ON CONFLICT DO NOTHING"""

_FORGET_HEADS = f"""
DELETE FROM outboxes WHERE (device_id, outbox_id) IN (
    SELECT device_id, outbox_id FROM (SELECT device_id, outbox_id, row_number()
        OVER (PARTITION BY device_id ORDER BY used DESC) AS place
        FROM outboxes WHERE device_id = ANY($1::text[])) AS each
    WHERE place > {_KEPT_OUTBOXES})"""

_RAISE_HEADS = """
UPDATE outboxes SET seq = new.seq, used = (SELECT nextval('outbox_uses')) * 65536 + new.place
FROM unnest($1::text[], $2::text[], $3::bigint[])
    WITH ORDINALITY AS new (device_id, outbox_id, seq, place)
WHERE outboxes.device_id = new.device_id AND outboxes.outbox_id = new.outbox_id"""

_Outbox = tuple[str, str]


async def write(db: Db, reports: Sequence[Report], arrivals: Arrivals) -> list[bool]:
    """See `TelemetryLog.write`.

    Args:
        db: in a transaction.
        reports: what devices say.
        arrivals: numbers them.
    """
    numbered = [each for each in reports if each.seq and _is_storable(each)]
    heads, added = await _lock_heads(db, {_outbox(each) for each in numbered})
    fresh = _take(reports, heads)
    new = [report for report, is_new in zip(reports, fresh, strict=True) if is_new]
    columns = _columns(new, arrivals)
    if columns[0]:
        await db.execute(_VALUES, *columns)
    await save_statuses(db, new)
    if heads:
        devices, outboxes = _texts([*heads])
        await db.execute(_RAISE_HEADS, devices, outboxes, [*heads.values()])
    if added:
        await db.execute(_FORGET_HEADS, added)
    return fresh


def _outbox(report: Report) -> _Outbox:
    return report.device_id, report.outbox_id


def _texts(outboxes: Sequence[_Outbox]) -> tuple[list[str], list[str]]:
    return all_to_sql(id for id, _ in outboxes), all_to_sql(box for _, box in outboxes)


async def _lock_heads(db: Db, outboxes: set[_Outbox]) -> tuple[dict[_Outbox, int], Sequence[str]]:
    """The heads of outboxes, which are nobody else's until the end; 0 for those of nobody.

    Returns:
        Them, and the ids of devices that have new outboxes.
    """
    heads = dict.fromkeys(outboxes, 0)
    added: Sequence[str] = ()
    if not outboxes:
        return heads, added
    columns = _texts([*outboxes])
    rows = await db.fetch(_LOCK_HEADS, *columns)
    if len(rows) < len(outboxes):
        known = {(device, box) for device, box, _ in rows}
        added, boxes = _texts([*(outboxes - known)])
        await db.execute(_ADD_HEADS, added, boxes)
        rows = await db.fetch(_LOCK_HEADS, *columns)
    return heads | {(device, box): seq for device, box, seq in rows}, added


def _take(reports: Sequence[Report], heads: dict[_Outbox, int]) -> list[bool]:
    """Say which reports are new, and raise the heads; that which was used last gets to the end."""
    fresh = []
    for report in reports:
        outbox = _outbox(report)
        if not report.seq:
            fresh.append(True)
        elif outbox in heads:
            head = heads.pop(outbox)
            fresh.append(report.seq > head)
            heads[outbox] = max(head, report.seq)
        else:
            logger.warning("%s: a report cannot be stored: its outbox is no text", outbox[0])
            fresh.append(False)
    return fresh


def _is_storable(report: Report) -> bool:
    return is_storable(report.outbox_id)


def _columns(reports: Sequence[Report], arrivals: Arrivals) -> tuple[list[Any], ...]:
    """The columns of all values. What is no value costs no other its place."""
    sensors: list[int] = []
    timestamps: list[float] = []
    received: list[int] = []
    wholes: list[int | None] = []
    numbers: list[float | None] = []
    contents: list[str | None] = []
    for report in reports:
        if not report.values:
            continue
        arrival = arrivals.number(report.received)
        for sensor, value in report.values:
            try:
                whole, number, content = to_sql(value)
            except ValueError as error:
                logger.warning(
                    "%s: a value cannot be stored: %s",
                    report.device_id,
                    error,
                    extra=about(report.device_id),
                )
                continue
            sensors.append(sensor)
            timestamps.append(report.timestamp)
            received.append(arrival)
            wholes.append(whole)
            numbers.append(number)
            contents.append(content)
    return sensors, timestamps, received, wholes, numbers, contents
