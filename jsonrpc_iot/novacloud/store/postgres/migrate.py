"""Brings the tables of a database up to date, and refuses a database that is not ours.

All is in a schema of its own, whose table `migrations` has a row for each file in `migrations/`
that the database has behind it. Nodes that start together wait for each other.
"""

from importlib.resources import files

from ...errors import StoreFailed
from .pools import SCHEMA, Db, Pools
from .weeks import cover

_LOCK = 0x6E6F7661636C6F75  # an advisory lock of this number: "novaclou"
_TABLE = (
    "CREATE TABLE IF NOT EXISTS migrations "
    "(number int PRIMARY KEY, name text NOT NULL, at timestamptz NOT NULL DEFAULT now())"
)


def migrations() -> dict[int, tuple[str, str]]:
    """The name and text of each, by their numbers."""
    found = sorted(
        (file.name, file.read_text("utf-8"))
        for file in (files(__package__) / "migrations").iterdir()
        if file.name.endswith(".sql")
    )
    return {int(name.partition("_")[0]): (name, text) for name, text in found}


async def migrate(pools: Pools) -> None:
    """Make the tables of an empty database, or bring those of an older version up to date.

    Raises:
        StoreFailed: the database is another program's, of a newer version than this program, of an
            encoding other than UTF-8, or the user may not make tables.
    """
    await pools.transact(bring_up_to_date, purpose="upkeep")


async def bring_up_to_date(db: Db) -> None:
    """The same in a transaction, at whose end others go on that do so too.

    Raises:
        StoreFailed: see `migrate`.
        asyncpg.PostgresError: the user may not make tables.
    """
    await db.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
    encoding = await db.fetchval("SHOW server_encoding")
    if encoding != "UTF8":
        raise StoreFailed(f"the database has the encoding {encoding}; it has to be UTF8")
    known = migrations()
    done = await _done(db)
    if done - known.keys():
        raise StoreFailed(f"the database has version {max(done)}; this program knows {max(known)}")
    if not done:
        await db.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
        await db.execute(_TABLE)
    for number, (name, text) in known.items():
        if number not in done:
            await db.execute(text)
            await db.execute("INSERT INTO migrations (number, name) VALUES ($1, $2)", number, name)
    if not done:
        await cover(db)


async def _done(db: Db) -> set[int]:
    """The numbers of the migrations that the database has behind it."""
    rows = await db.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", SCHEMA)
    tables = {row["tablename"] for row in rows}
    if not tables:
        return set()
    if not {"migrations", "devices"} <= tables:
        raise StoreFailed(f"the schema {SCHEMA} of the database is another program's")
    return {row["number"] for row in await db.fetch("SELECT number FROM migrations")}
