"""The partitions of values: one for each week, one for all before the first, one for all after.

There are no gaps, whatever clock a device goes by. Which weeks there are `weeks` decides.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from .pools import Db

WEEK = 7 * 86_400.0
COLUMNS = "sensor, timestamp, received, whole, number, content"


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


async def make(db: Db, new: Weeks) -> None:
    """Make the first ones."""
    await _make(db, range(new.first, new.end))
    await _attach(db, _bounds(new))


async def reshape(db: Db, old: Weeks, new: Weeks) -> None:
    """Have partitions for other weeks; those before the first new one are dropped.

    What is before or after them all is looked through where its bound changes; it is little.

    Args:
        db: in a transaction that has locked the table.
        old: the weeks that have partitions.
        new: those that are to have; they end no sooner than the old ones.
    """
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
                f"AND timestamp < {(some[-1] + 1) * WEEK} RETURNING {COLUMNS}) "
                f"INSERT INTO telemetry ({COLUMNS}) SELECT * FROM moved"
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
