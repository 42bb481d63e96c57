"""How long values are kept: the rules, and which values they say are to go."""

import math
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from itertools import groupby
from typing import Any

from msgspec import Struct

from ..means import DAY_SECONDS, EVER, Thinning, mean_of, read_rule, thinnings_of
from ..settled import SettledClock
from ..telemetry_log import Retention
from .fresh import FreshTables
from .runs import rows
from .upkeep import SLICE_ROWS, Cut, delete_cuts, runs

_NOTE_SECONDS = 600.0


class Sweep(Struct, frozen=True):
    """Values that are too old.

    Args:
        rule: that says so.
        cuts: of its sensors.
        end: the time before which they are.
        runs: where they may be.
    """

    rule: tuple[str, str]
    cuts: Sequence[Cut]
    end: float
    runs: Sequence[tuple[str, int]]


def set_rule(db: sqlite3.Connection, rule: Retention) -> None:
    """Add a rule, or replace that for the same device and key."""
    thin = rule.downsample
    db.execute(
        "INSERT OR REPLACE INTO retention VALUES (?, ?, ?, ?, ?, ?)",
        (
            rule.device_id or "",
            rule.value_key or "",
            rule.days,
            thin and thin.interval,
            thin and thin.after_days,
            -EVER,
        ),
    )


def rules(db: sqlite3.Connection) -> list[Retention]:
    """All rules."""
    found = db.execute(
        "SELECT days, device_id, value_key, interval, after_days FROM retention "
        "ORDER BY device_id, value_key"
    )
    return [read_rule(*row) for row in found]


def _sensors(db: sqlite3.Connection) -> dict[tuple[str, str], list[int]]:
    """The sensors of each rule; in order, and those of no rule under `("", "-")`."""
    known = set(db.execute("SELECT device_id, value_key FROM retention"))
    found: dict[tuple[str, str], list[int]] = {}
    for sensor, device, key in db.execute(
        "SELECT id, device_id, value_key FROM sensors ORDER BY id"
    ):
        ways = ((device, key), (device, ""), ("", key), ("", ""))
        rule = next((way for way in ways if way in known), _NONE)
        found.setdefault(rule, []).append(sensor)
    return found


_NONE = "-", "-"  # no device has such an id


def settled_now(db: sqlite3.Connection, clock: SettledClock) -> float:
    """The time, as far as it is to be believed; it is noted now and then."""
    stored = db.execute("SELECT max(at) FROM settled").fetchone()[0]
    now = clock.look(stored)
    if stored is None or not 0 <= now - stored < _NOTE_SECONDS:
        db.execute("DELETE FROM settled")
        db.execute("INSERT INTO settled VALUES (?)", (now,))
    return now


def drop_old_parts(db: sqlite3.Connection, now: float) -> None:
    """Take away parts in which all values are too old; they are to be deleted as dead ones are."""
    days = dict(_days(db))
    used = _sensors(db)
    if used and _NONE not in used:
        oldest = now - max(days[rule] for rule in used) * DAY_SECONDS
        db.execute("UPDATE parts SET level = 0 WHERE level > 0 AND last < ?", (oldest,))


def _days(db: sqlite3.Connection) -> Iterable[tuple[tuple[str, str], float]]:
    for device, key, days in db.execute("SELECT device_id, value_key, days FROM retention"):
        yield (device, key), days


def sweeps(db: sqlite3.Connection, now: float) -> list[Sweep]:
    """Find what is too old beside values that are not.

    Parts that begin only a little before a rule's time are left until all of them is too old.
    """
    used = _sensors(db)
    found = []
    for device, key, days, swept in db.execute(
        "SELECT device_id, value_key, days, swept FROM retention"
    ).fetchall():
        end = now - days * DAY_SECONDS
        if swept > end:  # the clock was ahead
            swept = -EVER  # noqa: PLW2901
        slack = days * DAY_SECONDS / 20
        sensors = used.get((device, key))
        if sensors and end - swept >= slack:
            cuts = [Cut(sensor, end=end) for sensor in sensors]
            found.append(Sweep((device, key), cuts, end, runs(db, swept, end - slack)))
    return found


def end_sweep(db: sqlite3.Connection, sweep: Sweep) -> None:
    """Note that all that a sweep names is deleted."""
    db.execute(
        "UPDATE retention SET swept = ? WHERE device_id = ? AND value_key = ?",
        (sweep.end, *sweep.rule),
    )


def thinnings(db: sqlite3.Connection, now: float) -> list[Thinning]:
    """Find what is old enough to become means."""
    used = _sensors(db)
    upto = dict(db.execute("SELECT sensor, upto FROM downsampled"))
    found: list[Thinning] = []
    for device, key, interval, after in db.execute(
        "SELECT device_id, value_key, interval, after_days FROM retention WHERE interval NOT NULL"
    ).fetchall():
        found += thinnings_of(used.get((device, key), ()), interval, after, upto, now)
    return found


def thin(db: sqlite3.Connection, fresh: FreshTables, thinning: Thinning) -> Thinning | None:
    """Make means of some values; returns what is left to do."""
    means: list[tuple[int, float, int, Any]] = []
    count, begin, end = 0, None, thinning.end
    stored = rows(db, thinning.sensor, thinning.start, thinning.end)
    with closing(stored):
        for group, members in groupby(
            stored, lambda row: math.floor(row[0] / thinning.interval) * thinning.interval
        ):
            if count >= SLICE_ROWS:
                end = group
                break
            begin = group if begin is None else begin
            values = list(members)
            count += len(values)
            means.append((thinning.sensor, group, 0, mean_of([value for _, _, value in values])))
    if count > len(means) and begin is not None:
        cut = [Cut(thinning.sensor, begin, end)]
        for run in runs(db, begin, end):
            while delete_cuts(db, run, cut, 0) == 0:
                pass
        fresh.add(db, means)
    db.execute("INSERT OR REPLACE INTO downsampled VALUES (?, ?)", (thinning.sensor, end))
    if end == thinning.end:
        return None
    return Thinning(thinning.sensor, thinning.interval, end, thinning.end)
