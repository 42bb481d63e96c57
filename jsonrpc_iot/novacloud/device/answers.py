"""The final answers to the last commands, so that one that comes again is not run again.

Beside an outbox file they are in a file of their own, `NAME.answers`, and outlive the program. The
file is an aid: when the disk fails, answers are remembered as long as the program runs.
"""

import logging
import sqlite3
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec

from ..messages import CommandId

logger = logging.getLogger("jsonrpc_iot.novacloud")

_SETTINGS = """
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA journal_mode = TRUNCATE;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS answers (
    number INTEGER PRIMARY KEY, command_id TEXT NOT NULL UNIQUE, line BLOB NOT NULL
);
"""


class Answers:
    """The last answers, by command id.

    Args:
        most: answers that are kept.
        most_bytes: that these may take.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._lines: OrderedDict[CommandId, bytes] = OrderedDict()
        self._size = 0
        self._db: sqlite3.Connection | None = None
        self._lock = anyio.Lock()

    def get(self, id: CommandId) -> bytes | None:
        """The line that a command was answered with."""
        return self._lines.get(id)

    async def open(self, path: Path) -> None:
        """Read what an earlier run of the program has left, and add to it from now on."""
        await self._guarded(lambda: self._load(path))

    async def keep(self, id: CommandId, line: bytes) -> None:
        """Remember an answer; returns once it is on disk."""
        forgotten = self._add(id, line)
        async with self._lock:
            if self._db is not None:
                db = self._db
                await self._guarded(lambda: _write(db, id, line, forgotten))

    async def close(self) -> None:
        """Close the file."""
        with anyio.CancelScope(shield=True):
            async with self._lock:
                if self._db is not None:
                    await anyio.to_thread.run_sync(self._db.close)
                    self._db = None

    def _add(self, id: CommandId, line: bytes) -> list[CommandId]:
        """Remember an answer; returns what had to make way."""
        self._lines[id] = line
        self._size += len(line)
        forgotten = []
        while len(self._lines) > self._most or self._size > self._most_bytes:
            old, gone = self._lines.popitem(last=False)
            self._size -= len(gone)
            forgotten.append(old)
        return forgotten

    def _load(self, path: Path) -> None:
        try:
            self._db = _open(path)
            rows = _read(self._db)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            logger.warning("%s is damaged (%s); a new one is begun", path, error)
            if self._db is not None:
                self._db.close()
            path.unlink()
            self._db = _open(path)
            rows = []
        for id, line in rows:
            self._add(id, line)

    async def _guarded(self, work: Callable[[], None]) -> None:
        try:
            await anyio.to_thread.run_sync(work)
        except (sqlite3.Error, OSError) as error:
            logger.error("answers to commands do not outlive the program: %s", error)


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        db.executescript(_SETTINGS)
    except BaseException:
        db.close()
        raise
    return db


def _read(db: sqlite3.Connection) -> list[tuple[CommandId, bytes]]:
    rows = db.execute("SELECT command_id, line FROM answers ORDER BY number")
    return [(msgspec.json.decode(id, type=CommandId), line) for id, line in rows]


def _write(db: sqlite3.Connection, id: CommandId, line: bytes, forgotten: list[CommandId]) -> None:
    names = [(msgspec.json.encode(old).decode(),) for old in forgotten]
    name = msgspec.json.encode(id).decode()
    with db:  # commits, or takes all of it back
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT OR REPLACE INTO answers (command_id, line) VALUES (?, ?)", (name, line))
        db.executemany("DELETE FROM answers WHERE command_id = ?", names)
