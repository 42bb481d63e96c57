"""Which weeks of values have places of their own; the others are in front of them or behind.

Weeks are made ahead, so that no write has to wait for that; they are dropped when all in them is
too old. Where TimescaleDB is there, they are chunks of a hypertable, else partitions.
"""

from . import hypertable, partitions
from .partitions import WEEK, Weeks
from .pools import Db

_AHEAD = 3  # weeks that are there before their time
_BEHIND = 1  # and after it, in a new database
_MOST = 1040  # in all
_LOCK = 0x6E6F766170617274
_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '300ms'"  # those who read and write wait behind us


async def weeks(db: Db) -> Weeks | None:
    """Which weeks have places, `None` where the table of values has none at all."""
    return await hypertable.weeks(db) or await partitions.weeks(db)


async def cover(db: Db, now: float | None = None) -> bool:
    """Have places for this week and the next ones; says whether there was something to do.

    Args:
        db: in a transaction.
        now: the time in Unix seconds, the database's by default.

    Raises:
        asyncpg.LockNotAvailableError: somebody reads or writes for long; nothing was done.
    """
    await db.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
    if now is None:
        now = float(await db.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8"))
    found = await weeks(db)
    this = int(now // WEEK)
    end = this + 1 + _AHEAD
    if found is None:
        await _make(db, Weeks(this - _BEHIND, end))
        return True
    if found.end >= this + 1 + _AHEAD // 2:
        return False
    await _reshape(db, found, Weeks(found.first, end))
    return True


async def drop_before(db: Db, time: float) -> None:
    """Drop the weeks that were over at a time.

    Args:
        db: in a transaction.
        time: in Unix seconds.

    Raises:
        asyncpg.LockNotAvailableError: somebody reads or writes for long; nothing was done.
    """
    await db.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
    found = await weeks(db)
    assert found is not None
    first = min(int(time // WEEK), found.end - 1)
    if first > found.first:
        await _reshape(db, found, Weeks(first, found.end))


async def reach_back(db: Db, time: float) -> None:
    """Have the weeks from a time on, for values that are older than the database.

    Args:
        db: in a transaction.
        time: in Unix seconds; more than twenty years are not gone back.

    Raises:
        asyncpg.LockNotAvailableError: somebody reads or writes for long; nothing was done.
    """
    await db.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
    found = await weeks(db)
    assert found is not None
    first = max(int(time // WEEK), found.end - _MOST)
    if first < found.first:
        await _reshape(db, found, Weeks(first, found.end))


async def _make(db: Db, new: Weeks) -> None:
    schema = await hypertable.extension(db)
    if schema is None:
        await partitions.make(db, new)
    else:
        await hypertable.make(db, schema, new)


async def _reshape(db: Db, old: Weeks, new: Weeks) -> None:
    await db.execute(_LOCK_TIMEOUT)
    await db.execute("LOCK TABLE telemetry IN ACCESS EXCLUSIVE MODE")
    shape = partitions if await hypertable.weeks(db) is None else hypertable
    await shape.reshape(db, old, new)
