"""One thread that writes to the store's file, and one beside it that keeps the log short."""

import logging
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import anyio
import anyio.to_thread

from jsonrpc_iot import RpcError

from ..errors import StoreFailed
from ..group_commit import Entry, GroupCommit, Transaction

T = TypeVar("T")
Job: TypeAlias = Callable[[sqlite3.Connection], Any]

logger = logging.getLogger("jsonrpc_iot.novacloud")

_MUCH = 5000
"""Changed rows after which the log is moved into the file."""


class Writer:
    """Runs jobs on a connection that nobody else uses.

    Args:
        db: in autocommit mode, and not bound to a thread.
        beside: a connection for moving what was committed from the log into the file, while the
            next group is written. Were it done by the writer, now and then one would wait for it.
    """

    def __init__(self, db: sqlite3.Connection, beside: sqlite3.Connection) -> None:
        self._db = db
        self._beside = beside
        self._moved = 0
        self._much = anyio.Event()
        self._one_at_a_time = anyio.CapacityLimiter(1)
        self._jobs: GroupCommit[Job, Any] = GroupCommit(
            self._commit, lambda: StoreFailed("the store is closed")
        )
        self.run = self._jobs.run
        self.close = self._jobs.close

    async def do(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run a job; returns what it returns once that is committed.

        Raises:
            RpcError: the job's own; nothing of the job is stored.
            StoreFailed: SQLite refused; nothing of the job is stored.
        """
        result: T = await self._jobs.do(job)
        return result

    async def run_beside(self) -> None:
        """Keep the log short, until cancelled."""
        while True:
            await self._much.wait()
            self._moved = self._db.total_changes
            self._much = anyio.Event()
            await anyio.to_thread.run_sync(self._move)

    def _move(self) -> None:
        try:
            self._beside.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except sqlite3.Error as error:
            logger.warning("the log of the database cannot be shortened: %s", error)

    async def _commit(self, jobs: Sequence[Entry[Job, Any]]) -> int:
        await anyio.to_thread.run_sync(self._write, jobs, limiter=self._one_at_a_time)
        if self._db.total_changes - self._moved >= _MUCH:
            self._much.set()
        return len(jobs)

    def _write(self, jobs: Sequence[Entry[Job, Any]]) -> None:
        try:
            self._write_together(jobs)
        except sqlite3.Error as error:
            if len(jobs) == 1:
                jobs[0].error = StoreFailed(str(error))
                return
            for job in jobs:  # one that is too big for the disk is not to fail the others
                job.error = job.result = None
                self._write([job])

    def _write_together(self, jobs: Sequence[Entry[Job, Any]]) -> None:
        with Transaction(self._db, "IMMEDIATE"):
            for job in jobs:
                self._db.execute("SAVEPOINT job")
                try:
                    job.result = job.work(self._db)
                except RpcError as error:
                    job.error = error
                    self._db.execute("ROLLBACK TO job")
                self._db.execute("RELEASE job")
