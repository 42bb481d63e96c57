"""Group commit: what many tasks want written while one commit runs goes into the next one."""

import logging
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Literal, TypeVar

import anyio

logger = logging.getLogger("jsonrpc_iot.novacloud")

W = TypeVar("W")
R = TypeVar("R")


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


class Entry(Generic[W, R]):
    """Work that waits for its commit, and what came of it once `done` is set."""

    __slots__ = ("done", "error", "result", "work")

    def __init__(self, work: W) -> None:
        self.work = work
        self.done = anyio.Event()
        self.result: R
        self.error: Exception | None = None


class GroupCommit(Generic[W, R]):
    """Has the work of many tasks committed together, in the order in which it came.

    Args:
        commit: commits a group; gives each entry its result or error, and says how many of them,
            the first ones, are dealt with. The others wait on, until more work comes or `poke`.
        closed: makes the error of work that comes too late, or cannot be done before the end.
        most: entries of one group; any number by default.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[Entry[W, R]]], Awaitable[int]],
        closed: Callable[[], Exception],
        most: int | None = None,
    ) -> None:
        self._commit = commit
        self._closed = closed
        self._most = most
        self._waiting: list[Entry[W, R]] = []
        self._wake = anyio.Event()
        self._is_poked = False
        self._closing = False

    @property
    def is_awaited(self) -> bool:
        """Whether work waits for a commit that has not begun."""
        return bool(self._waiting)

    async def do(self, work: W) -> R:
        """Have something committed; returns what came of it, or raises its error.

        Whoever stops waiting before the commit has begun has asked for nothing.
        """
        if self._closing:
            raise self._closed()
        entry: Entry[W, R] = Entry(work)
        self._waiting.append(entry)
        self._wake.set()
        try:
            await entry.done.wait()
        except BaseException:
            if entry in self._waiting:
                self._waiting.remove(entry)
            raise
        if entry.error is not None:
            raise entry.error
        return entry.result

    def poke(self) -> None:
        """Commit soon, also where nothing waits: there is something else to write."""
        self._is_poked = True
        self._wake.set()

    def close(self) -> None:
        """Take no more work; `run` ends when what waits is dealt with, as far as it can be."""
        self._closing = True
        self._wake.set()

    async def run(self) -> None:
        """Commit until `close`, also when all around is cancelled."""
        try:
            with anyio.CancelScope(shield=True):
                while not self._closing:
                    await self._wake.wait()
                    self._wake = anyio.Event()
                    while self._waiting or self._is_poked:
                        if not await self._commit_group():
                            break
        finally:
            self._closing = True
            for entry in self._waiting:
                entry.error = self._closed()
                entry.done.set()

    async def _commit_group(self) -> bool:
        """Commit what waits, as far as it may; returns whether it is worth going on."""
        self._is_poked = False
        group = self._waiting[: self._most]
        del self._waiting[: self._most]
        try:
            count = await self._commit(group)
        except Exception as error:
            logger.exception("a fault of the program: a group is not committed")
            count = len(group)
            for entry in group:
                entry.error = entry.error or error
        for entry in group[:count]:
            entry.done.set()
        self._waiting[:0] = group[count:]
        return count == len(group) or self._is_poked
