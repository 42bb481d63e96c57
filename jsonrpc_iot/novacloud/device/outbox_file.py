"""The SQLite file of an outbox: bounded, crash-proof, and replaced when it is damaged.

All here blocks; `outbox` runs it in threads, one call at a time.
"""

import logging
import os
import sqlite3
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from copy import copy
from pathlib import Path
from typing import TypeVar

from ..group_commit import Transaction
from .disk import Damaged, Full, Room, is_damage, is_full, reason
from .outbox_rows import Bounds, Growing, NewRow, OutboxFailed, OutboxFull, Row, Totals

logger = logging.getLogger("jsonrpc_iot.novacloud")

T = TypeVar("T")

_LOCK_SECONDS = 2.0  # a process that was just killed may hold the file a moment longer
_READ_BYTES = 1 << 18  # one reading ends beyond that, so that memory stays bounded
_OVERHEAD = 48  # bytes that a row takes besides its payload, roughly
_LOG_BYTES = 1 << 18, 1 << 20  # that the log of changes takes of the disk: at least, at most
_FIRST_LOG_BYTES = 1 << 16  # that it has from the beginning
_ROOM_BYTES = 8192  # two pages: some of the rows dropped for a new one share theirs with others

# WAL: a commit waits for the disk once; with a rollback journal it would three times.
# FULL: were a commit lost with the power after its row was sent, the next row would get the same
# seq, and a platform would take it for a repeat.
# EXCLUSIVE: two processes would send each row twice; the second one cannot open the file.
# Some builds of SQLite overwrite what is deleted, all of which would go through the log.
# A commit writes whole pages: small ones for small rows, as far as disks have smaller blocks.
_SETTINGS = """
PRAGMA page_size = 1024;
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA secure_delete = OFF;
"""

# AUTOINCREMENT: a seq is never used again, also when the table was empty in between.
# `timestamp` has no type, so that a whole number stays one.
_TABLES = """
CREATE TABLE IF NOT EXISTS outbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    timestamp NOT NULL,
    payload BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value NOT NULL);
"""


class OutboxFile:
    """The open file.

    Args:
        path: where it is, `None` for one in memory.
        bounds: what it may hold.

    Raises:
        OutboxFailed: it cannot be opened or made, or another process has it.

    Attributes:
        id: made with the file, and kept in it.
        totals: as of the last commit: others look at them while this thread is writing, and a
            number of a row that is not there yet would be taken for one that was dropped.
        replaced: how often a damaged file was set aside.
        forgotten: up to which number rows were deleted as no longer needed.
    """

    def __init__(self, path: Path | None, bounds: Bounds) -> None:
        self._path = path
        self._bounds = bounds
        self.id = uuid.uuid4().hex
        self.totals = Totals()
        self.replaced = 0
        self.forgotten = 0
        self._noted_dropped = 0  # as the file has it; a full disk may not take the last few
        self._room: Room | None = None
        try:
            self._database = self._open()
        except sqlite3.Error as error:
            if not is_damage(error) or path is None:
                raise self._failure("cannot be opened", error) from error
            self.id, self.totals = uuid.uuid4().hex, Totals()  # whatever was read so far
            self._set_aside(error)

    def write(self, new: Sequence[NewRow], upto: int) -> list[int | None]:
        """Add rows, and forget those up to a number, in one transaction.

        Returns:
            For each row that was dealt with its number, or `None` where it was dropped. Those
            that are left wait for room, or for another call if this one had room for some.

        Raises:
            OutboxFull: there is no space, and nothing that may be dropped would make any.
            OutboxFailed: the disk refused; nothing has changed.
        """
        return self._guarded("cannot be written", lambda: self._write_somehow(new, upto))

    def read(self, after: int, upto: int, limit: int) -> list[Row]:
        """The oldest rows above and up to a number, at most `limit`, fewer if they are large.

        None of these changes any more.
        """
        growing = self.totals.growing
        if growing is not None and growing.seq <= upto:
            self.totals.growing = None
        return self._guarded("cannot be read", lambda: self._read(after, upto, limit))

    def close(self) -> None:
        """Close the file."""
        try:
            self._database.close()
        except sqlite3.Error as error:
            logger.warning("%s: closing failed: %s", self.name, error)
        self._give_up_room()

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return f"outbox {self._path or 'in memory'}"

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(
            self._path or ":memory:",
            timeout=_LOCK_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            database.executescript(_SETTINGS)
            ((self._page,),) = database.execute("PRAGMA page_size")
            log = sorted((*_LOG_BYTES, self._bounds.bytes))[1]
            database.execute(f"PRAGMA journal_size_limit = {log}")
            database.execute(f"PRAGMA wal_autocheckpoint = {log * 3 // 4 // self._page}")
            if self._bounds.quota is not None:
                pages = max(self._bounds.quota // self._page, 1)
                database.execute(f"PRAGMA max_page_count = {pages}")
            found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise Damaged(found)
            with Transaction(database, "IMMEDIATE"):
                for statement in _TABLES.split(";"):
                    database.execute(statement)
                self._load(database)
            self._take_room()
        except BaseException:
            database.close()
            self._give_up_room()
            raise
        return database

    def _take_room(self) -> None:
        """Have the log begin with a little of the disk, with which rows can always be deleted."""
        if self._path is not None:
            self._room = Room(self._path)
            log = Room(self._path.with_name(f"{self._path.name}-wal"))
            with suppress(Full), closing(log):
                log.take(_FIRST_LOG_BYTES)

    def _give_up_room(self) -> None:
        if self._room is not None:
            self._room.close()
            self._room = None

    def _load(self, database: sqlite3.Connection) -> None:
        """Read what the file says of itself; tell a new one what is known from before."""
        totals = Totals(last_seq=self.totals.last_seq)
        for name, value in (("outbox_id", self.id), ("dropped", self.totals.dropped)):
            database.execute("INSERT OR IGNORE INTO facts VALUES (?, ?)", (name, value))
        facts = dict(database.execute("SELECT name, value FROM facts"))
        if not isinstance(facts["outbox_id"], str) or not isinstance(facts["dropped"], int):
            raise Damaged("facts of the wrong type")
        self.id, totals.dropped = facts["outbox_id"], facts["dropped"]
        sums = "SELECT count(*), coalesce(sum(length(payload)), 0) FROM outbox"
        totals.rows, payloads = database.execute(sums).fetchone()
        totals.bytes = payloads + _OVERHEAD * totals.rows
        if totals.last_seq:  # a new file goes on where the damaged one ended
            database.execute("DELETE FROM sqlite_sequence WHERE name = 'outbox'")
            database.execute("INSERT INTO sqlite_sequence VALUES ('outbox', ?)", (totals.last_seq,))
        else:
            used = database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'")
            totals.last_seq = (used.fetchone() or (0,))[0]
        self.totals, self._noted_dropped = totals, totals.dropped

    def _write_somehow(self, new: Sequence[NewRow], upto: int) -> list[int | None]:
        """Write; on a full disk row by row, with the room that can be made for each."""
        try:
            return self._write(new, upto)
        except sqlite3.Error as error:
            if not is_full(error) or not new:
                raise
        given: list[int | None] = []
        for row in new:
            try:
                placed = self._place(row, upto)
            except sqlite3.Error:
                if not given:
                    raise
                break
            if not placed:
                break
            given += placed
        return given

    def _place(self, row: NewRow, upto: int) -> list[int | None]:
        """Write a row on a full disk, which bounds the outbox as its number of rows does."""
        when_full = self._bounds.when_full
        need = len(row.payload) + _ROOM_BYTES
        rooms = (0, need, 4 * need) if when_full == "drop_oldest" else (0,)
        for room in rooms:
            self._empty_log()
            try:
                return self._write([row], upto, room)
            except sqlite3.Error as error:
                if not is_full(error) or (room == rooms[-1] and when_full != "drop_newest"):
                    raise
        self.totals.dropped += 1
        return [None]

    def _empty_log(self) -> None:
        """Move what was committed into the file, so that the log begins again where it began."""
        with suppress(sqlite3.OperationalError):  # then writing fails too, and tells why
            self._database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _write(self, new: Sequence[NewRow], upto: int, room: int = 0) -> list[int | None]:
        """Write in one transaction; `room` is how many bytes of the oldest rows make way."""
        totals = copy(self.totals)
        with Transaction(self._database, "IMMEDIATE"):
            self._forget(totals, upto if upto > self.forgotten else 0)
            self._drop(totals, 0, room)
            given = self._insert(totals, new)
            self._drop(totals, totals.rows - self._bounds.rows, totals.bytes - self._bounds.bytes)
            if totals.dropped != self._noted_dropped:
                self._database.execute(
                    "UPDATE facts SET value = ? WHERE name = 'dropped'", (totals.dropped,)
                )
            if self._room is not None:
                ((pages,),) = self._database.execute("PRAGMA page_count")
                self._room.take(pages * self._page)
        self.totals, self._noted_dropped = totals, totals.dropped
        self.forgotten = max(self.forgotten, upto)
        return given

    def _insert(self, totals: Totals, new: Sequence[NewRow]) -> list[int | None]:
        given: list[int | None] = []
        for row in new:
            if self._join(totals, row):
                given.append(totals.last_seq)
                continue
            size = len(row.payload) + _OVERHEAD
            if self._bounds.when_full != "drop_oldest" and (
                totals.rows + 1 > self._bounds.rows or totals.bytes + size > self._bounds.bytes
            ):
                if self._bounds.when_full == "block":
                    break
                totals.dropped += 1
                given.append(None)
                continue
            cursor = self._database.execute(
                "INSERT INTO outbox (kind, timestamp, payload) VALUES (?, ?, ?)", row[:3]
            )
            assert cursor.lastrowid is not None
            seq = totals.last_seq = cursor.lastrowid
            totals.growing = Growing(row.batch, seq, row.payload) if row.batch else None
            given.append(totals.last_seq)
            totals.rows += 1
            totals.bytes += size
        return given

    def _join(self, totals: Totals, row: NewRow) -> bool:
        """Add a report to the last row, if that is of its batch and there is room for it."""
        last, more = totals.growing, len(row.payload) - 1
        if last is None or last.batch != row.batch or totals.bytes + more > self._bounds.bytes:
            return False
        payload = last.payload[:-1] + b"," + row.payload[1:]
        self._database.execute("UPDATE outbox SET payload = ? WHERE seq = ?", (payload, last.seq))
        totals.growing = last._replace(payload=payload)
        totals.bytes += more
        return True

    def _drop(self, totals: Totals, rows: int, size: int) -> None:
        """Drop the oldest, at least so many rows and bytes."""
        if rows <= 0 and size <= 0:
            return
        last = 0
        oldest = self._database.execute("SELECT seq, length(payload) FROM outbox ORDER BY seq")
        for seq, length in oldest:
            if rows <= 0 and size <= 0:
                break
            last = seq
            rows -= 1
            size -= length + _OVERHEAD
        oldest.close()
        totals.dropped += self._forget(totals, last)

    def _forget(self, totals: Totals, upto: int) -> int:
        if not upto:
            return 0
        sums = "SELECT count(*), coalesce(sum(length(payload)), 0) FROM outbox WHERE seq <= ?"
        count, payloads = self._database.execute(sums, (upto,)).fetchone()
        self._database.execute("DELETE FROM outbox WHERE seq <= ?", (upto,))
        totals.rows -= count
        totals.bytes -= payloads + _OVERHEAD * count
        if totals.growing is not None and totals.growing.seq <= upto:
            totals.growing = None
        return int(count)

    def _read(self, after: int, upto: int, limit: int) -> list[Row]:
        rows: list[Row] = []
        size = 0
        found = self._database.execute(
            "SELECT seq, kind, timestamp, payload FROM outbox WHERE seq > ? AND seq <= ? "
            "ORDER BY seq LIMIT ?",
            (after, upto, limit),
        )
        for values in found:
            row = Row(*values)
            rows.append(row)
            size += len(row.payload)
            if size > _READ_BYTES:
                break
        found.close()
        return rows

    def _guarded(self, what: str, work: Callable[[], T]) -> T:
        """Do something; on a damaged file once more, on a new one."""
        try:
            return work()
        except sqlite3.Error as error:
            if not is_damage(error) or self._path is None:
                raise self._failure(what, error) from error
            self._database.close()
            self._give_up_room()
            self._set_aside(error)
        try:
            return work()
        except sqlite3.Error as error:
            raise self._failure(what, error) from error

    def _set_aside(self, error: sqlite3.Error) -> None:
        """Move a damaged file out of the way and begin a new one, with the same id where known."""
        assert self._path is not None
        aside = self._path.with_name(f"{self._path.name}.corrupt")
        logger.error("%s is damaged (%s); it is kept as %s", self.name, error, aside)
        try:
            # The log of changes belongs to the file, and must not be applied to the new one.
            for ending in ("-wal", "-shm"):
                side = self._path.with_name(self._path.name + ending)
                if side.exists():
                    os.replace(side, aside.with_name(aside.name + ending))
            os.replace(self._path, aside)
            self.totals.dropped += self.totals.rows
            self._database = self._open()
        except (OSError, sqlite3.Error) as reason:
            raise self._failure("cannot be made anew", reason) from reason
        self.replaced += 1

    def _failure(self, what: str, error: Exception) -> OutboxFailed:
        kind = OutboxFull if is_full(error) else OutboxFailed
        return kind(f"{self.name} {what}: {reason(error)}")
