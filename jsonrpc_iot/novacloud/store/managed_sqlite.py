"""The statements of `ManagedStore`, for the SQLite store."""

import abc
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from ..errors import UnknownKey
from .latest import latest_page
from .managed import Audit, Latest, ManagedStore, Place, Target
from .query import Order
from .rows import COMMAND, DEVICE, read_command, read_device
from .status import status_history
from .store import (
    CommandRow,
    CommandStatus,
    DeviceRow,
    Sensor,
    SensorType,
    StatusReport,
)
from .value_pages import value_page

T = TypeVar("T")

_KEPT_AUDITS = 100_000
_AUDIT = ", ".join(Audit.__struct_fields__)

MIGRATION = """
ALTER TABLE devices ADD COLUMN tags BLOB NOT NULL DEFAULT '[]';
ALTER TABLE devices ADD COLUMN old_key_hash BLOB;
ALTER TABLE devices ADD COLUMN old_key_until REAL;
CREATE INDEX devices_by_name ON devices (name, device_id);

-- `message_type` is NULL for commands.
ALTER TABLE commands ADD COLUMN message_type TEXT;
ALTER TABLE commands ADD COLUMN response_timeout REAL;
ALTER TABLE commands ADD COLUMN job_id TEXT;
CREATE INDEX commands_of_job ON commands (job_id, command_id) WHERE job_id IS NOT NULL;

ALTER TABLE statuses ADD COLUMN ranks BLOB NOT NULL DEFAULT '{}';
CREATE TABLE status_history (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    device_id TEXT NOT NULL REFERENCES devices ON DELETE CASCADE,
    timestamp REAL NOT NULL,
    payload BLOB NOT NULL
);
CREATE INDEX history_of_device ON status_history (device_id, number);
CREATE INDEX history_by_time ON status_history (device_id, timestamp, number);

CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    who TEXT NOT NULL,
    address TEXT NOT NULL,
    method TEXT NOT NULL,
    params BLOB NOT NULL
);
"""
"""The tables and columns that these statements need, added to those of `schema`."""


class ManagedTables(ManagedStore):
    """The rows that only the management reads, in tables of SQLite."""

    @abc.abstractmethod
    async def _read(self, find: Callable[[sqlite3.Connection], T]) -> T:
        """Read one moment of the file in a thread."""

    @abc.abstractmethod
    async def _query(self, find: Callable[[sqlite3.Connection], T]) -> T:
        """The same for what may take long, so that nobody has to wait for it to look up."""

    @abc.abstractmethod
    async def _commit(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run a job in the writer's thread; returns what it does once that is committed."""

    async def device_count(self) -> int:
        text = "SELECT count(*) FROM devices"
        return int(await self._read(lambda db: db.execute(text).fetchone()[0]))

    async def device_page(
        self,
        after: tuple[str, str] | None,
        limit: int,
        *,
        tag: str | None = None,
        name: str | None = None,
    ) -> list[DeviceRow]:
        text = f"SELECT {DEVICE} FROM devices WHERE TRUE"
        if after is not None:
            text += " AND (name, device_id) > (:name, :id)"
        if tag is not None:
            text += " AND EXISTS (SELECT 1 FROM json_each(tags) WHERE value = :tag)"
        if name is not None:
            text += " AND instr(lower(name), lower(:part))"
        text += " ORDER BY name, device_id LIMIT :limit"
        behind = after or ("", "")
        values = {"name": behind[0], "id": behind[1], "tag": tag, "part": name, "limit": limit}
        return await self._read(lambda db: [read_device(row) for row in db.execute(text, values)])

    async def targets(
        self,
        command_keys: Sequence[str],
        *,
        tag: str | None = None,
        device_ids: Sequence[str] | None = None,
    ) -> list[Target]:
        text = (
            "SELECT device_id, enabled, (SELECT json_group_object(command_key, type) "
            "FROM actuators WHERE actuators.device_id = devices.device_id "
            "AND command_key IN (SELECT value FROM json_each(:keys))) FROM devices WHERE TRUE"
        )
        if tag is not None:
            text += " AND EXISTS (SELECT 1 FROM json_each(tags) WHERE value = :tag)"
        if device_ids is not None:
            text += " AND device_id IN (SELECT value FROM json_each(:ids))"
        values = {
            "keys": msgspec.json.encode(command_keys).decode(),
            "ids": msgspec.json.encode(device_ids).decode(),
            "tag": tag,
        }
        return await self._read(
            lambda db: [
                Target(device_id, bool(enabled), msgspec.json.decode(actuators))
                for device_id, enabled, actuators in db.execute(text, values)
            ]
        )

    async def update_sensor(
        self,
        device_id: str,
        value_key: str,
        *,
        type: SensorType | None = None,
        unit: str | None = None,
    ) -> Sensor:
        def update(db: sqlite3.Connection) -> Sensor:
            row = db.execute(
                "UPDATE sensors SET type = ifnull(?, type), unit = ifnull(?, unit) "
                "WHERE device_id = ? AND value_key = ? RETURNING id, value_key, type, unit",
                (type, unit, device_id, value_key),
            ).fetchone()
            if row is None:
                raise UnknownKey(data={"value_key": value_key})
            return Sensor(*row)

        return await self._commit(update)

    async def value_page(
        self,
        sensors: Sequence[int],
        after: Place | None,
        limit: int,
        *,
        start: float | None = None,
        end: float | None = None,
        order: Order = "asc",
    ) -> list[tuple[Place, Any]]:
        return await self._read(lambda db: value_page(db, sensors, after, limit, start, end, order))

    async def latest_page(
        self,
        after: tuple[str, str] | None,
        limit: int,
        now: float,
        *,
        tag: str | None = None,
        value_keys: Sequence[str] | None = None,
    ) -> list[Latest]:
        return await self._query(lambda db: latest_page(db, after, limit, now, tag, value_keys))

    async def status_history(
        self, device_id: str, start: float | None, end: float | None, limit: int
    ) -> list[StatusReport]:
        return await self._read(lambda db: status_history(db, device_id, start, end, limit))

    async def job_page(self, job_id: str, after: str | None, limit: int) -> list[CommandRow]:
        text = (
            f"SELECT {COMMAND} FROM commands WHERE job_id = ? AND command_id > ? "
            "ORDER BY command_id LIMIT ?"
        )
        values = job_id, after or "", limit
        return await self._read(lambda db: [read_command(row) for row in db.execute(text, values)])

    async def job_states(self, job_id: str) -> list[tuple[str, CommandStatus]]:
        text = "SELECT command_id, status FROM commands WHERE job_id = ?"
        return await self._read(
            lambda db: [(id, CommandStatus(status)) for id, status in db.execute(text, (job_id,))]
        )

    async def audit(self, row: Audit) -> None:
        def note(db: sqlite3.Connection) -> None:
            number = db.execute(
                f"INSERT INTO audit ({_AUDIT}) VALUES (?, ?, ?, ?, ?)",
                (row.at, row.who, row.address, row.method, msgspec.json.encode(row.params)),
            ).lastrowid
            db.execute("DELETE FROM audit WHERE number <= ?", ((number or 0) - _KEPT_AUDITS,))

        await self._commit(note)

    async def audit_page(self, before: int | None, limit: int) -> list[tuple[int, Audit]]:
        text = (
            f"SELECT number, {_AUDIT} FROM audit WHERE number < ifnull(?, 9e18) "
            "ORDER BY number DESC LIMIT ?"
        )

        def find(db: sqlite3.Connection) -> list[tuple[int, Audit]]:
            return [
                (
                    number,
                    Audit(
                        at=at,
                        who=who,
                        address=address,
                        method=method,
                        params=msgspec.json.decode(params),
                    ),
                )
                for number, at, who, address, method, params in db.execute(text, (before, limit))
            ]

        return await self._read(find)
