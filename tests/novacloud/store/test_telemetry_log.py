"""What every `TelemetryLog` has to do with values."""

import time
from typing import Any

import msgspec
import pytest

from jsonrpc_iot.novacloud import Store
from jsonrpc_iot.novacloud.store.query import Point, Query
from jsonrpc_iot.novacloud.store.telemetry_log import Place, Report

from .rows import A, make_sensor, row, values_of, write_values

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "value",
    [
        0,
        -1,
        (1 << 63) - 1,
        -(1 << 63),
        0.1,
        1e300,
        "",
        "正\x00\x1b",
        True,
        False,
        [],
        {},
        {"a": [None, 1.5, "x"]},
    ],
    ids=repr,
)
async def test_a_value_comes_back_as_it_was(store: Store, value: Any) -> None:
    sensor = await make_sensor(store)
    await write_values(store, sensor, (5.25, value))
    ((at, found),) = await values_of(store, sensor)
    assert (at, found, type(found)) == (5.25, value, type(value))
    assert await store.latest(A, time.time()) == {"t": Point(5.25, value)}


async def test_many_values_in_one_group(store: Store) -> None:
    sensors = [await make_sensor(store, f"t{number}") for number in range(3)]
    reports = [
        Report(A, float(at), 1e9, [(sensor.id, at) for sensor in sensors]) for at in range(1111)
    ]
    assert await store.write(reports) == [True] * 1111
    for sensor in sensors:
        found = await values_of(store, sensor, limit=2000)
        assert found == [(at, at) for at in range(1111)]


async def test_values_of_one_time_are_all_kept_and_the_last_is_the_latest(store: Store) -> None:
    sensor = await make_sensor(store)
    await write_values(store, sensor, (5, 1), (5, 2), (5, 3), (4, 9))
    assert await values_of(store, sensor) == [(4, 9), (5, 1), (5, 2), (5, 3)]
    assert (await store.latest(A, time.time()))["t"].value == 3


async def test_a_range(store: Store) -> None:
    sensor = await make_sensor(store)
    await write_values(store, sensor, *((at, at) for at in range(10)))
    assert await values_of(store, sensor, start=3, end=5) == [(3, 3), (4, 4)]
    assert await values_of(store, sensor, limit=2) == [(0, 0), (1, 1)]
    assert await values_of(store, sensor, order="desc", limit=2) == [(9, 9), (8, 8)]
    assert await values_of(store, sensor, start=20) == []


@pytest.mark.parametrize(
    ("aggregate", "expected"),
    [
        (None, [(0, 2.0), (10, 20.0)]),
        ("mean", [(0, 2.0), (10, 20.0)]),
        ("min", [(0, 1), (10, 20)]),
        ("max", [(0, 3), (10, 20)]),
        ("last", [(0, "x"), (10, 20)]),
        ("count", [(0, 3), (10, 1)]),
    ],
)
async def test_groups(store: Store, aggregate: Any, expected: object) -> None:
    sensor = await make_sensor(store)
    await write_values(store, sensor, (9, "x"), (0, 1), (5, 3), (10, 20))
    found = await values_of(store, sensor, interval=10, aggregate=aggregate)
    assert found == expected
    backwards = await values_of(store, sensor, interval=10, aggregate=aggregate, order="desc")
    assert backwards == found[::-1]


async def test_all_values_as_one_group(store: Store) -> None:
    sensor = await make_sensor(store)
    assert await values_of(store, sensor, aggregate="count") == []
    await write_values(store, sensor, (7, 1), (9, 3))
    assert await values_of(store, sensor, aggregate="mean") == [(7, 2.0)]
    assert await values_of(store, sensor, aggregate="count", start=8) == [(8, 1)]


async def test_the_future_is_flagged_and_waits(store: Store) -> None:
    sensor = await make_sensor(store)
    now = time.time()
    ahead = now + 1000
    await store.write([Report(A, ahead, now, [(sensor.id, 1)])])
    assert await store.latest(A, now) == {"t": Point(ahead, 1, flagged=True)}
    await write_values(store, sensor, (now, 2))
    assert (await store.latest(A, now))["t"].value == 2
    assert (await store.latest(A, ahead))["t"].value == 1


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_each_value_is_on_one_page(store: Store, order: Any) -> None:
    one, two = await make_sensor(store, "one"), await make_sensor(store, "two")
    reports = [
        Report(A, at % 3, 1.0, [(one.id, at), (two.id, [at])]) for at in map(float, range(30))
    ]
    await store.write(reports)
    after: Place | None = None
    found: list[Any] = []
    while rows := await store.value_page([two.id, one.id], after, 7, order=order):
        assert len(rows) <= 7
        found += [(place[0], value) for place, value in rows]
        after = rows[-1][0]
        if len(found) < 30:
            await write_values(store, one, (1.0, "late"), (-1.0, "late"), (9.0, "late"))
    values = [value for _, value in found if not isinstance(value, str)]
    assert sorted(values, key=str) == sorted(
        [value for each in reports for _, value in each.values], key=str
    )
    times = [at for at, _ in found]
    assert times == sorted(times, reverse=order == "desc")
    some = await store.value_page([one.id], None, 100, start=1.0, end=2.0, order=order)
    assert {place[0] for place, _ in some} == {1.0}


async def test_the_latest_of_each_sensor_is_on_one_page(store: Store) -> None:
    ids = [f"00000000-0000-4000-8000-{number:012}" for number in range(7)]
    reports, expected = [], []
    for number, id in enumerate(ids):
        tags = ("odd",) if number % 2 else ()
        await store.create_device(msgspec.structs.replace(row(id, "lamp"), tags=tags))
        for key in "abcd":
            sensor = await store.define_sensor(id, key, "number")
            if key != "c":
                reports += [Report(id, at, 9.0, [(sensor.id, at + number)]) for at in (2, 5, 1)]
                expected.append((id, key, Point(5, 5 + number)))
    await store.write(reports)

    async def found(limit: int, **which: Any) -> list[Any]:
        found: list[Any] = []
        after = None
        while some := await store.latest_page(after, limit, 5.0, **which):
            assert len(some) <= limit
            found += [(each.device_id, each.value_key, each.point) for each in some]
            after = found[-1][:2]
        return found

    for limit in 1, 4, 1000:
        assert await found(limit) == expected
    assert await found(3, tag="odd") == [each for each in expected if each[0] in ids[1::2]]
    assert await found(3, value_keys=["b", "c"]) == expected[1::3]
    assert await found(3, value_keys=["c"]) == []


async def test_a_clock_that_was_far_ahead_says_nothing_of_later_values(store: Store) -> None:
    sensor = await make_sensor(store)
    day = 86_400.0
    for timestamp, received in (100 * day, 100 * day), (day, day), (2 * day, day + 1):
        await store.write([Report(A, timestamp, received, [(sensor.id, 1)])])
    points = await store.query(Query(sensor=sensor.id))
    assert [(point.timestamp / day, point.flagged) for point in points] == [
        (1, False),
        (2, True),
        (100, False),
    ]
