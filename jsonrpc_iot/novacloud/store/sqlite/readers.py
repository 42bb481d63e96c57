"""Connections that only read: each sees one moment of the file, and never waits for the writer."""

import sqlite3
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Generic, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread

from jsonrpc_iot import RpcError

from ...errors import unforeseen
from ...group_commit import Transaction
from .lists import add_functions
from .precedence import Precedence
from .writer import end_statements, failure

T = TypeVar("T")

_BUSY_SECONDS = 5.0
_STEPS = 20_000  # of SQLite's machine, less than a millisecond


def connect(path: Path) -> sqlite3.Connection:
    """Open a database in autocommit mode, for any thread."""
    db = sqlite3.connect(
        path,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
        timeout=_BUSY_SECONDS,
    )
    db.execute("PRAGMA foreign_keys = ON")
    add_functions(db)
    return db


class Readers:
    """Some connections to a file.

    Args:
        path: of the file.
        count: how many may read at once; others wait.
        before: what its readings go before.
        after: what its readings make way for.
    """

    def __init__(
        self,
        path: Path,
        count: int,
        *,
        before: Precedence | None = None,
        after: Precedence | None = None,
    ) -> None:
        self._path = path
        self._count = count
        self._before = before
        self._after = after
        self._free: list[sqlite3.Connection] = []
        self._limiter = anyio.CapacityLimiter(count)

    def open(self) -> None:
        """Open all of them: later there may be no descriptor left for one.

        Raises:
            sqlite3.Error: the file cannot be opened.
        """
        for _ in range(self._count):
            self._free.append(connect(self._path))
            self._free[-1].execute("SELECT count(*) FROM sqlite_master").fetchone()
            if self._after is not None:
                self._free[-1].set_progress_handler(self._after.give_way, _STEPS)

    def close(self) -> None:
        """Close all of them; nobody reads any more."""
        while self._free:
            self._free.pop().close()

    async def read(self, find: Callable[[sqlite3.Connection], T]) -> T:
        """Read one moment of the file in a thread; whoever stops waiting has the reading end.

        Args:
            find: reads, and returns what it has read.

        Raises:
            RpcError: the reader's own.
            StoreFailed: SQLite refused, or the reader has a fault.
        """
        return await self.use(lambda db: _find(db, find))

    async def use(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """The same, but for work that begins its own transactions."""
        one = _Reading(work)
        with nullcontext() if self._before is None else self._before.urgent():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(one.interrupt_if_cancelled)
                await anyio.to_thread.run_sync(one.run, self._free, limiter=self._limiter)
                tasks.cancel_scope.cancel()
        await anyio.lowlevel.checkpoint_if_cancelled()  # it was interrupted for that
        if isinstance(one.error, sqlite3.Error):
            raise failure(one.error) from None
        if isinstance(one.error, RpcError):
            raise one.error
        if one.error is not None:
            raise unforeseen(one.error)
        return one.result


class _Reading(Generic[T]):
    """What one caller reads, in a thread."""

    def __init__(self, work: Callable[[sqlite3.Connection], T]) -> None:
        self._work = work
        self._db: sqlite3.Connection | None = None
        self.result: T
        self.error: Exception | None = None

    def run(self, free: list[sqlite3.Connection]) -> None:
        self._db = db = free.pop()
        try:
            self.result = self._work(db)
        except Exception as error:  # noqa: BLE001  # it is raised where somebody waits for it
            self.error = error
            end_statements(error)
        finally:
            self._db = None
            free.append(db)

    async def interrupt_if_cancelled(self) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            db = self._db
            if db is not None:
                db.interrupt()


def _find(db: sqlite3.Connection, find: Callable[[sqlite3.Connection], T]) -> T:
    with Transaction(db, "DEFERRED"):
        return find(db)
