"""Several nodes on one database at the same time, and what one device must not do to others."""

import logging
import random
from collections.abc import AsyncIterator

import anyio
import pytest

from jsonrpc_iot.novacloud import UnknownDevice
from jsonrpc_iot.novacloud.store.postgres import PostgresStore
from jsonrpc_iot.novacloud.store.query import Query
from jsonrpc_iot.novacloud.store.registry import Sensor
from jsonrpc_iot.novacloud.store.telemetry_log import Report

from ..rows import A, make_sensor, row, values_of
from .databases import empty_database

pytestmark = pytest.mark.anyio

IDS = [f"00000000-0000-4000-8000-{number:012}" for number in range(12)]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def nodes() -> AsyncIterator[list[PostgresStore]]:
    with empty_database() as url:
        async with PostgresStore(url) as one, PostgresStore(url) as two:
            one.node, two.node = 1, 2
            yield [one, two]


async def make_sensors(store: PostgresStore) -> dict[str, Sensor]:
    for id in IDS:
        await store.create_device(row(id, id))
    return {id: await store.define_sensor(id, "t", "number") for id in IDS}


async def test_what_two_nodes_take_at_once_is_stored_once(nodes: list[PostgresStore]) -> None:
    sensors = await make_sensors(nodes[0])
    new = 0

    async def send(store: PostgresStore, seed: int) -> None:
        nonlocal new
        chance = random.Random(seed)
        for seq in range(1, 31):
            reports = [
                Report(id, float(seq), 1.0, [(sensors[id].id, seq)], {"seq": seq}, "box", seq)
                for id in chance.sample(IDS, len(IDS))
            ]
            fresh = await store.write(reports)
            new += sum(fresh)

    async with anyio.create_task_group() as tasks:
        for number in range(4):
            tasks.start_soon(send, nodes[number % 2], number)
    assert new == 30 * len(IDS)
    for id in IDS:
        assert await values_of(nodes[0], sensors[id]) == [(seq, seq) for seq in range(1, 31)]
        assert await nodes[1].heads(id) == {"box": 30}
        assert len(await nodes[1].status_history(id, None, None, 100)) == 30


async def test_values_that_two_nodes_get_in_one_moment_are_all_kept(
    nodes: list[PostgresStore],
) -> None:
    sensor = await make_sensor(nodes[0])
    for store in nodes:
        await store.write([Report(A, 5.0, 7.0, [(sensor.id, store.node)])])
    assert await values_of(nodes[0], sensor) == [(5.0, 1), (5.0, 2)]


async def test_devices_are_deleted_while_they_report(nodes: list[PostgresStore]) -> None:
    sensors = await make_sensors(nodes[0])
    over = anyio.Event()

    async def send(store: PostgresStore) -> None:
        seq = 0
        while not over.is_set():
            seq += 1
            reports = [
                Report(id, 1.0, 1.0, [(sensors[id].id, 1)], {"a": 1}, f"box {seq % 3}", seq)
                for id in reversed(IDS)
            ]
            await store.write(reports)
            await store.seen([(id, float(seq)) for id in IDS[::-1]])

    async with anyio.create_task_group() as tasks:
        for store in nodes:
            tasks.start_soon(send, store)
        for id in IDS[::2]:
            await nodes[0].delete_device(id)
            with pytest.raises(UnknownDevice):
                await nodes[1].device(id)
        over.set()
    for id in IDS[::2]:
        assert await nodes[0].heads(id) == {}
        await nodes[0].create_device(row(id, id))
        assert await nodes[0].status(id) is None
        report = Report(id, 1.0, 1.0, outbox_id="box 1", seq=1)
        assert await nodes[1].write([report]) == [True]


async def test_what_cannot_be_stored_costs_nothing_else(
    nodes: list[PostgresStore], caplog: pytest.LogCaptureFixture
) -> None:
    store = nodes[0]
    sensors = await make_sensors(store)
    bad, good = IDS[0], IDS[1]
    half = "\ud800"
    reports = [
        Report(bad, 1.0, 1.0, [(sensors[bad].id, value), (sensors[bad].id, 1)])
        for value in (float("nan"), float("inf"), 1 << 64, half, {"a": half})
    ]
    reports += [
        Report(bad, 2.0, 1.0, status={"a": half}),
        Report(bad, 2.0, 1.0, status={"\x00": "\x00"}),
        Report(bad, 3.0, 1.0, outbox_id=half, seq=1),
        Report(bad, 3.0, 1.0, outbox_id="\x00", seq=1),
    ]
    mine = [Report(good, 1.0, 1.0, [(sensors[good].id, 1)], {"a": 1}, "box", 1)]
    with caplog.at_level(logging.WARNING, "jsonrpc_iot.novacloud"):
        fresh = await store.write([*reports, *mine])
    assert fresh == [True] * 7 + [False, True, True]
    assert caplog.text.count("cannot be stored") == 7
    assert await values_of(store, sensors[good]) == [(1.0, 1)]
    assert await store.heads(good) == {"box": 1}
    assert await store.heads(bad) == {"\x00": 1}
    found = await store.status(bad)
    assert found is not None
    assert found.payload == {"\x00": "\x00"}
    assert [point.value for point in await store.query(Query(sensor=sensors[bad].id))] == [1] * 5


async def test_unknown_ids_are_unknown_whatever_they_are(nodes: list[PostgresStore]) -> None:
    for id in "", "\x00", "'; DROP TABLE devices; --", "x" * 100_000:
        with pytest.raises(UnknownDevice):
            await nodes[0].device(id)
        assert await nodes[0].command(id) is None
        assert await nodes[0].status(id) is None
