"""Connections to PostgreSQL: few, kept, and apart by purpose, so that nobody holds others up.

A device that wants to be let in waits for no report; see `Purpose`. Where the server is away, who
asks is refused at once, and a new connection is tried after a pause that grows.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, Literal, Self, TypeAlias, TypeVar

import anyio
import asyncpg
from asyncpg.pool import PoolConnectionProxy
from msgspec import Struct

from jsonrpc_iot import RpcError

from ...errors import StoreFailed, unforeseen
from ...undisturbed import Undisturbed
from .. import texts
from .failures import AGAIN, FAILURES, GONE, failure, shown

T = TypeVar("T")
Db: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"
Rows: TypeAlias = "list[asyncpg.Record]"
Purpose: TypeAlias = Literal["lookups", "writes", "reports", "lease", "presence", "upkeep"]

SCHEMA = "novacloud"
CONNECT_SECONDS = 5.0
SLACK_SECONDS = 2.0  # that an answer may take beyond the server's own limit
_IDLE_SECONDS = 3.0  # in a transaction, as that of a node that was stopped: others wait for it
_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
_ATTEMPTS = 5
# Where TimescaleDB is there: a group of reports may be for any number of old values.
_NO_LIMIT = (
    "SELECT set_config(name, '0', FALSE) FROM pg_settings "
    "WHERE name = 'timescaledb.max_tuples_decompressed_per_dml_transaction'"
)
_EXPECTED: tuple[type[Exception], ...] = (RpcError, *FAILURES)


class Limits(Struct, frozen=True):
    """How many connections there are for a purpose, and seconds that a statement may take."""

    connections: int
    seconds: float


LIMITS: dict[Purpose, Limits] = {
    "lookups": Limits(4, 10.0),
    "writes": Limits(3, 15.0),
    "reports": Limits(2, 60.0),
    "lease": Limits(1, 2.0),  # of a node, which is over when that takes too long
    "presence": Limits(3, 3.0),
    "upkeep": Limits(2, 300.0),
}


class Pools:
    """Connections for each purpose.

    An `async with` block opens and closes them.

    Args:
        url: `postgresql://user:password@host:port/database`, with options as libpq has them.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._pools: dict[Purpose, asyncpg.Pool[asyncpg.Record]] = {}
        self._places: dict[Purpose, anyio.Semaphore] = {}
        self._undisturbed = Undisturbed()
        self._stack = AsyncExitStack()
        self._refused_until = 0.0
        self._pause = 0.0
        self._problem = ""

    async def __aenter__(self) -> Self:
        """Open them.

        Raises:
            StoreFailed: the database cannot be reached, or the event loop is not asyncio's.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            raise StoreFailed(f"{shown(self.url)}: PostgreSQL needs asyncio, not trio") from None
        async with AsyncExitStack() as stack:
            try:
                for purpose, limits in LIMITS.items():
                    pool = await self._pool(limits)
                    stack.push_async_callback(self._close, pool)
                    self._pools[purpose] = pool
                    self._places[purpose] = anyio.Semaphore(limits.connections)
            except FAILURES as error:
                raise failure(error, self.url) from None
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        with anyio.CancelScope(shield=True):
            await self._undisturbed.settle()
            await self._stack.aclose()

    async def fetch(self, text: str, *values: Any, purpose: Purpose = "lookups") -> Rows:
        """Read with one statement; once more where a connection turns out to be lost.

        Raises:
            StoreFailed: it cannot be read.
        """
        for attempt in range(2):
            try:
                async with self.use(purpose) as db:
                    return await db.fetch(text, *values)
            except FAILURES as error:
                if attempt or not _is_lost(error):
                    raise failure(error, self.url) from None
        raise AssertionError("unreachable")

    async def row(self, text: str, *values: Any) -> asyncpg.Record | None:
        """The first row of `fetch`, if there is any."""
        rows = await self.fetch(text, *values)
        return rows[0] if rows else None

    async def change(self, text: str, *values: Any) -> Rows:
        """Change something with one statement, and return what it returns.

        Raises:
            StoreFailed: it is not done; or it is, where the connection was lost at its end.
        """
        return await self.transact(lambda db: db.fetch(text, *values), is_one_statement=True)

    async def transact(
        self,
        work: Callable[[Db], Awaitable[T]],
        *,
        purpose: Purpose = "writes",
        is_one_statement: bool = False,
    ) -> T:
        """Do something in one transaction, again where another one was in the way.

        What has begun is not cancelled.

        Args:
            work: does it; may be called several times.
            purpose: whose connections to use.
            is_one_statement: it needs no transaction around it.

        Raises:
            StoreFailed: it is not done; or it is, where the connection was lost at its end.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                async with self.use(purpose) as db:
                    with anyio.CancelScope(shield=True):
                        if is_one_statement:
                            return await work(db)
                        async with db.transaction():
                            return await work(db)
            except AGAIN as error:
                if attempt == _ATTEMPTS:
                    raise failure(error, self.url) from None
            except FAILURES as error:
                raise failure(error, self.url) from None
        raise AssertionError("unreachable")

    @asynccontextmanager
    async def lend(self, purpose: Purpose) -> AsyncIterator[Db]:
        """A connection for a block, in which `StoreFailed` is raised in place of other errors."""
        try:
            async with self.use(purpose) as db:
                yield db
        except FAILURES as error:
            raise failure(error, self.url) from None

    @asynccontextmanager
    async def use(self, purpose: Purpose) -> AsyncIterator[Db]:
        """A connection for a while.

        Raises:
            StoreFailed: the server was away a moment ago.
        """
        async with self._places[purpose]:
            self._check()  # after those who were before us, who may have found it silent
            pool = self._pools[purpose]
            try:
                db = await self._undisturbed.wait_for(_acquired(pool), partial(_release, pool))
            except FAILURES as error:
                if pool.is_closing():
                    raise StoreFailed("the store is closed") from None
                self._refuse(error)
                raise
            try:
                yield db
                self._pause = 0.0
            except TimeoutError as error:
                self._refuse(error)
                raise
            except _EXPECTED:
                raise
            except Exception as error:  # noqa: BLE001  # it is logged
                if db.is_closed():  # asyncpg trips over what ends between two of its steps
                    raise asyncpg.InterfaceError(str(error)) from None
                raise unforeseen(error) from None
            finally:
                with anyio.CancelScope(shield=True):
                    await _release(pool, db)

    def _check(self) -> None:
        if asyncio.get_running_loop().time() < self._refused_until:
            raise StoreFailed(self._problem)

    def _refuse(self, error: Exception) -> None:
        """Have all who ask refused for a moment: many wait, and the server is away."""
        self._pause = min(2 * self._pause or _PAUSE, _LONGEST_PAUSE)
        self._refused_until = asyncio.get_running_loop().time() + self._pause
        self._problem = failure(error, self.url).message

    def _pool(self, limits: Limits) -> "asyncpg.Pool[asyncpg.Record]":
        settings = {
            "application_name": "jsonrpc-iot NovaCloud",
            "jit": "off",  # it takes longer than what we ask
            "search_path": SCHEMA,
            "statement_timeout": f"{limits.seconds * 1000:.0f}",
            "idle_in_transaction_session_timeout": f"{_IDLE_SECONDS * 1000:.0f}",
        }
        try:
            return asyncpg.create_pool(
                self.url,
                min_size=0,
                max_size=limits.connections,
                timeout=CONNECT_SECONDS,
                command_timeout=limits.seconds + SLACK_SECONDS,
                server_settings=settings,
                init=_prepare,
                reset=_reset,
            )
        except ValueError as error:
            raise StoreFailed(f"{shown(self.url)}: {error}") from None

    @staticmethod
    async def _close(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        with anyio.move_on_after(CONNECT_SECONDS, shield=True):
            await pool.close()
            return
        pool.terminate()


async def _prepare(db: "asyncpg.Connection[asyncpg.Record]") -> None:
    await db.set_type_codec(
        "text", schema="pg_catalog", encoder=texts.to_sql, decoder=texts.from_sql
    )
    await db.execute(_NO_LIMIT)


async def _reset(db: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Nothing is set but in transactions; one that was cancelled may be open."""
    if db.is_in_transaction():
        await db.execute("ROLLBACK")


async def _acquired(pool: "asyncpg.Pool[asyncpg.Record]") -> Db:
    return await pool.acquire()


async def _release(pool: "asyncpg.Pool[asyncpg.Record]", db: Db) -> None:
    try:
        await pool.release(db, timeout=SLACK_SECONDS)
    except FAILURES:  # it is lost, and not used again
        db.terminate()


def _is_lost(error: Exception) -> bool:
    return isinstance(error, (*GONE, asyncpg.InterfaceError)) and not isinstance(
        error, TimeoutError
    )
