"""What has been taken of the outboxes of devices, so that nothing is stored twice.

The head of an outbox, its highest `seq` that is stored, changes with each report. The heads lie all
over a table, and nearly each would have a page written. So those of a group are appended to a list,
in one row, and now and then the list goes into the table.
"""

import sqlite3
from collections.abc import Iterator, Sequence

import msgspec

from ..telemetry_log import Report

_GROUPS = 256  # in the list
_KEPT_OUTBOXES = 16

MIGRATION = """
-- The highest `seq` that is stored of each outbox, but for what is in `taken`. The `used` of that
-- which was used last is the highest. AUTOINCREMENT: a number in `taken` is never another outbox's.
CREATE TABLE heads (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    device_id TEXT NOT NULL REFERENCES devices ON DELETE CASCADE,
    outbox_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    used INTEGER NOT NULL,
    UNIQUE (device_id, outbox_id)
);
INSERT INTO heads (device_id, outbox_id, seq, used)
SELECT device_id, outbox_id, seq, used FROM outboxes ORDER BY used;
DROP TABLE outboxes;
ALTER TABLE heads RENAME TO outboxes;

-- What groups have taken: pairs of an outbox's number and its highest `seq`, as JSON.
CREATE TABLE taken (number INTEGER PRIMARY KEY, heads TEXT NOT NULL);
"""

_Head = tuple[int, int]
"""The number of an outbox, and its highest `seq`."""


class Taken:
    """Knows what was taken; for the thread that writes, in its transactions.

    It remembers what is in the list. Each change makes the last number of the list a higher one, so
    that a number which is not the expected one tells of a transaction that was taken back.
    """

    def __init__(self) -> None:
        self._heads: dict[tuple[str, str], _Head] = {}
        self._last = -1
        self._is_folded = False

    def take(self, db: sqlite3.Connection, reports: Sequence[Report]) -> list[bool]:
        """Say which reports are new, and remember the highest `seq` of each outbox."""
        if not any(report.seq for report in reports):
            return [True] * len(reports)
        if self._last != _last(db):
            self.fold(db)
        heads: dict[tuple[str, str], _Head] = {}
        fresh = []
        for report in reports:
            if not report.seq:
                fresh.append(True)
                continue
            outbox = report.device_id, report.outbox_id
            number, seq = heads[outbox] if outbox in heads else self._head(db, outbox)
            fresh.append(report.seq > seq)
            heads[outbox] = number, max(seq, report.seq)
        heads = {outbox: head for outbox, head in heads.items() if head[0]}
        self._heads |= heads
        self._append(db, [*heads.values()])
        if db.execute("SELECT count(*) FROM taken").fetchone()[0] >= _GROUPS:
            self.fold(db)
        return fresh

    def fold(self, db: sqlite3.Connection) -> None:
        """Bring the list into the table, and forget what is remembered."""
        heads = _listed(db)
        db.execute(
            "UPDATE outboxes SET seq = json_extract(each.value, '$[1]'), used = each.key + "
            "(SELECT 1 + ifnull(max(used), 0) FROM outboxes) FROM json_each(?) AS each "
            "WHERE outboxes.number = json_extract(each.value, '$[0]')",
            (msgspec.json.encode([*heads.items()]).decode(),),
        )
        self._last = _last(db)
        db.execute("DELETE FROM taken")
        self._heads.clear()
        self._is_folded = True
        self._append(db, [])

    def _append(self, db: sqlite3.Connection, heads: Sequence[_Head]) -> None:
        self._last += 1
        self._is_folded = self._is_folded and not heads
        row = self._last, msgspec.json.encode(heads).decode()
        db.execute("INSERT INTO taken VALUES (?, ?)", row)

    def _head(self, db: sqlite3.Connection, outbox: tuple[str, str]) -> _Head:
        """What is stored of an outbox; the number is 0 where its device is gone."""
        if outbox in self._heads:
            return self._heads[outbox]
        row: _Head | None = db.execute(
            "SELECT number, seq FROM outboxes WHERE device_id = ? AND outbox_id = ?", outbox
        ).fetchone()
        return row or self._add(db, outbox)

    def _add(self, db: sqlite3.Connection, outbox: tuple[str, str]) -> _Head:
        """Begin with a new one, which drives out the oldest of its device."""
        if not self._is_folded:
            self.fold(db)
        db.execute(
            "DELETE FROM outboxes WHERE device_id = ?1 AND outbox_id NOT IN (SELECT outbox_id "
            "FROM outboxes WHERE device_id = ?1 ORDER BY used DESC LIMIT ?2)",
            (outbox[0], _KEPT_OUTBOXES - 1),
        )
        row: _Head | None = db.execute(
            "INSERT INTO outboxes (device_id, outbox_id, seq, used) SELECT device_id, ?2, 0, "
            "(SELECT 1 + ifnull(max(used), 0) FROM outboxes WHERE device_id = ?1) "
            "FROM devices WHERE device_id = ?1 RETURNING number, seq",
            outbox,
        ).fetchone()
        return row or (0, 0)


def heads_of(db: sqlite3.Connection, device_id: str) -> dict[str, int]:
    """The highest `seq` of each outbox of a device, the one that was used last at the end."""
    text = "SELECT number, outbox_id, seq FROM outboxes WHERE device_id = ? ORDER BY used"
    rows = db.execute(text, (device_id,)).fetchall()
    heads = {id: seq for _, id, seq in rows}
    ids = {number: id for number, id, _ in rows}
    for number, seq in _listed(db).items():
        if number in ids:
            del heads[ids[number]]
            heads[ids[number]] = seq
    return heads


def all_heads(db: sqlite3.Connection) -> Iterator[tuple[str, str, int, int]]:
    """Yield the outboxes of all devices: device, id, `seq` and `used`, as if the list were folded.

    Args:
        db: in a transaction.
    """
    (last,) = db.execute("SELECT ifnull(max(used), 0) FROM outboxes").fetchone()
    listed = {
        number: (seq, last + place) for place, (number, seq) in enumerate(_listed(db).items(), 1)
    }
    for number, device_id, outbox_id, *head in db.execute(
        "SELECT number, device_id, outbox_id, seq, used FROM outboxes"
    ):
        seq, used = listed.get(number, head)
        yield device_id, outbox_id, seq, used


def _listed(db: sqlite3.Connection) -> dict[int, int]:
    """What is in the list, by the outboxes' numbers."""
    heads: dict[int, int] = {}
    for (text,) in db.execute("SELECT heads FROM taken ORDER BY number").fetchall():
        for number, seq in msgspec.json.decode(text, type=list[_Head]):
            heads.pop(number, None)  # the last one that was used comes last
            heads[number] = seq
    return heads


def _last(db: sqlite3.Connection) -> int:
    """The last number of the list."""
    (number,) = db.execute("SELECT ifnull(max(number), 0) FROM taken").fetchone()
    return int(number)
