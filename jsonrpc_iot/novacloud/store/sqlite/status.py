"""Statuses as they came, and the latest of each member.

A status is added to the rows of its device and no other page is written: disks live longer. Each
hundredth one of a device has `statuses` brought up to date, from which on the rest is read.
"""

import sqlite3
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

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
_LARGEST = 48 << 10
"""Bytes of the members that are remembered beside those of the last status."""

_NEWEST = "SELECT ifnull(max(number), 0) FROM status_log WHERE device_id = ?"


class _Latest(Struct):
    """The latest of each member of a device's statuses.

    `ranks` has the rank of each member; `rank` is that of members without, as in files of an older
    version. A rank beyond the arrival is from before the clock was set back.
    """

    payload: dict[str, Any]
    ranks: dict[str, float]
    rank: float
    timestamp: float
    upto: int

    def take(self, status: dict[str, Any], timestamp: float, received: float) -> None:
        """Let each member replace its older one."""
        rank = min(timestamp, received)
        if _replaces(rank, self.rank, received):
            self.rank, self.timestamp = rank, timestamp
        for name, value in status.items():
            if _replaces(rank, self.ranks.get(name, -1.0), received):
                self.payload[name], self.ranks[name] = value, rank
        self._bound(status)

    def _bound(self, status: dict[str, Any]) -> None:
        """Forget the oldest members of too many; those of the last status stay."""
        size = len(msgspec.json.encode(self.payload))
        if size <= _LARGEST:
            return
        for name in sorted(self.ranks.keys() - status.keys(), key=lambda name: self.ranks[name]):
            size -= len(msgspec.json.encode({name: self.payload.pop(name)}))
            del self.ranks[name]
            if size <= _LARGEST:
                return


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


def _latest(db: sqlite3.Connection, device_id: str) -> _Latest | None:
    row = db.execute(
        "SELECT payload, ranks, rank, timestamp, upto FROM statuses WHERE device_id = ?",
        (device_id,),
    ).fetchone()
    latest = None
    if row is not None:
        payload, ranks = msgspec.json.decode(row[0]), msgspec.json.decode(row[1])
        ranks = {name: ranks.get(name, row[2]) for name in payload}
        latest = _Latest(payload, ranks, *row[2:])
    rows = db.execute(
        "SELECT number, timestamp, received, payload FROM status_log "
        "WHERE device_id = ? AND number > ? ORDER BY number",
        (device_id, 0 if latest is None else latest.upto),
    )
    for number, timestamp, received, text in rows:
        if latest is None:
            latest = _Latest({}, {}, min(timestamp, received), timestamp, 0)
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


def _replaces(rank: float, old: float, received: float) -> bool:
    return rank >= old or old > received
