"""The partitions of values: one for each week, one for all before the first, one for all after.

There are no gaps, whatever clock a device goes by. Weeks are made ahead, so that no write has to
wait for that; they are dropped when all in them is too old.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from .pools import Db

WEEK = 7 * 86_400.0
_AHEAD = 3  # weeks that are there before their time
_BEHIND = 1  # and after it, in a new database
_MOST = 1040  # in all
_COLUMNS = "sensor, timestamp, received, whole, number, content"
_LOCK = 0x6E6F766170617274
_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '300ms'"  # those who read and write wait behind us


class Weeks(Struct, frozen=True):
    """The weeks that have partitions, by their numbers since 1970: from `first` to before `end`."""

    first: int
    end: int


def _name(week: int) -> str:
    return f"telemetry_{week}"


async def weeks(db: Db) -> Weeks | None:
    """Which weeks have partitions, `None` where there are no partitions at all."""
    rows = await db.fetch(
        "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid "
        "WHERE inhparent = 'telemetry'::regclass"
    )
    numbers = [int(name.removeprefix("telemetry_")) for (name,) in rows if name[-1].isdigit()]
    return Weeks(min(numbers), max(numbers) + 1) if numbers else None


async def cover(db: Db, now: float | None = None) -> bool:
    """Make the partitions of this week and the next ones; says whether there was something to do.

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
        await _make(db, range(this - _BEHIND, end))
        await _attach(db, _bounds(Weeks(this - _BEHIND, end)))
        return True
    if found.end >= this + 1 + _AHEAD // 2:
        return False
    await reshape(db, found, Weeks(found.first, end))
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
        await reshape(db, found, Weeks(first, found.end))


async def reach_back(db: Db, time: float) -> None:
    """Make the weeks from a time on, for values that are older than the database.

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
        await reshape(db, found, Weeks(first, found.end))


async def reshape(db: Db, old: Weeks, new: Weeks) -> None:
    """Have partitions for other weeks; those before the first new one are dropped.

    What is before or after them all is looked through where its bound changes; it is little.

    Args:
        db: in a transaction.
        old: the weeks that have partitions.
        new: those that are to have; they end no sooner than the old ones.
    """
    await db.execute(_LOCK_TIMEOUT)
    await db.execute("LOCK TABLE telemetry IN ACCESS EXCLUSIVE MODE")
    changed = _bounds(new).items() - _bounds(old).items()
    for side, _ in changed:
        await db.execute(f"ALTER TABLE telemetry DETACH PARTITION telemetry_{side}")
    for week in range(old.first, min(new.first, old.end)):
        await db.execute(f"DROP TABLE {_name(week)}")
    made = [*range(new.first, old.first), *range(max(old.end, new.first), new.end)]
    await _make(db, made)
    for side, some in (("past", range(new.first, old.first)), ("future", range(old.end, new.end))):
        if some:
            await db.execute(
                f"WITH moved AS (DELETE FROM telemetry_{side} WHERE timestamp >= {some[0] * WEEK} "
                f"AND timestamp < {(some[-1] + 1) * WEEK} RETURNING {_COLUMNS}) "
                f"INSERT INTO telemetry ({_COLUMNS}) SELECT * FROM moved"
            )
    await _attach(db, dict(changed))


async def _make(db: Db, numbers: Sequence[int]) -> None:
    for week in numbers:
        await db.execute(
            f"CREATE TABLE {_name(week)} PARTITION OF telemetry "
            f"FOR VALUES FROM ({week * WEEK}) TO ({(week + 1) * WEEK})"
        )


def _bounds(found: Weeks) -> dict[str, str]:
    """The bounds of what is before and after all weeks."""
    return {
        "past": f"FROM (MINVALUE) TO ({found.first * WEEK})",
        "future": f"FROM ({found.end * WEEK}) TO (MAXVALUE)",
    }


async def _attach(db: Db, sides: Mapping[str, str]) -> None:
    for side, bounds in sides.items():
        await db.execute(f"CREATE TABLE IF NOT EXISTS telemetry_{side} (LIKE telemetry)")
        await db.execute(
            f"ALTER TABLE telemetry ATTACH PARTITION telemetry_{side} FOR VALUES {bounds}"
        )
