"""Devices, sensors, actuators and the audit, in tables of PostgreSQL."""

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import asyncpg
import msgspec

from ...errors import AlreadyExists, UnknownDevice, UnknownKey
from ..registry import Actuator, Audit, DeviceRow, Known, Registry, Sensor, SensorType, Target
from ..texts import all_to_sql, from_sql
from .base import Tables
from .pools import Db
from .together import Together

_DEVICE = ", ".join(DeviceRow.__struct_fields__)
_PLACES = ", ".join(f"${number}" for number, _ in enumerate(DeviceRow.__struct_fields__, 1))
_AUDIT = ", ".join(Audit.__struct_fields__)
_KEPT_AUDITS = 100_000

_UPDATE = """
UPDATE devices SET name = coalesce($1, name), enabled = coalesce($2, enabled),
    tags = coalesce($3::text[], tags), key_hash = coalesce($4, key_hash),
    old_key_hash = CASE WHEN $4 IS NULL THEN old_key_hash
        WHEN $5::float8 IS NOT NULL THEN key_hash END,
    old_key_until = CASE WHEN $4 IS NULL THEN old_key_until ELSE $5 END
WHERE device_id = $6 RETURNING 1"""

# Rows are locked in one order for all: two nodes may note the same devices.
_SEEN = """
WITH seen AS MATERIALIZED (
    SELECT device_id, at
    FROM unnest($1::text[], $2::float8[]) AS seen (device_id, at) JOIN devices USING (device_id)
    ORDER BY device_id FOR NO KEY UPDATE OF devices)
UPDATE devices SET last_seen = seen.at FROM seen WHERE devices.device_id = seen.device_id"""

_KNOWN = f"""
SELECT {_DEVICE},
    ARRAY(SELECT ROW(id, value_key, type, unit)
        FROM sensors WHERE sensors.device_id = devices.device_id ORDER BY id),
    ARRAY(SELECT ROW(command_key, type) FROM actuators
        WHERE actuators.device_id = devices.device_id ORDER BY command_key)
FROM devices WHERE device_id = ANY($1::text[])"""

_TARGETS = """
SELECT device_id, enabled, ARRAY(SELECT ROW(command_key, type) FROM actuators
    WHERE actuators.device_id = devices.device_id AND command_key = ANY($1::text[]))
FROM devices WHERE ($2::text IS NULL OR tags @> ARRAY[$2::text])
    AND ($3::text[] IS NULL OR device_id = ANY($3::text[])) ORDER BY device_id"""


class RegistryTables(Tables, Registry):
    """`Registry` for the PostgreSQL store."""

    _known: Together[Known]

    async def create_device(self, row: DeviceRow) -> None:
        columns = msgspec.structs.asdict(row) | {"tags": all_to_sql(row.tags)}
        text = (
            f"INSERT INTO devices ({_DEVICE}) VALUES ({_PLACES}) "
            "ON CONFLICT (device_id) DO NOTHING RETURNING 1"
        )
        there = AlreadyExists(data={"device_id": row.device_id})
        await self._change(text, tuple(columns.values()), there)

    async def device(self, device_id: str) -> Known:
        known = await self._known.about(device_id)
        if known is None:
            raise UnknownDevice(data={"device_id": device_id})
        return known

    async def _read_known(self, device_ids: Sequence[str]) -> dict[str, Known]:
        rows = await self._pools.fetch(_KNOWN, all_to_sql(device_ids))
        return {known.row.device_id: known for known in map(_read_known, rows)}

    async def devices(self) -> list[DeviceRow]:
        text = f"SELECT {_DEVICE} FROM devices ORDER BY name, device_id"
        rows = await self._pools.fetch(text, purpose="reports")
        return [_read_device(row.values()) for row in rows]

    async def device_count(self) -> int:
        (row,) = await self._pools.fetch("SELECT count(*) FROM devices")
        return int(row[0])

    async def device_page(
        self,
        after: tuple[str, str] | None,
        limit: int,
        *,
        tag: str | None = None,
        name: str | None = None,
    ) -> list[DeviceRow]:
        values: list[Any] = [limit]
        text = f"SELECT {_DEVICE} FROM devices WHERE TRUE"
        if after is not None:
            values += after
            text += " AND (name, device_id) > ($2, $3)"
        if tag is not None:
            values.append(tag)
            text += f" AND tags @> ARRAY[${len(values)}::text]"
        if name is not None:
            values.append(name)
            text += f' AND strpos(lower(name), lower(${len(values)}::text COLLATE "C")) > 0'
        text += " ORDER BY name, device_id LIMIT $1"
        rows = await self._pools.fetch(text, *values)
        return [_read_device(row.values()) for row in rows]

    async def targets(
        self,
        command_keys: Sequence[str],
        *,
        tag: str | None = None,
        device_ids: Sequence[str] | None = None,
    ) -> list[Target]:
        ids = None if device_ids is None else all_to_sql(device_ids)
        rows = await self._pools.fetch(_TARGETS, all_to_sql(command_keys), tag, ids)
        return [Target(id, enabled, dict(actuators)) for id, enabled, actuators in rows]

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
        some = None if tags is None else all_to_sql(tags)
        values = name, enabled, some, key_hash, old_key_until, device_id
        await self._change(_UPDATE, values, UnknownDevice(data={"device_id": device_id}))

    async def delete_device(self, device_id: str) -> None:
        async def delete(db: Db) -> None:
            # As who stores something does: first the outboxes, then the device.
            await db.execute(
                "SELECT 1 FROM outboxes WHERE device_id = $1 ORDER BY outbox_id FOR UPDATE",
                device_id,
            )
            await db.execute(
                "INSERT INTO doomed SELECT id FROM sensors WHERE device_id = $1", device_id
            )
            text = "DELETE FROM devices WHERE device_id = $1 RETURNING 1"
            if not await db.fetch(text, device_id):
                raise UnknownDevice(data={"device_id": device_id})

        await self._pools.transact(delete)
        self.keeper.poke()

    async def seen(self, times: Iterable[tuple[str, float]]) -> None:
        latest = dict(times)
        if latest:
            await self._pools.change(_SEEN, all_to_sql(latest), [*latest.values()])

    async def define_sensor(
        self, device_id: str, value_key: str, type: SensorType, unit: str | None = None
    ) -> Sensor:
        text = (
            "INSERT INTO sensors (device_id, value_key, type, unit) "
            "SELECT device_id, $2, $3, $4 FROM devices WHERE device_id = $1 "
            "ON CONFLICT DO NOTHING RETURNING id"
        )
        (row,) = await self._define(text, device_id, value_key, type, unit)
        return Sensor(row["id"], value_key, type, unit)

    async def update_sensor(
        self,
        device_id: str,
        value_key: str,
        *,
        type: SensorType | None = None,
        unit: str | None = None,
    ) -> Sensor:
        text = (
            "UPDATE sensors SET type = coalesce($3, type), unit = coalesce($4, unit) "
            "WHERE device_id = $1 AND value_key = $2 RETURNING id, value_key, type, unit"
        )
        rows = await self._pools.change(text, device_id, value_key, type, unit)
        if not rows:
            raise UnknownKey(data={"value_key": value_key})
        return Sensor(*rows[0])

    async def delete_sensor(self, device_id: str, value_key: str) -> None:
        text = (
            "WITH gone AS (DELETE FROM sensors WHERE device_id = $1 AND value_key = $2 "
            "RETURNING id) INSERT INTO doomed SELECT id FROM gone RETURNING 1"
        )
        await self._change(text, (device_id, value_key), UnknownKey(data={"value_key": value_key}))
        self.keeper.poke()

    async def define_actuator(
        self, device_id: str, command_key: str, type: SensorType | None = None
    ) -> Actuator:
        text = (
            "INSERT INTO actuators (device_id, command_key, type) "
            "SELECT device_id, $2, $3 FROM devices WHERE device_id = $1 "
            "ON CONFLICT DO NOTHING RETURNING 1"
        )
        await self._define(text, device_id, command_key, type)
        return Actuator(command_key, type)

    async def delete_actuator(self, device_id: str, command_key: str) -> None:
        await self._change(
            "DELETE FROM actuators WHERE device_id = $1 AND command_key = $2 RETURNING 1",
            (device_id, command_key),
            UnknownKey(data={"command_key": command_key}),
        )

    async def audit(self, row: Audit) -> None:
        params = msgspec.json.encode(row.params).decode()
        await self._pools.change(
            f"WITH new AS (INSERT INTO audit ({_AUDIT}) VALUES ($1, $2, $3, $4, $5) "
            "RETURNING number) DELETE FROM audit "
            f"WHERE number <= (SELECT number FROM new) - {_KEPT_AUDITS}",
            *(row.at, row.who, row.address, row.method, params),
        )

    async def audit_page(self, before: int | None, limit: int) -> list[tuple[int, Audit]]:
        text = (
            f"SELECT number, {_AUDIT} FROM audit WHERE $1::bigint IS NULL OR number < $1 "
            "ORDER BY number DESC LIMIT $2"
        )
        rows = await self._pools.fetch(text, before, limit)
        return [(row["number"], _read_audit(row)) for row in rows]

    async def _define(self, text: str, device_id: str, key: str, *more: str | None) -> Any:
        """Insert something of a device.

        Raises:
            UnknownDevice: there is no such device.
            AlreadyExists: it is there already.
        """
        rows = await self._pools.change(text, device_id, key, *more)
        if rows:
            return rows
        if await self._pools.row("SELECT 1 FROM devices WHERE device_id = $1", device_id):
            raise AlreadyExists(data={"key": key})
        raise UnknownDevice(data={"device_id": device_id})


def _read_device(values: Iterable[Any]) -> DeviceRow:
    columns = dict(zip(DeviceRow.__struct_fields__, values, strict=True))
    return DeviceRow(**columns | {"tags": tuple(map(from_sql, columns["tags"]))})


def _read_audit(row: asyncpg.Record) -> Audit:
    columns = {name: row[name] for name in Audit.__struct_fields__}
    return Audit(**columns | {"params": msgspec.json.decode(columns["params"])})


def _read_known(row: asyncpg.Record) -> Known:
    *columns, sensors, actuators = row.values()
    # Many devices have sensors of the same names, and one text is enough for all.
    intern: Callable[[str], Any] = sys.intern
    return Known(
        _read_device(columns),
        tuple(
            Sensor(id, intern(key), intern(type), unit and intern(unit))
            for id, key, type, unit in sensors
        ),
        tuple(Actuator(intern(key), type and intern(type)) for key, type in actuators),
    )
