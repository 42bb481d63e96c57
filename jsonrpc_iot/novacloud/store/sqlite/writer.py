"""One thread that writes to the store's file, and one beside it that keeps the log short."""

import logging
import os
import sqlite3
from collections.abc import Callable, Sequence
from traceback import clear_frames
from typing import Any, TypeAlias, TypeVar

import anyio
import anyio.to_thread

from jsonrpc_iot import RpcError

from ...errors import StoreDamaged, StoreFailed, unforeseen
from ...group_commit import Entry, GroupCommit, Transaction
from .precedence import Precedence

T = TypeVar("T")
Job: TypeAlias = Callable[[sqlite3.Connection], Any]

logger = logging.getLogger("jsonrpc_iot.novacloud")

_PAUSE_SECONDS = 0.05  # until another attempt, where somebody else writes to the file


class _Locked(Exception):
    """Somebody else writes to the file for longer than SQLite waits; nothing has been done."""


class Writer:
    """Runs jobs on a connection that nobody else uses.

    Args:
        db: in autocommit mode, and not bound to a thread.
        beside: a connection for moving what was committed from the log into the file, while the
            next group is written. Were it done by the writer, now and then one would wait for it.
        log: the log's path.
        most: bytes of it from which on the writer moves it all the same. It is moved beside at
            three quarters of that, and not sooner: what is written again and again until then, as
            the pages in which values arrive, is moved once.
        precedence: before what the jobs go.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        beside: sqlite3.Connection,
        log: str,
        most: int,
        precedence: Precedence,
    ) -> None:
        self._db = db
        self._beside = beside
        self._log = log
        self._most = most
        self._precedence = precedence
        self._moving = anyio.Lock()
        self._closing = False
        self._locked = False
        self._much = anyio.Event()
        self._one_at_a_time = anyio.CapacityLimiter(1)
        self._jobs: GroupCommit[Job, Any] = GroupCommit(
            self._commit, lambda: StoreFailed("the store is closed")
        )
        self.run = self._jobs.run

    async def do(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run a job; returns what it returns once that is committed.

        Raises:
            RpcError: the job's own; nothing of the job is stored.
            StoreFailed: SQLite refused, or the job has a fault; nothing of the job is stored.
        """
        result: T = await self._jobs.do(job)
        return result

    def close(self) -> None:
        """Take no more jobs; `run` ends when those that wait are done."""
        self._closing = True
        self._jobs.close()

    async def run_beside(self) -> None:
        """Keep the log short, until cancelled."""
        while True:
            await self._much.wait()
            self._much = anyio.Event()
            async with self._moving:
                await anyio.to_thread.run_sync(self._move)

    def _move(self) -> None:
        try:
            self._beside.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except sqlite3.Error as error:
            logger.warning("the log of the database cannot be shortened: %s", error)

    async def _commit(self, jobs: Sequence[Entry[Job, Any]]) -> int:
        if self._log_size() >= self._most:
            async with self._moving:  # one that has begun: the disk is slower than what comes
                pass
        try:
            with self._precedence.urgent():
                await anyio.to_thread.run_sync(self._write, jobs, limiter=self._one_at_a_time)
        except _Locked as error:
            if self._closing:
                for job in jobs:
                    job.error = StoreFailed(str(error))
                return len(jobs)
            if not self._locked:
                logger.warning("another program keeps the database locked; writing waits")
            self._locked = True
            await anyio.sleep(_PAUSE_SECONDS)
            self._jobs.poke()
            return 0
        self._locked = False
        if self._most * 3 // 4 <= self._log_size() < self._most:
            self._much.set()
        return len(jobs)

    def _log_size(self) -> int:
        try:
            return os.stat(self._log).st_size
        except OSError:  # somebody has moved it
            return 0

    def _write(self, jobs: Sequence[Entry[Job, Any]]) -> None:
        try:
            self._write_together(jobs)
        except sqlite3.Error as error:
            end_statements(error)
            if _code(error) == sqlite3.SQLITE_BUSY:  # at the beginning of the transaction
                raise _Locked(str(error)) from None
            if len(jobs) == 1:
                jobs[0].error = failure(error)
                return
            for job in jobs:  # one that is too big for the disk is not to fail the others
                job.error = job.result = None
                self._write_alone(job)

    def _write_alone(self, job: Entry[Job, Any]) -> None:
        try:
            self._write([job])
        except _Locked as error:  # since the others are done already
            job.error = StoreFailed(str(error))

    def _write_together(self, jobs: Sequence[Entry[Job, Any]]) -> None:
        with Transaction(self._db, "IMMEDIATE"):
            for job in jobs:
                self._db.execute("SAVEPOINT job")
                try:
                    job.result = job.work(self._db)
                except sqlite3.Error:
                    raise
                except Exception as error:  # noqa: BLE001  # the job's alone, whatever it is
                    job.error = error if isinstance(error, RpcError) else unforeseen(error)
                    end_statements(error)
                    self._db.execute("ROLLBACK TO job")
                self._db.execute("RELEASE job")


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def end_statements(error: Exception) -> None:
    """End those that an error has interrupted.

    The frames in its traceback have them, and as long as one has not ended its connection sees the
    file as it was then, also in transactions that begin later.
    """
    clear_frames(error.__traceback__)


def failure(error: sqlite3.Error) -> StoreFailed:
    """The error for who asked."""
    if _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreDamaged(str(error))
    return StoreFailed(str(error))
