"""Rows of the SQLite store: devices."""

import sqlite3
import sys
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from ...errors import AlreadyExists, UnknownDevice
from ..registry import Actuator, DeviceRow, Known, Sensor

DEVICE = ", ".join(DeviceRow.__struct_fields__)
"""The columns of a row; they are named like the members."""


def read_device(row: tuple[Any, ...]) -> DeviceRow:
    """Make a device of its columns `DEVICE`."""
    columns = dict(zip(DeviceRow.__struct_fields__, row, strict=True))
    tags = tuple(msgspec.json.decode(columns["tags"]))
    return DeviceRow(**columns | {"enabled": bool(columns["enabled"]), "tags": tags})


def read_known(db: sqlite3.Connection, device_id: str) -> Known:
    """A device, its sensors and actuators.

    Raises:
        UnknownDevice: there is no such device.
    """
    # Many devices have sensors of the same names, and one text is enough for all.
    intern: Callable[[str], Any] = sys.intern
    row = db.execute(f"SELECT {DEVICE} FROM devices WHERE device_id = ?", (device_id,)).fetchone()
    if row is None:
        raise UnknownDevice(data={"device_id": device_id})
    sensors = db.execute(
        "SELECT id, value_key, type, unit FROM sensors WHERE device_id = ? ORDER BY id",
        (device_id,),
    )
    actuators = db.execute(
        "SELECT command_key, type FROM actuators WHERE device_id = ? ORDER BY command_key",
        (device_id,),
    )
    return Known(
        read_device(row),
        tuple(
            Sensor(id, intern(key), intern(type), unit and intern(unit))
            for id, key, type, unit in sensors
        ),
        tuple(Actuator(intern(key), type and intern(type)) for key, type in actuators),
    )


def create_device(db: sqlite3.Connection, row: DeviceRow) -> None:
    """Insert a device.

    Raises:
        AlreadyExists: its id is taken.
    """
    columns = msgspec.structs.asdict(row)
    columns["tags"] = encode_tags(row.tags)
    places = ", ".join("?" * len(columns))
    try:
        db.execute(f"INSERT INTO devices ({DEVICE}) VALUES ({places})", tuple(columns.values()))
    except sqlite3.IntegrityError:
        raise AlreadyExists(data={"device_id": row.device_id}) from None


def encode_tags(tags: Sequence[str]) -> str:
    """Tags as a column has them."""
    return msgspec.json.encode(tags).decode()


def define(db: sqlite3.Connection, text: str, row: tuple[Any, ...]) -> int:
    """Insert something of a device; returns its row id.

    Raises:
        UnknownDevice: there is no such device.
        AlreadyExists: it is there already.
    """
    device_id, key, *_ = row
    if not db.execute("SELECT 1 FROM devices WHERE device_id = ?", (device_id,)).fetchone():
        raise UnknownDevice(data={"device_id": device_id})
    try:
        return db.execute(text, row).lastrowid or 0
    except sqlite3.IntegrityError:
        raise AlreadyExists(data={"key": key}) from None
