"""Statuses as they came, and the latest of each member.

A status is added to the rows of its device and no other page is written: disks live longer. Each
hundredth one of a device has `statuses` brought up to date, from which on the rest is read.
"""

import sqlite3
from collections.abc import Iterable

import msgspec

from ..latest_status import LatestStatus
from ..telemetry_log import Report, StatusReport

STATUS_LOG = """
-- `number` counts the statuses of a device. Those up to `upto` are in `statuses` as well.
CREATE TABLE status_log (
    device_id TEXT NOT NULL REFERENCES devices ON DELETE CASCADE,
    number INTEGER NOT NULL,
    timestamp REAL NOT NULL,
    received REAL NOT NULL,
    payload BLOB NOT NULL,
    PRIMARY KEY (device_id, number)
) WITHOUT ROWID;
INSERT INTO status_log
SELECT device_id, row_number() OVER (PARTITION BY device_id ORDER BY number), timestamp, timestamp,
    payload FROM status_history ORDER BY device_id, number;
DROP TABLE status_history;
ALTER TABLE statuses ADD COLUMN upto INTEGER NOT NULL DEFAULT 0;
UPDATE statuses SET upto = (
    SELECT count(*) FROM status_log WHERE status_log.device_id = statuses.device_id
);
"""
"""The table that these statements need, made of that of older files."""

_KEPT = 1000
_STEP = 100  # statuses of a device from one update of `statuses` to the next

_NEWEST = "SELECT ifnull(max(number), 0) FROM status_log WHERE device_id = ?"


def save_statuses(db: sqlite3.Connection, reports: Iterable[Report]) -> None:
    """Store the statuses of reports whose devices are there."""
    for report in reports:
        if report.status is not None and _exists(db, report.device_id):
            number = db.execute(_NEWEST, (report.device_id,)).fetchone()[0] + 1
            payload = msgspec.json.encode(report.status)
            row = report.device_id, number, report.timestamp, report.received, payload
            db.execute("INSERT INTO status_log VALUES (?, ?, ?, ?, ?)", row)
            if number % _STEP == 0:
                _catch_up(db, report.device_id, number)


def latest_status(db: sqlite3.Connection, device_id: str) -> StatusReport | None:
    """See `TelemetryLog.status`."""
    latest = _latest(db, device_id)
    return None if latest is None else StatusReport(latest.payload, latest.timestamp)


def status_history(
    db: sqlite3.Connection, device_id: str, start: float | None, end: float | None, limit: int
) -> list[StatusReport]:
    """See `TelemetryLog.status_history`."""
    rows = db.execute(
        "SELECT payload, timestamp FROM status_log WHERE device_id = ?1 "
        f"AND number > ({_NEWEST}1) - ?2 "
        "AND timestamp >= ifnull(?3, -1e300) AND timestamp < ifnull(?4, 1e300) "
        "ORDER BY timestamp DESC, number DESC LIMIT ?5",
        (device_id, _KEPT, start, end, limit),
    )
    return [StatusReport(msgspec.json.decode(text), at) for text, at in rows]


def _exists(db: sqlite3.Connection, device_id: str) -> bool:
    found = db.execute("SELECT 1 FROM devices WHERE device_id = ?", (device_id,))
    return found.fetchone() is not None


def _latest(db: sqlite3.Connection, device_id: str) -> LatestStatus | None:
    row = db.execute(
        "SELECT payload, ranks, rank, timestamp, upto FROM statuses WHERE device_id = ?",
        (device_id,),
    ).fetchone()
    latest = None
    if row is not None:
        payload, ranks = msgspec.json.decode(row[0]), msgspec.json.decode(row[1])
        ranks = {name: ranks.get(name, row[2]) for name in payload}
        latest = LatestStatus(payload, ranks, *row[2:])
    rows = db.execute(
        "SELECT number, timestamp, received, payload FROM status_log "
        "WHERE device_id = ? AND number > ? ORDER BY number",
        (device_id, 0 if latest is None else latest.upto),
    )
    for number, timestamp, received, text in rows:
        if latest is None:
            latest = LatestStatus({}, {}, min(timestamp, received), timestamp, 0)
        latest.take(msgspec.json.decode(text), timestamp, received)
        latest.upto = number
    return latest


def _catch_up(db: sqlite3.Connection, device_id: str, number: int) -> None:
    """Bring `statuses` up to date, and delete what is too much."""
    latest = _latest(db, device_id)
    assert latest is not None
    payload, ranks = msgspec.json.encode(latest.payload), msgspec.json.encode(latest.ranks)
    db.execute(
        "INSERT OR REPLACE INTO statuses (device_id, timestamp, rank, payload, ranks, upto) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (device_id, latest.timestamp, latest.rank, payload, ranks, number),
    )
    db.execute(
        "DELETE FROM status_log WHERE device_id = ? AND number <= ?", (device_id, number - _KEPT)
    )
