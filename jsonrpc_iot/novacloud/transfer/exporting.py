"""Writing what a platform knows as lines. The platform may run meanwhile.

Each device is as it is at one moment, with its sensors and actuators, and each line of values too:
one moment for all of it would have the database's log grow until the end.
"""

import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from ..errors import StoreFailed
from ..group_commit import Transaction
from ..store.registry import DeviceRow
from ..store.sqlite.backup import open_existing
from ..store.sqlite.retention import rules
from ..store.sqlite.rows import DEVICE, read_device
from ..store.sqlite.schema import check_current
from ..store.sqlite.value_pages import value_page
from ..store.telemetry_log import Place
from .lines import (
    VERSION,
    ActuatorLine,
    DeviceLine,
    End,
    Header,
    Line,
    PointRow,
    RetentionLine,
    SensorLine,
    ValuesLine,
)

_POINTS = 1000  # of one line


def export(path: Path, *, telemetry: bool) -> Iterator[Line]:
    """Yield all devices with what belongs to them, and the rules for keeping values.

    Args:
        path: the database's.
        telemetry: the values as well.

    Raises:
        StoreFailed: there is no such database, it is of another version, or cannot be read.
    """
    try:
        with closing(open_existing(path)) as db:
            check_current(db)
            count = 0
            for line in _lines(db, telemetry):
                count += 1
                yield line
            yield End(lines=count)
    except sqlite3.Error as error:
        raise StoreFailed(f"{path}: {error}") from None


def _lines(db: sqlite3.Connection, telemetry: bool) -> Iterator[Line]:
    yield Header(version=VERSION)
    after = ""
    while (found := _next_device(db, after)) is not None:
        row, sensors, lines = found
        yield from lines
        if telemetry:
            for number, value_key in sensors:
                yield from _values(db, row.device_id, number, value_key)
        after = row.device_id
    for rule in rules(db):
        yield RetentionLine(
            days=rule.days,
            device_id=rule.device_id,
            value_key=rule.value_key,
            downsample=rule.downsample,
        )


def _next_device(
    db: sqlite3.Connection, after: str
) -> tuple[DeviceRow, list[tuple[int, str]], list[Line]] | None:
    """The device behind an id, the numbers and keys of its sensors, and all its lines."""
    with Transaction(db, "DEFERRED"):
        columns = db.execute(
            f"SELECT {DEVICE} FROM devices WHERE device_id > ? ORDER BY device_id LIMIT 1", (after,)
        ).fetchone()
        if columns is None:
            return None
        row = read_device(columns)
        id = row.device_id
        sensors = db.execute(
            "SELECT id, value_key, type, unit FROM sensors WHERE device_id = ? ORDER BY id", (id,)
        ).fetchall()
        actuators = db.execute(
            "SELECT command_key, type FROM actuators WHERE device_id = ? ORDER BY command_key",
            (id,),
        ).fetchall()
    lines: list[Line] = [_device_line(row)]
    lines += [
        SensorLine(device_id=id, value_key=key, type=type, unit=unit)
        for _, key, type, unit in sensors
    ]
    lines += [ActuatorLine(device_id=id, command_key=key, type=type) for key, type in actuators]
    return row, [(number, key) for number, key, *_ in sensors], lines


def _device_line(row: DeviceRow) -> DeviceLine:
    return DeviceLine(
        device_id=row.device_id,
        name=row.name,
        key_hash=row.key_hash.hex(),
        enabled=row.enabled,
        created=row.created,
        last_seen=row.last_seen,
        tags=list(row.tags),
        old_key_hash=None if row.old_key_hash is None else row.old_key_hash.hex(),
        old_key_until=row.old_key_until,
    )


def _values(db: sqlite3.Connection, device_id: str, number: int, key: str) -> Iterator[ValuesLine]:
    """Yield the values of a sensor, by time."""
    place: Place | None = None
    while True:
        with Transaction(db, "DEFERRED"):
            page = value_page(db, [number], place, _POINTS, None, None, "asc")
        if not page:
            return
        place = page[-1][0]
        points: list[PointRow] = [
            (timestamp, delay, value)
            for (timestamp, delay, _), value in page
            if not (isinstance(value, float) and math.isinf(value))  # JSON has none
        ]
        yield ValuesLine(device_id=device_id, value_key=key, points=points)
