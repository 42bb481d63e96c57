"""Reports that wait for the platform, on disk so that neither an outage nor a crash loses them.

The outbox keeps rows in order; who sends them, and when one may be forgotten, is the device's
business.
"""

import logging
import math
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self, TypeVar

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from jsonrpc_iot import MessageTooLarge, UsageError

from ..group_commit import Entry, GroupCommit
from .outbox_file import OutboxFile
from .outbox_rows import Bounds, Kind, NewRow, OutboxFailed, OutboxFull, Row, WhenFull

__all__ = ["Outbox", "OutboxFailed", "Row", "WhenFull"]

logger = logging.getLogger("jsonrpc_iot.novacloud")
T = TypeVar("T")

_GROUP = 500
_GROUP_BYTES = 1 << 18
_RETRY_SECONDS = 5.0
_FORGET_SECONDS = 60.0  # a commit of its own for each deletion would wear disks out twice as fast


class Outbox:
    """A bounded queue in an SQLite file, to be used with `async with`.

    Reports that come at the same time are committed together. Only one process can have the file
    open. A damaged file is set aside as `NAME.corrupt`, and a new one is begun.

    Args:
        path: the file; `None` keeps the rows in memory, where they end with the program.
        max_rows: how many rows it holds.
        max_bytes: how much they take. The file may have twice as much, and a log of 256 KiB to
            1 MiB lies beside it while it is open.
        when_full: `drop_oldest`, `drop_newest`, or `block` to have reports wait for room; a full
            disk and a used quota count as a full outbox.
        quota: bytes that the file may have at most; `None` for as many as the disk has.

    Raises:
        UsageError: a bound is less than 1.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        max_rows: int = 100_000,
        max_bytes: int = 64 << 20,
        when_full: WhenFull = "drop_oldest",
        quota: int | None = None,
    ) -> None:
        if min(max_rows, max_bytes) < 1:
            raise UsageError("an outbox holds at least one row and one byte")
        if when_full not in {"drop_oldest", "drop_newest", "block"}:
            raise UsageError(f"when_full={when_full!r} is none of drop_oldest, drop_newest, block")
        self._path = None if path is None else Path(path)
        self._bounds = Bounds(max_rows, max_bytes, when_full, quota)
        self._file: OutboxFile | None = None
        self._puts: GroupCommit[NewRow, int | None]
        self._stack: AsyncExitStack
        self._tasks: TaskGroup
        self._forget = 0
        self._ready = 0
        self._held_until = -math.inf
        self._written = anyio.Event()
        self._lock = anyio.Lock()
        self._dropped = 0
        self._retrying = False
        self._is_forgetting = False

    @property
    def path(self) -> Path | None:
        """Its file, `None` for one in memory."""
        return self._path

    @property
    def id(self) -> str:
        """Made with the file and kept in it: the name under which a platform counts its rows."""
        return self._opened.id

    @property
    def rows(self) -> int:
        """How many rows wait."""
        totals = self._opened.totals
        return min(totals.rows, max(totals.last_seq - self._forget, 0))

    @property
    def size(self) -> int:
        """Bytes that the rows take, those included that are still to be deleted."""
        return self._opened.totals.bytes

    @property
    def last_seq(self) -> int:
        """The highest number that a row was given, also if it is gone; 0 for none."""
        return self._opened.totals.last_seq

    @property
    def ready_seq(self) -> int:
        """The highest number that may be read; rows above it are held back."""
        if self._held_until > -math.inf and anyio.current_time() < self._held_until:
            return self._ready
        return self.last_seq

    @property
    def dropped(self) -> int:
        """How many rows were dropped for want of room since the file was made."""
        return self._opened.totals.dropped

    @property
    def replaced(self) -> int:
        """How often a damaged file was set aside since the outbox was opened."""
        return self._opened.replaced

    async def __aenter__(self) -> Self:
        """Open the file, or make it.

        Raises:
            OutboxFailed: that is not possible, or another process has it open.
        """
        file = await self._run(lambda: OutboxFile(self._path, self._bounds))
        self._file = file
        self._forget = 0
        self._is_forgetting = False
        self._held_until = -math.inf
        self._dropped = file.totals.dropped
        self._puts = GroupCommit(self._write, _closed, min(_GROUP, self._bounds.rows))
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._close)
            self._tasks = await stack.enter_async_context(anyio.create_task_group())
            self._tasks.start_soon(self._write_until_closed)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *failure: object) -> None:
        """Commit what waits, and close the file."""
        if self._forget > self._opened.forgotten:
            self._puts.poke()
        self._puts.close()
        self._tasks.cancel_scope.shield = True
        await self._stack.aclose()

    async def put(self, kind: Kind, timestamp: float, payload: bytes, batch: int = 0) -> int | None:
        """Add a row; returns once it is on disk.

        Args:
            kind: `data` or `status`.
            timestamp: in Unix seconds; it is never changed.
            payload: in JSON.
            batch: not 0 to add the payload to the row of that batch, if it is the last one and
                nobody has read it. The caller sees to it that the two have no key in common.

        Returns:
            Its number, or `None` where it was dropped.

        Raises:
            OutboxFailed: the disk is broken, or so full that not even dropping rows makes room;
                nothing was added.
            MessageTooLarge: it would not fit an empty outbox.
        """
        if len(payload) + 100 > self._bounds.bytes:
            raise MessageTooLarge(len(payload), self._bounds.bytes - 100)
        if self._file is None:
            raise _closed()
        return await self._puts.do(NewRow(kind, timestamp, payload, batch))

    async def read(self, after: int, limit: int = 100) -> list[Row]:
        """The oldest rows with a number above `after` that are not held back.

        Args:
            after: a number.
            limit: rows at most; there may be fewer if they are large.

        Raises:
            OutboxFailed: the file cannot be read.
        """
        file = self._opened
        async with self._lock:
            start, end = max(after, self._forget), self.ready_seq
            return await self._run(lambda: file.read(start, end, limit))

    def forget(self, upto: int) -> None:
        """Delete the rows up to a number, on disk with the next commit or within a minute."""
        if upto <= self._forget:
            return
        self._forget = upto
        if self._file is None:
            return
        if self._path is None or self._puts.is_awaited or upto > self._file.forgotten + _GROUP:
            self._puts.poke()
        elif not self._is_forgetting:
            self._is_forgetting = True
            self._tasks.start_soon(self._forget_later, self._file)

    def hold(self, until: float) -> None:
        """Have the rows that come from now on not be read before a time of anyio's clock."""
        self._ready = self.ready_seq
        self._held_until = until

    def release(self, upto: int | None = None) -> None:
        """Let the rows up to a number be read, or all of them and those to come."""
        if upto is None:
            self._held_until = -math.inf
        else:
            self._ready = max(self._ready, upto)
        self._tell_readers()

    async def changed(self, after: int) -> None:
        """Wait until a number above `after` may be read."""
        while self.ready_seq <= after:
            held = self._held_until if self.last_seq > after else math.inf
            with anyio.CancelScope(deadline=held):
                await self._written.wait()

    @property
    def _opened(self) -> OutboxFile:
        if self._file is None:
            raise UsageError("the outbox is not open: use `async with`")
        return self._file

    async def _write_until_closed(self) -> None:
        await self._puts.run()
        self._tasks.cancel_scope.cancel()

    async def _close(self) -> None:
        with anyio.CancelScope(shield=True):
            await self._run(self._opened.close)

    async def _write(self, group: Sequence[Entry[NewRow, int | None]]) -> int:
        file = self._opened
        rows = self._together([entry.work for entry in group])
        upto = self._forget
        try:
            async with self._lock:
                given = await self._run(lambda: file.write(rows, upto))
        except OutboxFailed as error:
            is_due = upto > file.forgotten
            if isinstance(error, OutboxFull) and self._bounds.when_full == "block":
                self._tasks.start_soon(self._try_again_later, str(error))
                return 0
            for entry in group:
                entry.error = OutboxFailed(str(error))
                entry.error.__cause__ = error
            if is_due:
                self._tasks.start_soon(self._try_again_later, str(error))
                if group:  # perhaps there is room for the deletion alone
                    self._puts.poke()
            return len(group)
        if upto > file.forgotten:
            self._tasks.start_soon(self._try_again_later, f"{file.name}: no space to delete rows")
        for entry, seq in zip(group, given, strict=False):
            entry.result = seq
        if given and len(given) < len(group):  # the others came too late for this commit
            self._puts.poke()
        self._tell_readers()
        self._tell_dropped()
        return len(given)

    def _tell_readers(self) -> None:
        self._written.set()
        self._written = anyio.Event()

    def _together(self, rows: Sequence[NewRow]) -> Sequence[NewRow]:
        """The first rows, as many as may be in the file beyond its bounds for a moment."""
        room = min(_GROUP_BYTES, self._bounds.bytes)
        for count, row in enumerate(rows):
            room -= len(row.payload)
            if room < 0:
                return rows[: max(count, 1)]
        return rows

    async def _forget_later(self, file: OutboxFile) -> None:
        """Delete what no commit has deleted on the way."""
        await anyio.sleep(_FORGET_SECONDS)
        self._is_forgetting = False
        if self._forget > file.forgotten:
            self._puts.poke()

    async def _try_again_later(self, reason: str) -> None:
        """Write once more after a while what could not be: deletions, and reports that wait."""
        if not self._retrying:
            self._retrying = True
            logger.error("%s", reason)
            await anyio.sleep(_RETRY_SECONDS)
            self._retrying = False
            self._puts.poke()

    def _tell_dropped(self) -> None:
        """Log the first drop, and then each time that ten times as many are gone."""
        dropped = self.dropped
        if dropped > self._dropped and (
            not self._dropped or math.floor(math.log10(dropped)) > math.log10(self._dropped)
        ):
            logger.warning("outbox %s is full: %d dropped", self._path or "in memory", dropped)
        self._dropped = dropped

    async def _run(self, work: Callable[[], T]) -> T:
        if self._path is None:
            return work()
        return await anyio.to_thread.run_sync(work)


def _closed() -> OutboxFailed:
    return OutboxFailed("the outbox is closed")
