"""The store in one SQLite file: a writer thread with group commit, readers beside it.

The file is in WAL mode, so readers see the last commit and never wait for the writer. What the rows
mean is in `schema`; what is read and written is in `registry`, `telemetry_log`, `command_log` and
`outboxes`.
"""

import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Self, TypeVar

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from ...clock import elapsed as since_boot
from ...errors import StoreDamaged, StoreFailed
from ...steady import keep_running
from ..one_node import OneNode
from ..settled import SettledClock
from ..store import Store
from ..telemetry_log import Report
from .backup import copy_into
from .command_log import CommandTables
from .fresh import FreshTables
from .keeper import Keeper
from .outboxes import OutboxTables
from .precedence import Precedence
from .readers import Readers, connect
from .registry import RegistryTables
from .schema import upgrade
from .sole import hold
from .status import save_statuses
from .taken import Taken
from .telemetry_log import TelemetryTables
from .writer import Writer

T = TypeVar("T")

_LOOKUPS, _QUERIES = 4, 2  # at once; a query may take long, and nobody is to wait for it to look up
_PAGE = 4096
_LOG_PAGES = 16_384  # from here on the writer itself moves the log into the file, and cuts it off


class SqliteStore(RegistryTables, TelemetryTables, CommandTables, OutboxTables, Store):
    """A `Store` in a file.

    Args:
        path: the file, made when it is not there; two more lie beside it while it is open.
        durable: have each commit reach the disk, so that a power failure loses nothing that was
            acknowledged. Without it the last second may be lost, the file stays sound.
        max_pages: the size limit of the file in pages of 4 KiB; none by default.
        clock: tells Unix seconds, to know what is too old to be kept; one that leaps is not
            believed at once.
        elapsed: tells seconds since some moment, and is never set; needed for `clock` alone.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        durable: bool = True,
        max_pages: int | None = None,
        clock: Callable[[], float] | None = None,
        elapsed: Callable[[], float] | None = None,
    ) -> None:
        self._path = Path(path)
        self._durable = durable
        self._max_pages = max_pages
        self._stack = AsyncExitStack()
        self._tasks: TaskGroup
        self._writer: Writer
        if clock is None:
            clock, elapsed = time.time, elapsed or since_boot
        self._clock = SettledClock(clock, elapsed)
        self._fresh = FreshTables()
        self._taken = Taken()
        self._precedence = Precedence()
        self._one_node = OneNode()
        self.keeper: Keeper
        self._lookups: Readers
        self.queries: Readers
        self._copies: Readers

    @property
    def nodes(self) -> OneNode:
        return self._one_node

    @property
    def folder(self) -> Path:
        return self._path.absolute().parent

    def sizes(self) -> dict[str, int]:
        found = {}
        for name, path in ("database", self._path), ("log", Path(f"{self._path}-wal")):
            with suppress(OSError):
                found[name] = path.stat().st_size
        return found

    async def __aenter__(self) -> Self:
        """Open the file.

        Raises:
            StoreFailed: it cannot be opened, is no database, or one of a newer version.
        """
        async with AsyncExitStack() as stack:
            self._lookups = Readers(self._path, _LOOKUPS, before=self._precedence)
            self.queries = Readers(self._path, _QUERIES, after=self._precedence)
            self._copies = Readers(self._path, 1)
            try:
                await anyio.to_thread.run_sync(self._open, stack)
            except sqlite3.Error as error:
                raise StoreFailed(f"{self._path}: {error}") from None
            self._tasks = await stack.enter_async_context(anyio.create_task_group())
            self._tasks.start_soon(self._write_until_closed)
            self._tasks.start_soon(keep_running, self._writer.run_beside)
            self._tasks.start_soon(keep_running, self.keeper.run)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *failure: object) -> None:
        """Write what waits, and close the file."""
        self.keeper.close()
        self._writer.close()
        self._tasks.cancel_scope.shield = True
        await self._stack.aclose()

    async def write(self, reports: Sequence[Report]) -> list[bool]:
        fresh = await self._mending(lambda: self._writer.do(lambda db: self._write(db, reports)))
        self.keeper.note_write()
        return fresh

    async def backup(self, path: str) -> None:
        await self._copies.use(lambda db: copy_into(db, Path(path)))

    async def _write_until_closed(self) -> None:
        await self._writer.run()
        self._tasks.cancel_scope.cancel()

    def _open(self, stack: AsyncExitStack) -> None:
        """Open the file in this thread; the stack closes what is open."""
        stack.callback(hold(self._path).close)
        db = connect(self._path)
        stack.callback(db.close)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {'FULL' if self._durable else 'NORMAL'}")
        db.execute("PRAGMA cache_size = -16384")  # KiB; readers have little to come back to
        db.execute("PRAGMA secure_delete = OFF")  # or each page that gets free is written
        db.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
        db.execute(f"PRAGMA journal_size_limit = {_LOG_PAGES * _PAGE // 16}")
        upgrade(db)
        self._fresh.load(db)
        if self._max_pages is not None:
            db.execute(f"PRAGMA max_page_count = {self._max_pages:d}")
        beside = connect(self._path)
        stack.callback(beside.close)
        log = f"{self._path}-wal"
        self._writer = Writer(db, beside, log, _LOG_PAGES * _PAGE, self._precedence)
        self.keeper = Keeper(self._writer, self._fresh, self._lookups.use, self._clock)
        for readers in (self._lookups, self.queries, self._copies):
            stack.callback(readers.close)
            readers.open()

    async def _commit(self, job: Callable[[sqlite3.Connection], T]) -> T:
        return await self._writer.do(job)

    async def _query(self, find: Callable[[sqlite3.Connection], T]) -> T:
        return await self._mending(lambda: self.queries.read(find))

    async def _read(self, find: Callable[[sqlite3.Connection], T]) -> T:
        return await self._mending(lambda: self._lookups.read(find))

    async def _mending(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do something; a second time if damaged pages were in the way, and are no more."""
        seen = self.keeper.mended
        try:
            return await work()
        except StoreDamaged:
            if not await self.keeper.mend(seen):
                raise
        return await work()

    def _write(self, db: sqlite3.Connection, reports: Sequence[Report]) -> list[bool]:
        fresh = self._taken.take(db, reports)
        new = [report for report, is_new in zip(reports, fresh, strict=True) if is_new]
        self._fresh.insert(db, new)
        save_statuses(db, new)
        return fresh
