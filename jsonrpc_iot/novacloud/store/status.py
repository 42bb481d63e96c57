"""Statuses: the latest of each member, and the last ones as they came."""

import sqlite3
from collections.abc import Iterable
from typing import Any

import msgspec

from .store import Report, StatusReport

_KEPT = 1000
_LARGEST = 48 << 10
"""Bytes of the members that are remembered beside those of the last status."""


def save_statuses(db: sqlite3.Connection, reports: Iterable[Report]) -> None:
    """Store the statuses of reports whose devices are there."""
    for report in reports:
        if report.status is not None and _exists(db, report.device_id):
            _merge(db, report, report.status)
            _remember(db, report, report.status)


def latest_status(db: sqlite3.Connection, device_id: str) -> StatusReport | None:
    """See `Store.status`."""
    row = db.execute(
        "SELECT payload, timestamp FROM statuses WHERE device_id = ?", (device_id,)
    ).fetchone()
    return row and StatusReport(msgspec.json.decode(row[0]), row[1])


def status_history(
    db: sqlite3.Connection, device_id: str, start: float | None, end: float | None, limit: int
) -> list[StatusReport]:
    """See `ManagedStore.status_history`."""
    rows = db.execute(
        "SELECT payload, timestamp FROM status_history WHERE device_id = ? "
        "AND timestamp >= ifnull(?, -1e300) AND timestamp < ifnull(?, 1e300) "
        "ORDER BY timestamp DESC, number DESC LIMIT ?",
        (device_id, start, end, limit),
    )
    return [StatusReport(msgspec.json.decode(text), at) for text, at in rows]


def _exists(db: sqlite3.Connection, device_id: str) -> bool:
    found = db.execute("SELECT 1 FROM devices WHERE device_id = ?", (device_id,))
    return found.fetchone() is not None


def _merge(db: sqlite3.Connection, report: Report, status: dict[str, Any]) -> None:
    """Let each member replace its older one.

    `ranks` has the rank of each member; the row's own is that of members without, as in files of an
    older version. A rank beyond the arrival is from before the clock was set back.
    """
    rank = min(report.timestamp, report.received)
    row = db.execute(
        "SELECT payload, ranks, rank, timestamp FROM statuses WHERE device_id = ?",
        (report.device_id,),
    ).fetchone()
    payload: dict[str, Any] = {}
    ranks: dict[str, float] = {}
    newest, timestamp = rank, report.timestamp
    if row is not None:
        payload, ranks = msgspec.json.decode(row[0]), msgspec.json.decode(row[1])
        ranks = {name: ranks.get(name, row[2]) for name in payload}
        if not _replaces(rank, row[2], report.received):
            newest, timestamp = row[2:]
    for name, value in status.items():
        if _replaces(rank, ranks.get(name, -1.0), report.received):
            payload[name], ranks[name] = value, rank
    _bound(payload, ranks, status)
    db.execute(
        "INSERT OR REPLACE INTO statuses (device_id, timestamp, rank, payload, ranks) "
        "VALUES (?, ?, ?, ?, ?)",
        (
            report.device_id,
            timestamp,
            newest,
            msgspec.json.encode(payload),
            msgspec.json.encode(ranks),
        ),
    )


def _replaces(rank: float, old: float, received: float) -> bool:
    return rank >= old or old > received


def _bound(payload: dict[str, Any], ranks: dict[str, float], status: dict[str, Any]) -> None:
    """Forget the oldest members of too many; those of the last status stay."""
    size = len(msgspec.json.encode(payload))
    for name in sorted(ranks.keys() - status.keys(), key=lambda name: ranks[name]):
        if size <= _LARGEST:
            return
        size -= len(msgspec.json.encode({name: payload.pop(name)}))
        del ranks[name]


def _remember(db: sqlite3.Connection, report: Report, status: dict[str, Any]) -> None:
    db.execute(
        "INSERT INTO status_history (device_id, timestamp, payload) VALUES (?, ?, ?)",
        (report.device_id, report.timestamp, msgspec.json.encode(status)),
    )
    db.execute(
        "DELETE FROM status_history WHERE device_id = ?1 AND number <= (SELECT number FROM "
        "status_history WHERE device_id = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)",
        (report.device_id, _KEPT),
    )
