"""Where values go: many rows at once, in the order in which they come.

The `sqlite3` module gives up Python's lock around every step of a statement, and a busy event loop
takes its time to return it. One statement for hundreds of rows has to ask for it once.
"""

import sqlite3
from collections.abc import Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import msgspec

from ..telemetry_log import AHEAD_SECONDS, Report

MICROSECONDS = 1_000_000
_SET_BACK = int(AHEAD_SECONDS * MICROSECONDS)  # from here on not load, but another time of day
_CHUNKS = (512, 32, 1)
_INSERTS = [
    {
        size: f"INSERT OR REPLACE INTO fresh_{place} VALUES "
        + ", ".join(["(?, ?, ?, ?, ?)"] * size)
        for size in _CHUNKS
    }
    for place in (0, 1)
]
_SENSOR = itemgetter(1)

Row = tuple[int, int, float, int, Any]
"""Part, sensor, timestamp, delay and value, as the tables have them."""


class FreshTables:
    """The two tables that values arrive in, one of which is in use.

    Attributes:
        place: which one, 0 or 1.
        groups: commits that are in it.
        rows: values that are in it, long ones counted several times.
        last: the number of the last group.
    """

    def __init__(self) -> None:
        self.place = 0
        self.groups = 0
        self.rows = 0
        self.last = 0
        self._received = 0

    def load(self, db: sqlite3.Connection, last: int = 0) -> None:
        """Go on where the file's last user stopped, behind a group if none in the file is later."""
        found = [_groups_in(db, place) for place in (0, 1)]
        self.place = int(found[1] > found[0])
        newest, self.groups = max(found)
        self.last = max(newest, last)
        self.rows = 0

    def turn(self) -> None:
        """Use the other one, which is empty, from now on."""
        self.place ^= 1
        self.groups = self.rows = 0

    def insert(self, db: sqlite3.Connection, reports: Sequence[Report]) -> None:
        """Add the values of reports, except those of sensors that are gone."""
        found: list[tuple[int, float, int, Any]] = []
        for report in reports:
            if report.values:
                timestamp = report.timestamp
                received = int(report.received * MICROSECONDS)
                if self._received - received < _SET_BACK:
                    received = max(self._received + 1, received)
                self._received = received
                delay = received - int(timestamp * MICROSECONDS)
                found += [
                    (sensor, timestamp, delay, to_sql(value)) for sensor, value in report.values
                ]
        if not found:
            return
        gone = _gone(db, {row[0] for row in found})
        self.add(db, [row for row in found if row[0] not in gone] if gone else found)

    def add(self, db: sqlite3.Connection, values: Sequence[tuple[int, float, int, Any]]) -> None:
        """Add values as one group: sensor, timestamp, delay and value of each."""
        self.last += 1
        part = self.last
        rows: list[Row] = [(part, *value) for value in values]
        rows.sort(key=_SENSOR)  # neighbours in the table one after the other
        start = 0
        for size in _CHUNKS:
            text = _INSERTS[self.place][size]
            while len(rows) - start >= size:
                db.execute(text, tuple(chain.from_iterable(rows[start : start + size])))
                start += size
        self.groups += 1
        self.rows += sum(1 + len(row[4]) // 64 if _is_long(row[4]) else 1 for row in rows)


def _groups_in(db: sqlite3.Connection, place: int) -> tuple[int, int]:
    """The last part of a table, and about how many there are. One that is damaged is not used."""
    try:
        first, last = (
            db.execute(f"SELECT {which}(part) FROM fresh_{place}").fetchone()[0] or 0
            for which in ("min", "max")
        )
    except sqlite3.DatabaseError:
        return 0, 0
    return last, last - first + (last > 0)


def _is_long(value: Any) -> bool:
    return isinstance(value, str | bytes)


def _gone(db: sqlite3.Connection, sensors: set[int]) -> set[int]:
    found = db.execute(
        "SELECT value FROM json_each(?) WHERE value NOT IN (SELECT id FROM sensors)",
        (msgspec.json.encode(list(sensors)).decode(),),
    )
    return {id for (id,) in found}


def to_sql(value: Any) -> int | float | str | bytes:
    """A value as the tables have it."""
    if type(value) in (float, int, str):
        return value  # type: ignore[no-any-return]
    return msgspec.json.encode(value)


def from_sql(value: Any) -> Any:
    """A value as it was reported."""
    return msgspec.json.decode(value) if isinstance(value, bytes) else value
