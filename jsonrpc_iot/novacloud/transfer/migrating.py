"""Moving all that a SQLite file has into an empty database of PostgreSQL, in one transaction.

So it is all there or nothing is, whenever and however it ends, and then it is begun anew. Until its
end no node can open the database. The file is left as it is.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any, cast

import anyio
import asyncpg
from msgspec import Struct

from ..errors import StoreFailed
from ..store.postgres.failures import FAILURES, failure, shown
from ..store.postgres.migrate import bring_up_to_date
from ..store.postgres.pools import CONNECT_SECONDS, SCHEMA, Db
from ..store.postgres.weeks import reach_back
from .rows import TABLES, Row
from .source import VALUE_COLUMNS, VALUES, Source

ROWS = 20_000
"""Of one step, after which it is told how far it is."""

_STEP_SECONDS = 300.0
_LOCK_SECONDS = 5.0
_CLOSE_SECONDS = 5.0
_FILLED = (
    *(table.name for table in TABLES if table.name not in ("downsampled", "settled")),
    VALUES,
)
# What a platform may have left in a database without devices: numbers of sensors that are no more.
_CLEARED = ("doomed", "downsampled", "settled")
_USES_AT_ONCE = 65_536  # of outboxes; see `store/postgres/writing`


class NotEmpty(StoreFailed):
    """The database has something of NovaCloud already."""


class CountsDiffer(StoreFailed):
    """There are not as many rows in the database as were moved; nothing is there now.

    Args:
        table: where.
        expected: how many were to be there.
        found: how many there were.
    """

    def __init__(self, table: str, expected: int, found: int) -> None:
        super().__init__(f"{table}: {expected} rows were to be there, and {found} were")
        self.data = {"table": table, "expected": expected, "found": found}


class Moved(Struct, frozen=True):
    """What was moved, or would be.

    Args:
        rows: by table.
        left_out: values that cannot be moved.
    """

    rows: dict[str, int]
    left_out: int


async def move(
    source: Source, url: str, progress: Callable[[int], object], *, is_rehearsal: bool = False
) -> Moved:
    """Move all of a file.

    Args:
        source: the file.
        url: of the database.
        progress: is told now and then how many rows are moved.
        is_rehearsal: look whether it can be begun, and move nothing.

    Raises:
        NotEmpty: there are rows of NovaCloud in the database, or a node has it open.
        CountsDiffer: rows were lost on the way.
        StoreDamaged: the file cannot be read to its end.
        StoreFailed: the database is away, another program's, or refused.
    """
    async with _transaction(url, is_rehearsal=is_rehearsal) as db:
        await _begin(db)
        if is_rehearsal:
            return Moved(source.counts, 0)
        if source.begin is not None:
            await reach_back(db, source.begin)
        done = 0
        for name, columns, rows in _parts(source):
            while some := await _copy(db, name, columns, rows):
                done += some
                progress(done)
        for table in TABLES:
            if table.numbers and (last := source.last_number(table)):
                text = "SELECT setval(pg_get_serial_sequence($1, $2), $3)"
                await db.execute(text, f"{SCHEMA}.{table.name}", table.numbers, last)
        uses = source.last_use() // _USES_AT_ONCE + 1
        await db.execute("SELECT setval('outbox_uses', $1)", uses)
        return await _check(db, source)


def _parts(source: Source) -> Iterator[tuple[str, Sequence[str], Iterator[Row]]]:
    for table in TABLES:
        yield table.name, tuple(table.columns), source.rows(table)
    yield VALUES, VALUE_COLUMNS, source.values()


async def _begin(db: Db) -> None:
    """Have the tables in order, and the database for us alone."""
    await db.execute(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'")
    try:
        await bring_up_to_date(db)
        await db.execute("LOCK TABLE nodes, devices IN SHARE ROW EXCLUSIVE MODE")
    except asyncpg.LockNotAvailableError:
        raise NotEmpty("a platform or another nova migrate is at work in the database") from None
    names = await db.fetch("SELECT name FROM nodes WHERE lease_until > now() ORDER BY name")
    if names:
        raise NotEmpty(f"the node {names[0]['name']!r} has the database open")
    filled = [name for name in _FILLED if await db.fetchval(f"SELECT EXISTS (SELECT FROM {name})")]
    if filled:
        raise NotEmpty(f"the database has to be empty, and there are rows in {', '.join(filled)}")
    for name in _CLEARED:
        await db.execute(f"DELETE FROM {name}")
    await db.execute("SET CONSTRAINTS ALL IMMEDIATE")  # else each row is remembered until the end


async def _copy(db: Db, name: str, columns: Sequence[str], rows: Iterator[Row]) -> int:
    """Write some rows, and say how many."""
    some = islice(rows, ROWS)
    done = await db.copy_records_to_table(name, records=some, columns=columns)
    return int(done.rpartition(" ")[2])


async def _check(db: Db, source: Source) -> Moved:
    """Count what is there."""
    found = {}
    for name, count in source.counts.items():
        expected = count - source.left_out if name == VALUES else count
        found[name] = int(await db.fetchval(f"SELECT count(*) FROM {name}"))
        if found[name] != expected:
            raise CountsDiffer(name, expected, found[name])
        await db.execute(f"ANALYZE {name}")
    return Moved(found, source.left_out)


@asynccontextmanager
async def _transaction(url: str, *, is_rehearsal: bool) -> AsyncIterator[Db]:
    """A connection in a transaction, of which nothing remains after an error or a rehearsal."""
    settings = {
        "application_name": "jsonrpc-iot nova migrate",
        "search_path": SCHEMA,
        "jit": "off",
        "statement_timeout": "0",
        "idle_in_transaction_session_timeout": "0",
    }
    try:
        # Not from a pool, whose connections write texts in a way that COPY does not know.
        connection = await asyncpg.connect(
            url, timeout=CONNECT_SECONDS, command_timeout=_STEP_SECONDS, server_settings=settings
        )
    except FAILURES as error:
        raise failure(error, url) from None
    except ValueError as error:
        raise StoreFailed(f"{shown(url)}: {error}") from None
    try:
        transaction = connection.transaction()
        await transaction.start()
        yield cast(Any, connection)
        if is_rehearsal:
            await transaction.rollback()
        else:
            await transaction.commit()
    except FAILURES as error:
        raise failure(error, url) from None
    finally:  # which takes back what is not committed
        with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
            await connection.close()
        connection.terminate()
