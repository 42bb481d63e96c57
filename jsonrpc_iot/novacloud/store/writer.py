"""One thread that writes to SQLite, and commits whatever has come together in one transaction."""

import logging
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Generic, Literal, TypeVar

import anyio
import anyio.to_thread

from jsonrpc_iot import RpcError

from ..errors import StoreFailed

T = TypeVar("T")

logger = logging.getLogger("jsonrpc_iot.novacloud")

_MUCH = 5000
"""Changed rows after which the log is moved into the file."""


class Transaction:
    """Commits what the block does, or takes all of it back.

    Args:
        db: in autocommit mode.
        kind: `IMMEDIATE` to write; `DEFERRED` to read, all of it as it was at one moment.
    """

    def __init__(self, db: sqlite3.Connection, kind: Literal["IMMEDIATE", "DEFERRED"]) -> None:
        self._db = db
        self._kind = kind

    def __enter__(self) -> None:
        self._db.execute(f"BEGIN {self._kind}")

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            try:
                self._db.execute("COMMIT")
                return
            except sqlite3.Error:
                self._roll_back()
                raise
        self._roll_back()

    def _roll_back(self) -> None:
        if self._db.in_transaction:  # some failures, as that of a full disk, have done it already
            self._db.execute("ROLLBACK")


class _Job(Generic[T]):
    """Something to write, and what came of it once `done` is set."""

    __slots__ = ("done", "error", "result", "run")

    def __init__(self, run: Callable[[sqlite3.Connection], T]) -> None:
        self.run = run
        self.done = anyio.Event()
        self.result: T | None = None
        self.error: RpcError | None = None


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
        self._jobs: list[_Job[Any]] = []
        self._wake = anyio.Event()
        self._closing = False

    async def do(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run a job; returns what it returns once that is committed.

        Raises:
            RpcError: the job's own; nothing of the job is stored.
            StoreFailed: SQLite refused; nothing of the job is stored.
        """
        if self._closing:
            raise StoreFailed("the store is closed")
        waiting: _Job[T] = _Job(job)
        self._jobs.append(waiting)
        self._wake.set()
        await waiting.done.wait()
        if waiting.error is not None:
            raise waiting.error
        return waiting.result  # type: ignore[return-value]  # a job without an error has one

    def close(self) -> None:
        """Take no more jobs; `run` ends when those that wait are done."""
        self._closing = True
        self._wake.set()

    async def run(self) -> None:
        """Write until `close`."""
        one_at_a_time = anyio.CapacityLimiter(1)
        while True:
            await self._wake.wait()
            self._wake = anyio.Event()
            while self._jobs:
                jobs, self._jobs = self._jobs, []
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(self._commit, jobs, limiter=one_at_a_time)
                for job in jobs:
                    job.done.set()
                if self._db.total_changes - self._moved >= _MUCH:
                    self._much.set()
            if self._closing:
                return

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

    def _commit(self, jobs: Sequence[_Job[Any]]) -> None:
        try:
            self._commit_together(jobs)
        except sqlite3.Error as error:
            if len(jobs) == 1:
                jobs[0].error = StoreFailed(str(error))
                return
            for job in jobs:  # one that is too big for the disk is not to fail the others
                job.error = job.result = None
                self._commit([job])

    def _commit_together(self, jobs: Sequence[_Job[Any]]) -> None:
        with Transaction(self._db, "IMMEDIATE"):
            for job in jobs:
                self._db.execute("SAVEPOINT job")
                try:
                    job.result = job.run(self._db)
                except RpcError as error:
                    job.error = error
                    self._db.execute("ROLLBACK TO job")
                self._db.execute("RELEASE job")
