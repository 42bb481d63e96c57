"""Rows for the tests of stores, and how values get in and out."""

import time
from typing import Any

from jsonrpc_iot.novacloud import Store
from jsonrpc_iot.novacloud.store.command_log import CommandRow, CommandStatus
from jsonrpc_iot.novacloud.store.query import Query
from jsonrpc_iot.novacloud.store.registry import DeviceRow, Sensor
from jsonrpc_iot.novacloud.store.telemetry_log import Report

A, B = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"


def row(device_id: str = A, name: str = "lamp") -> DeviceRow:
    return DeviceRow(device_id=device_id, name=name, key_hash=b"\x00\xff" * 16, created=1.5)


def command(command_id: str, **changes: Any) -> CommandRow:
    members: dict[str, Any] = {"device_id": A, "command": {"light": [1]}}
    members |= {"status": CommandStatus.QUEUED, "created": 1.0, "expires": 2.0, **changes}
    return CommandRow(command_id=command_id, **members)


async def make_sensor(store: Store, key: str = "t", type: Any = "number") -> Sensor:
    if not await store.devices():
        await store.create_device(row())
    return await store.define_sensor(A, key, type)


async def write_values(store: Store, sensor: Sensor, *points: tuple[float, Any]) -> None:
    now = time.time()
    await store.write([Report(A, at, now, [(sensor.id, value)]) for at, value in points])


async def values_of(store: Store, sensor: Sensor, **query: Any) -> list[tuple[float, Any]]:
    points = await store.query(Query(sensor=sensor.id, **query))
    return [(point.timestamp, point.value) for point in points]
