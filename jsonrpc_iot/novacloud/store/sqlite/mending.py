"""What is done about damaged pages among what has come: it is kept as far as it can be read.

All that comes is appended to one table, and looked through by every query, so that one bad page of
it would be in everybody's way. A damaged table is emptied into a part, and a new one takes its
place; the pages of the old one lie in the file unused, and are in no backup.
"""

import sqlite3
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence

from msgspec import Struct

from .fresh import FreshTables
from .schema import FRESH_TABLE, VIEW

_MOST_GROUPS = 4096
_SEARCHED = 8  # groups of which each sensor is looked for, which takes long


class Damage(Struct, frozen=True):
    """A damaged table, and what is left of it.

    Args:
        table: its name.
        pieces: the groups that can be read, and the sensors of others that can.
        last: the number of the last group; `None` if it cannot be read, so that none come later.
        lost: groups of which something cannot be read.
    """

    table: str
    pieces: Sequence[tuple[int, int | None]]
    last: int | None
    lost: int


def survey(db: sqlite3.Connection, last: int) -> list[Damage]:
    """Find out which of the two tables are damaged.

    Args:
        db: in no transaction: one that has met damage may write no more.
        last: the number of the last group.
    """
    tables = ("fresh_0", "fresh_1")
    return [_look_through(db, table, last) for table in tables if not _is_sound(db, table)]


def mend(db: sqlite3.Connection, fresh: FreshTables, found: Sequence[Damage]) -> None:
    """Replace damaged tables, and keep what is left of them.

    Args:
        db: in a transaction for writing.
        fresh: is told of it.
        found: by `survey`.
    """
    for damage in found:
        _save(db, damage)
        _replace(db, damage.table)
    fresh.load(db, fresh.last)


def _is_sound(db: sqlite3.Connection, table: str) -> bool:
    try:
        return db.execute(f"PRAGMA quick_check({table})").fetchall() == [("ok",)]
    except sqlite3.DatabaseError:
        return False


def _look_through(db: sqlite3.Connection, table: str, last: int) -> Damage:
    sensors = _sensors(db)
    pieces: list[tuple[int, int | None]] = []
    lost = 0
    groups, has_end = _groups(db, table, last)
    for group in groups:
        if _can_read(db, table, (group, None)):
            pieces.append((group, None))
            continue
        lost += 1
        if lost <= _SEARCHED:
            some = [(group, sensor) for sensor in sensors]
            pieces += [piece for piece in some if _can_read(db, table, piece)]
    return Damage(table, pieces, groups[-1] if has_end else None, max(1, lost))


def _sensors(db: sqlite3.Connection) -> list[int]:
    try:
        return [id for (id,) in db.execute("SELECT id FROM sensors ORDER BY id")]
    except sqlite3.DatabaseError:  # that table is damaged too
        return []


def _groups(db: sqlite3.Connection, table: str, last: int) -> tuple[range, bool]:
    """The numbers that groups may have, one after the other, and whether the last can be read."""
    first = _number(db, f"SELECT min(part) FROM {table}")
    newest = _number(db, f"SELECT max(part) FROM {table}")
    if newest is not None:
        begin = max(1, newest - _MOST_GROUPS) if first is None else first
        return range(begin, newest + 1), True
    if first is None:
        return range(max(1, last - _MOST_GROUPS), last + 1), False

    def cannot_see(end: int) -> bool:
        return _number(db, f"SELECT max(part) FROM {table} WHERE part < {end}") is None

    ends = range(first + 1, first + _MOST_GROUPS)
    end = first + 1 + bisect_left(ends, True, key=cannot_see)
    return range(first, max(end, last + 1)), False


def _number(db: sqlite3.Connection, text: str) -> int | None:
    try:
        (number,) = db.execute(text).fetchone()
    except sqlite3.DatabaseError:
        return None
    return None if number is None else int(number)


def _can_read(db: sqlite3.Connection, table: str, piece: tuple[int, int | None]) -> bool:
    try:
        deque(db.execute("SELECT * " + _piece(table, piece), _values(piece)), maxlen=0)
    except sqlite3.DatabaseError:
        return False
    return True


def _piece(table: str, piece: tuple[int, int | None]) -> str:
    return f"FROM {table} WHERE part = ?" + ("" if piece[1] is None else " AND sensor = ?")


def _values(piece: tuple[int, int | None]) -> list[int]:
    return [number for number in piece if number is not None]


def _save(db: sqlite3.Connection, damage: Damage) -> None:
    """Copy what can be read, and what has come since, into a part."""
    (new,) = db.execute("SELECT ifnull(max(part), 0) + 1 FROM parts").fetchone()
    copy = "INSERT OR REPLACE INTO merged SELECT ?, sensor, timestamp, delay, value "
    for piece in damage.pieces:
        db.execute(copy + _piece(damage.table, piece), [new, *_values(piece)])
    if damage.last is not None:
        db.execute(f"{copy} FROM {damage.table} WHERE part > ?", (new, damage.last))
    db.execute(
        "INSERT INTO parts SELECT part, 1, min(timestamp), max(timestamp), count(*) "
        "FROM merged WHERE part = ? HAVING count(*) > 0",
        (new,),
    )


def _replace(db: sqlite3.Connection, table: str) -> None:
    db.execute("DROP VIEW telemetry")
    db.execute(f"ALTER TABLE {table} RENAME TO damaged")
    db.execute(FRESH_TABLE.format(table))
    db.execute(VIEW)
    # To drop it would be to read all of it.
    db.execute("PRAGMA writable_schema = ON")
    try:
        db.execute("DELETE FROM sqlite_master WHERE name = 'damaged'")
    finally:
        db.execute("PRAGMA writable_schema = RESET")
