"""What the contracts of a store have to do with each other."""

import time

import anyio
import pytest

from jsonrpc_iot.novacloud import Store, StoreFailed
from jsonrpc_iot.novacloud.store.telemetry_log import Report

from .rows import A, command, make_sensor, row, values_of, write_values

pytestmark = pytest.mark.anyio


async def test_what_belongs_to_nobody_is_left_out(store: Store) -> None:
    sensor = await make_sensor(store)
    await write_values(store, sensor, (1, 1))
    await store.delete_sensor(A, "t")
    again = await make_sensor(store)
    await write_values(store, sensor, (2, 2))
    assert await values_of(store, again) == []
    await store.delete_device(A)
    reports = [
        Report(A, 1, 1, [(again.id, 1)]),
        Report(A, 1, 1, status={}, outbox_id="box", seq=1),
    ]
    await store.write(reports)
    assert await store.add([command("one")], 1) == [False]
    await store.create_device(row())
    assert await store.commands() == []
    assert await store.status(A) is None
    assert await store.latest(A, time.time()) == {}


async def test_many_at_once(store: Store) -> None:
    sensor = await make_sensor(store)
    async with anyio.create_task_group() as tasks:
        for number in range(50):
            tasks.start_soon(write_values, store, sensor, (number, number))
            tasks.start_soon(store.devices)
    assert len(await values_of(store, sensor)) == 50


async def test_a_reader_sees_all_of_a_commit_or_nothing_of_it(store: Store) -> None:
    sensors = [await make_sensor(store, f"t{number}") for number in range(20)]
    over = False

    async def report() -> None:
        nonlocal over
        for at in range(200):
            await store.write([Report(A, at, 1e9, [(sensor.id, at) for sensor in sensors])])
        over = True

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(report)
        while not over:
            latest = await store.latest(A, 1e9)
            assert len(latest) in {0, len(sensors)}
            assert len({point.value for point in latest.values()}) <= 1


async def test_what_cannot_be_stored_at_all_costs_nobody_else_anything(store: Store) -> None:
    refused = []

    async def create(device_id: str) -> None:
        try:
            await store.create_device(row(device_id, device_id))
        except StoreFailed as error:
            refused.append((device_id, error.message))

    half = "\ud800"  # of a pair of surrogates: it cannot be encoded
    async with anyio.create_task_group() as tasks:
        for device_id in ("a", half, "b"):
            tasks.start_soon(create, device_id)
    await create("c")
    with pytest.raises(StoreFailed):
        await store.device(half)
    assert [device_id for device_id, _ in refused] == [half]
    assert [each.device_id for each in await store.devices()] == ["a", "b", "c"]
