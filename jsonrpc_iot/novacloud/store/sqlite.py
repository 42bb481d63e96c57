"""The store in one SQLite file: a writer thread with group commit, readers beside it.

The file is in WAL mode, so readers see the last commit and never wait for the writer. What the rows
mean is in `schema`, the statements for telemetry in `telemetry`.
"""

import sqlite3
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import anyio
import anyio.to_thread
import msgspec
from anyio.abc import TaskGroup

from jsonrpc_iot import RpcError

from ..clock import elapsed as since_boot
from ..errors import StoreDamaged, StoreFailed, UnknownDevice, UnknownKey
from . import retention
from .backup import copy_into
from .keeper import Keeper
from .latest import latest_points
from .managed_sqlite import ManagedTables
from .outboxes import Outboxes
from .points import Place, points
from .precedence import Precedence
from .query import Point, Query
from .readers import Readers, connect
from .rows import (
    COMMAND,
    DEVICE,
    create_device,
    define,
    encode_tags,
    read_command,
    read_device,
    read_known,
    save_commands,
)
from .schema import upgrade
from .settled import SettledClock
from .sole import hold
from .status import latest_status, save_statuses
from .store import (
    Actuator,
    CommandRow,
    DeviceRow,
    Known,
    Report,
    Retention,
    Sensor,
    SensorType,
    StatusReport,
)
from .telemetry import FreshTables
from .upkeep import Cut
from .writer import Writer

T = TypeVar("T")

_LOOKUPS, _QUERIES = 4, 2  # at once; a query may take long, and nobody is to wait for it to look up
_PAGE = 4096
_LOG_PAGES = 16_384  # from here on the writer itself moves the log into the file, and cuts it off


class SqliteStore(ManagedTables):
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
        self._outboxes = Outboxes()
        self._precedence = Precedence()
        self.keeper: Keeper
        self._lookups: Readers
        self.queries: Readers
        self._copies: Readers

    @property
    def lost_groups(self) -> int:
        return self.keeper.lost_groups

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
            self._tasks.start_soon(self._writer.run_beside)
            self._tasks.start_soon(self.keeper.run)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *failure: object) -> None:
        """Write what waits, and close the file."""
        self.keeper.close()
        self._writer.close()
        self._tasks.cancel_scope.shield = True
        await self._stack.aclose()

    async def write(
        self, reports: Sequence[Report], commands: Sequence[CommandRow] = ()
    ) -> list[bool]:
        fresh = await self._mending(
            lambda: self._writer.do(lambda db: self._write(db, reports, commands))
        )
        self.keeper.note_write()
        return fresh

    async def create_device(self, row: DeviceRow) -> None:
        await self._writer.do(lambda db: create_device(db, row))

    async def device(self, device_id: str) -> Known:
        return await self._read(lambda db: read_known(db, device_id))

    async def devices(self) -> list[DeviceRow]:
        text = f"SELECT {DEVICE} FROM devices ORDER BY name, device_id"
        return await self._read(lambda db: [read_device(row) for row in db.execute(text)])

    async def update_device(
        self,
        device_id: str,
        *,
        name: str | None = None,
        enabled: bool | None = None,
        key_hash: bytes | None = None,
        old_key_until: float | None = None,
        tags: Sequence[str] | None = None,
    ) -> None:
        await self._change(
            "UPDATE devices SET name = ifnull(?1, name), enabled = ifnull(?2, enabled), "
            "tags = ifnull(?3, tags), key_hash = ifnull(?4, key_hash), "
            "old_key_hash = CASE WHEN ?4 IS NULL THEN old_key_hash "
            "WHEN ?5 IS NOT NULL THEN key_hash END, "
            "old_key_until = CASE WHEN ?4 IS NULL THEN old_key_until ELSE ?5 END "
            "WHERE device_id = ?6",
            (
                name,
                enabled,
                None if tags is None else encode_tags(tags),
                key_hash,
                old_key_until,
                device_id,
            ),
            UnknownDevice(data={"device_id": device_id}),
        )

    async def delete_device(self, device_id: str) -> None:
        def delete(db: sqlite3.Connection) -> None:
            self._outboxes.fold(db)  # one that is made anew has taken nothing
            db.execute(
                "INSERT INTO doomed SELECT id FROM sensors WHERE device_id = ?", (device_id,)
            )
            gone = db.execute("DELETE FROM devices WHERE device_id = ?", (device_id,))
            if not gone.rowcount:
                raise UnknownDevice(data={"device_id": device_id})

        await self._writer.do(delete)
        self.keeper.poke()

    async def seen(self, times: Iterable[tuple[str, float]]) -> None:
        rows = [(at, device_id) for device_id, at in times]
        text = "UPDATE devices SET last_seen = ? WHERE device_id = ?"
        await self._writer.do(lambda db: db.executemany(text, rows))

    async def define_sensor(
        self, device_id: str, value_key: str, type: SensorType, unit: str | None = None
    ) -> Sensor:
        text = "INSERT INTO sensors (device_id, value_key, type, unit) VALUES (?, ?, ?, ?)"
        row = device_id, value_key, type, unit
        id = await self._writer.do(lambda db: define(db, text, row))
        return Sensor(id, value_key, type, unit)

    async def delete_sensor(self, device_id: str, value_key: str) -> None:
        def delete(db: sqlite3.Connection) -> None:
            found = db.execute(
                "DELETE FROM sensors WHERE device_id = ? AND value_key = ? RETURNING id",
                (device_id, value_key),
            ).fetchall()
            if not found:
                raise UnknownKey(data={"value_key": value_key})
            db.executemany("INSERT INTO doomed VALUES (?)", found)

        await self._writer.do(delete)
        self.keeper.poke()

    async def define_actuator(
        self, device_id: str, command_key: str, type: SensorType | None = None
    ) -> Actuator:
        text = "INSERT INTO actuators (device_id, command_key, type) VALUES (?, ?, ?)"
        row = device_id, command_key, type
        await self._writer.do(lambda db: define(db, text, row))
        return Actuator(command_key, type)

    async def delete_actuator(self, device_id: str, command_key: str) -> None:
        await self._change(
            "DELETE FROM actuators WHERE device_id = ? AND command_key = ?",
            (device_id, command_key),
            UnknownKey(data={"command_key": command_key}),
        )

    async def points(self, query: Query) -> AsyncGenerator[Point, None]:
        place: Place | None = Place()
        left = query.limit
        while place is not None and left > 0:
            part = msgspec.structs.replace(query, limit=left)
            found, place = await self._query(partial(points, query=part, place=place))
            for point in found:
                yield point
            left -= len(found)

    async def delete_values(
        self, sensors: Sequence[int], start: float | None = None, end: float | None = None
    ) -> None:
        span = {} if start is None else {"start": start}
        span |= {} if end is None else {"end": end}
        await self.keeper.delete([Cut(sensor, **span) for sensor in sensors])

    async def set_retention(self, rule: Retention) -> None:
        await self._writer.do(lambda db: retention.set_rule(db, rule))
        self.keeper.poke()

    async def retention(self) -> list[Retention]:
        return await self._read(retention.rules)

    async def clear_retention(self, device_id: str | None, value_key: str | None) -> None:
        text = "DELETE FROM retention WHERE device_id = ? AND value_key = ?"
        rule = device_id or "", value_key or ""
        await self._writer.do(lambda db: db.execute(text, rule))

    async def backup(self, path: str) -> None:
        await self._copies.use(lambda db: copy_into(db, Path(path)))

    async def latest(self, device_id: str, now: float) -> dict[str, Point]:
        return await self._read(lambda db: latest_points(db, device_id, now))

    async def status(self, device_id: str) -> StatusReport | None:
        return await self._read(lambda db: latest_status(db, device_id))

    async def command(self, command_id: str) -> CommandRow | None:
        def find(db: sqlite3.Connection) -> CommandRow | None:
            row = db.execute(
                f"SELECT {COMMAND} FROM commands WHERE command_id = ?", (command_id,)
            ).fetchone()
            return row and read_command(row)

        return await self._read(find)

    async def commands(
        self, device_id: str | None = None, *, limit: int = 100, open_only: bool = False
    ) -> list[CommandRow]:
        conditions = ["TRUE"] if device_id is None else ["device_id = :device_id"]
        if open_only:
            conditions.append("finished IS NULL")
        text = (
            f"SELECT {COMMAND} FROM commands WHERE {' AND '.join(conditions)} "
            "ORDER BY number DESC LIMIT :limit"
        )
        values = {"device_id": device_id, "limit": limit}
        return await self._read(lambda db: [read_command(row) for row in db.execute(text, values)])

    async def _change(self, text: str, values: tuple[Any, ...], missing: RpcError) -> None:
        """Change one row; raises `missing` where there is none."""

        def change(db: sqlite3.Connection) -> None:
            if not db.execute(text, values).rowcount:
                raise missing

        await self._writer.do(change)

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

    def _write(
        self, db: sqlite3.Connection, reports: Sequence[Report], commands: Sequence[CommandRow]
    ) -> list[bool]:
        fresh = self._outboxes.take(db, reports)
        new = [report for report, is_new in zip(reports, fresh, strict=True) if is_new]
        self._fresh.insert(db, new)
        save_statuses(db, new)
        if commands:
            save_commands(db, commands)
        return fresh
