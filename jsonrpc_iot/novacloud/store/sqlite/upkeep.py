"""What keeps the tables of values in shape: sorting what has come into parts, and deleting.

Each function does a little and says whether or where to go on, so that writers never wait for long.
None may run while another one of them is not through: a value that is deleted between two steps of
a merge would come back.
"""

import sqlite3
from collections.abc import Sequence
from time import perf_counter

from msgspec import Struct
from msgspec.structs import replace

from .fresh import FreshTables
from .runs import groups_of

GROUPS = 256
ROWS = 200_000
"""In a table of what has come, from which on it is merged into a part."""

FAN = 16
SLICE_ROWS = 10_000
SLICE_SECONDS = 0.02

_COPY = (
    "INSERT OR REPLACE INTO merged SELECT :new, sensor, timestamp, delay, value FROM {} "
    "AND sensor >= :low AND sensor < :high ORDER BY sensor, timestamp, delay"
)
_FROM_MERGED = _COPY.format("merged WHERE part IN (SELECT value FROM json_each(:parts))")


class Merge(Struct, frozen=True):
    """A merge that is under way.

    Args:
        new: the part that it makes.
        level: of that part.
        place: which table of what has come it empties, `None` when it merges parts.
        parts: that it merges.
        low: the first sensor that is not copied yet.
        high: the last one.
        step: sensors of one slice.
    """

    new: int
    level: int
    place: int | None
    parts: str
    low: int
    high: int
    step: int


def begin_merge(db: sqlite3.Connection, fresh: FreshTables) -> Merge | None:
    """Begin the most urgent merge, `None` where there is none to do."""
    other = f"fresh_{1 - fresh.place}"
    if db.execute(f"SELECT 1 FROM {other} LIMIT 1").fetchone() is None:
        if fresh.groups < GROUPS and fresh.rows < ROWS:
            return _begin_parts(db)
        other = f"fresh_{fresh.place}"
        fresh.turn()
    place = 1 - fresh.place
    count, low, high = db.execute(
        f"SELECT count(*), min(sensor), max(sensor) FROM {other}"
    ).fetchone()
    step = max(1, (high - low + 1) * SLICE_ROWS // count)
    return Merge(_new_part(db), 1, place, "[]", low, high, step)


def _begin_parts(db: sqlite3.Connection) -> Merge | None:
    row = db.execute(
        "SELECT level, sum(count), json_group_array(part) FROM parts "
        "WHERE level > 0 AND count < ? GROUP BY level HAVING count(*) >= ? LIMIT 1",
        (ROWS, FAN),
    ).fetchone()
    if row is None:
        return None
    level, count, parts = row
    low, high = db.execute(
        "SELECT min(value), max(value) FROM (SELECT (SELECT min(sensor) FROM merged "
        "WHERE part = run.value) AS value FROM json_each(?1) AS run UNION ALL SELECT "
        "(SELECT max(sensor) FROM merged WHERE part = run.value) FROM json_each(?1) AS run)",
        (parts,),
    ).fetchone()
    if low is None:
        low = high = 0
    step = max(1, (high - low + 1) * SLICE_ROWS // max(count, 1))
    return Merge(_new_part(db), level + 1, None, parts, low, high, step)


def _new_part(db: sqlite3.Connection) -> int:
    """Announce a part that nobody reads yet."""
    new = db.execute("SELECT ifnull(max(part), 0) + 1 FROM parts").fetchone()[0]
    db.execute("INSERT INTO parts VALUES (?, 0, 0, 0, 0)", (new,))
    return int(new)


def step_merge(db: sqlite3.Connection, merge: Merge) -> Merge | None:
    """Copy a slice, or have the new part take the place of the old ones; returns what is left."""
    if merge.low <= merge.high:
        values = {
            "new": merge.new,
            "parts": merge.parts,
            "low": merge.low,
            "high": merge.low + merge.step,
        }
        if merge.place is None:
            db.execute(_FROM_MERGED, values)
        else:
            table = f"fresh_{merge.place}"
            source = f"groups CROSS JOIN {table} AS each ON each.part = groups.number WHERE TRUE"
            db.execute(f"WITH RECURSIVE {groups_of(table)}" + _COPY.format(source), values)
        return replace(merge, low=merge.low + merge.step)
    if merge.place is None:
        found = db.execute(
            "SELECT min(first), max(last), sum(count) FROM parts "
            "WHERE part IN (SELECT value FROM json_each(?))",
            (merge.parts,),
        ).fetchone()
        db.execute(
            "UPDATE parts SET level = 0 WHERE part IN (SELECT value FROM json_each(?))",
            (merge.parts,),
        )
    else:
        found = db.execute(
            f"SELECT min(timestamp), max(timestamp), count(*) FROM fresh_{merge.place}"
        ).fetchone()
        db.execute(f"DELETE FROM fresh_{merge.place}")
    db.execute(
        "UPDATE parts SET level = ?, first = ?, last = ?, count = ? WHERE part = ?",
        (merge.level, *found, merge.new),
    )
    return None


def dead_parts(db: sqlite3.Connection) -> list[int]:
    """Parts that nobody reads any more."""
    return [part for (part,) in db.execute("SELECT part FROM parts WHERE level = 0")]


def delete_part(db: sqlite3.Connection, part: int) -> bool:
    """Delete some of a part that nobody reads; says whether nothing is left of it."""
    row = db.execute(
        "SELECT sensor, timestamp, delay FROM merged WHERE part = ? "
        "ORDER BY sensor, timestamp, delay LIMIT 1 OFFSET ?",
        (part, SLICE_ROWS),
    ).fetchone()
    if row is not None:
        db.execute(
            "DELETE FROM merged WHERE part = ? AND (sensor, timestamp, delay) < (?, ?, ?)",
            (part, *row),
        )
        return False
    db.execute("DELETE FROM merged WHERE part = ?", (part,))
    db.execute("DELETE FROM parts WHERE part = ?", (part,))
    return True


class Cut(Struct, frozen=True):
    """Values to delete: those of a sensor from a timestamp on up to another, exclusive."""

    sensor: int
    start: float = -1e300
    end: float = 1e300


def runs(db: sqlite3.Connection, first: float, last: float) -> list[tuple[str, int]]:
    """All tables and parts that may have values between two timestamps."""
    found = [
        (f"fresh_{place}", part)
        for place in (0, 1)
        for (part,) in db.execute(
            f"WITH RECURSIVE {groups_of(f'fresh_{place}')}"
            "SELECT number FROM groups WHERE number IS NOT NULL"
        )
    ]
    parts = db.execute(
        "SELECT part FROM parts WHERE level > 0 AND last >= ? AND first < ?", (first, last)
    )
    return [*found, *(("merged", part) for (part,) in parts), ("telemetry_1", 0)]


def delete_cuts(
    db: sqlite3.Connection, run: tuple[str, int], cuts: Sequence[Cut], position: int
) -> int:
    """Delete for a while in one run.

    Args:
        db: where.
        run: a table and part.
        cuts: what.
        position: of the first cut that is not done.

    Returns:
        That after this.
    """
    table, part = run
    began = perf_counter()
    budget = SLICE_ROWS
    while position < len(cuts) and budget > 0 and perf_counter() - began < SLICE_SECONDS:
        deleted = _delete(db, table, part, cuts[position], budget)
        budget -= deleted
        if budget > 0:
            position += 1
    return position


def _delete(db: sqlite3.Connection, table: str, part: int, cut: Cut, most: int) -> int:
    """Delete about so many values; returns how many. As many as that, and there may be more."""
    where = "sensor = ? AND timestamp >= ? AND timestamp < ?"
    values: tuple[float, ...] = (cut.sensor, cut.start, cut.end)
    if table != "telemetry_1":
        where, values = "part = ? AND " + where, (part, *values)
    row = db.execute(
        f"SELECT timestamp FROM {table} WHERE {where} ORDER BY timestamp LIMIT 1 OFFSET ?",
        (*values, most),
    ).fetchone()
    if row is not None:
        where, values = where + " AND timestamp <= ?", (*values, row[0])
    return db.execute(f"DELETE FROM {table} WHERE {where}", values).rowcount


def drop_empty(db: sqlite3.Connection) -> None:
    """Forget parts without values."""
    db.execute(
        "DELETE FROM parts WHERE level > 0 AND NOT EXISTS "
        "(SELECT 1 FROM merged WHERE merged.part = parts.part)"
    )
