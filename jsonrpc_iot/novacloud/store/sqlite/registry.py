"""Devices, their sensors and actuators, and the audit, in tables of SQLite."""

import sqlite3
from collections.abc import Iterable, Sequence

import msgspec

from ...errors import UnknownDevice, UnknownKey
from ..registry import Actuator, Audit, DeviceRow, Known, Registry, Sensor, SensorType, Target
from .base import Tables
from .lists import as_list, in_list
from .rows import DEVICE, create_device, define, encode_tags, read_device, read_known

_KEPT_AUDITS = 100_000
_AUDIT = ", ".join(Audit.__struct_fields__)


class RegistryTables(Tables, Registry):
    """`Registry` for the SQLite store."""

    async def create_device(self, row: DeviceRow) -> None:
        await self._commit(lambda db: create_device(db, row))

    async def device(self, device_id: str) -> Known:
        return await self._read(lambda db: read_known(db, device_id))

    async def devices(self) -> list[DeviceRow]:
        text = f"SELECT {DEVICE} FROM devices ORDER BY name, device_id"
        return await self._read(lambda db: [read_device(row) for row in db.execute(text)])

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
            text += " AND has_text(tags, :tag)"
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
            f"AND command_key {in_list(':keys')}) FROM devices WHERE TRUE"
        )
        if tag is not None:
            text += " AND has_text(tags, :tag)"
        if device_ids is not None:
            text += f" AND device_id {in_list(':ids')}"
        values = {
            "keys": as_list(command_keys),
            "ids": as_list(device_ids or ()),
            "tag": tag,
        }
        return await self._read(
            lambda db: [
                Target(device_id, bool(enabled), msgspec.json.decode(actuators))
                for device_id, enabled, actuators in db.execute(text, values)
            ]
        )

    async def update_device(
        self,
        device_id: str,
        *,
        name: str | None = None,
        enabled: bool | None = None,
        key_hash: bytes | None = None,
        old_key_until: float | None = None,
        tags: Sequence[str] | None = None,
    ) -> None:
        await self._change(
            "UPDATE devices SET name = ifnull(?1, name), enabled = ifnull(?2, enabled), "
            "tags = ifnull(?3, tags), key_hash = ifnull(?4, key_hash), "
            "old_key_hash = CASE WHEN ?4 IS NULL THEN old_key_hash "
            "WHEN ?5 IS NOT NULL THEN key_hash END, "
            "old_key_until = CASE WHEN ?4 IS NULL THEN old_key_until ELSE ?5 END "
            "WHERE device_id = ?6",
            (
                name,
                enabled,
                None if tags is None else encode_tags(tags),
                key_hash,
                old_key_until,
                device_id,
            ),
            UnknownDevice(data={"device_id": device_id}),
        )

    async def delete_device(self, device_id: str) -> None:
        def delete(db: sqlite3.Connection) -> None:
            self._taken.fold(db)  # one that is made anew has taken nothing
            db.execute(
                "INSERT INTO doomed SELECT id FROM sensors WHERE device_id = ?", (device_id,)
            )
            gone = db.execute("DELETE FROM devices WHERE device_id = ?", (device_id,))
            if not gone.rowcount:
                raise UnknownDevice(data={"device_id": device_id})

        await self._commit(delete)
        self.keeper.poke()

    async def seen(self, times: Iterable[tuple[str, float]]) -> None:
        rows = [(at, device_id) for device_id, at in times]
        text = "UPDATE devices SET last_seen = ? WHERE device_id = ?"
        await self._commit(lambda db: db.executemany(text, rows))

    async def define_sensor(
        self, device_id: str, value_key: str, type: SensorType, unit: str | None = None
    ) -> Sensor:
        text = "INSERT INTO sensors (device_id, value_key, type, unit) VALUES (?, ?, ?, ?)"
        row = device_id, value_key, type, unit
        id = await self._commit(lambda db: define(db, text, row))
        return Sensor(id, value_key, type, unit)

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

    async def delete_sensor(self, device_id: str, value_key: str) -> None:
        def delete(db: sqlite3.Connection) -> None:
            found = db.execute(
                "DELETE FROM sensors WHERE device_id = ? AND value_key = ? RETURNING id",
                (device_id, value_key),
            ).fetchall()
            if not found:
                raise UnknownKey(data={"value_key": value_key})
            db.executemany("INSERT INTO doomed VALUES (?)", found)

        await self._commit(delete)
        self.keeper.poke()

    async def define_actuator(
        self, device_id: str, command_key: str, type: SensorType | None = None
    ) -> Actuator:
        text = "INSERT INTO actuators (device_id, command_key, type) VALUES (?, ?, ?)"
        row = device_id, command_key, type
        await self._commit(lambda db: define(db, text, row))
        return Actuator(command_key, type)

    async def delete_actuator(self, device_id: str, command_key: str) -> None:
        await self._change(
            "DELETE FROM actuators WHERE device_id = ? AND command_key = ?",
            (device_id, command_key),
            UnknownKey(data={"command_key": command_key}),
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
