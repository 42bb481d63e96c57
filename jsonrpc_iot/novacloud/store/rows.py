"""Rows of the SQLite store: devices, commands, and the sequence numbers of outboxes."""

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from ..errors import AlreadyExists, UnknownDevice
from .store import CommandRow, CommandStatus, DeviceRow, Report

_KEPT_OUTBOXES = 16
DEVICE = ", ".join(DeviceRow.__struct_fields__)
COMMAND = ", ".join(CommandRow.__struct_fields__)
"""The columns of a row; they are named like the members."""

_IN_JSON = ("command", "payload")


def read_device(row: tuple[Any, ...]) -> DeviceRow:
    """Make a device of its columns `DEVICE`."""
    columns = dict(zip(DeviceRow.__struct_fields__, row, strict=True))
    tags = tuple(msgspec.json.decode(columns["tags"]))
    return DeviceRow(**columns | {"enabled": bool(columns["enabled"]), "tags": tags})


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


def take_sequence_numbers(db: sqlite3.Connection, reports: Sequence[Report]) -> list[bool]:
    """Say which reports are new, and remember the highest `seq` of each outbox."""
    heads: dict[tuple[str, str], int] = {}
    fresh = []
    for report in reports:
        if report.seq:
            outbox = report.device_id, report.outbox_id
            if outbox not in heads:
                heads[outbox] = _head(db, outbox)
            fresh.append(report.seq > heads[outbox])
            heads[outbox] = max(heads[outbox], report.seq)
        else:
            fresh.append(True)
    for (device_id, outbox_id), seq in heads.items():
        # `used` counts, since no clock may decide which outbox was used last.
        db.execute(
            "INSERT INTO outboxes (device_id, outbox_id, seq, used) SELECT device_id, ?2, ?3, "
            "(SELECT 1 + ifnull(max(used), 0) FROM outboxes WHERE device_id = ?1) "
            "FROM devices WHERE device_id = ?1 "
            "ON CONFLICT DO UPDATE SET seq = excluded.seq, used = excluded.used",
            (device_id, outbox_id, seq),
        )
    return fresh


def _head(db: sqlite3.Connection, outbox: tuple[str, str]) -> int:
    """The highest stored `seq` of an outbox; a new one drives out the oldest of its device."""
    row = db.execute(
        "SELECT seq FROM outboxes WHERE device_id = ? AND outbox_id = ?", outbox
    ).fetchone()
    if row is not None:
        return int(row[0])
    db.execute(
        "DELETE FROM outboxes WHERE device_id = ?1 AND outbox_id NOT IN (SELECT outbox_id "
        "FROM outboxes WHERE device_id = ?1 ORDER BY used DESC LIMIT ?2)",
        (outbox[0], _KEPT_OUTBOXES - 1),
    )
    return 0


def save_commands(db: sqlite3.Connection, commands: Sequence[CommandRow]) -> None:
    """Store the present state of commands, except of those that are final."""
    places = ", ".join(f"?{number}" for number, _ in enumerate(CommandRow.__struct_fields__, 1))
    db.executemany(
        f"INSERT INTO commands ({COMMAND}) SELECT {places} "
        "FROM devices WHERE device_id = ?2 ON CONFLICT (command_id) DO UPDATE SET "
        "status = excluded.status, payload = excluded.payload, created = excluded.created, "
        "expires = excluded.expires, sent = excluded.sent, finished = excluded.finished "
        "WHERE commands.finished IS NULL",
        [_columns(each) for each in commands],
    )


def _columns(row: CommandRow) -> tuple[Any, ...]:
    columns = msgspec.structs.asdict(row)
    for name in _IN_JSON:
        columns[name] = msgspec.json.encode(columns[name])
    return tuple(columns.values())


def read_command(row: tuple[Any, ...]) -> CommandRow:
    """Make a command of its columns `COMMAND`."""
    columns = dict(zip(CommandRow.__struct_fields__, row, strict=True))
    for name in _IN_JSON:
        columns[name] = msgspec.json.decode(columns[name])
    return CommandRow(**columns | {"status": CommandStatus(columns["status"])})
