"""The weeks of values, and how what is too old leaves them."""

import math
import re
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from jsonrpc_iot.novacloud.store.postgres import PostgresStore, keeper, retention
from jsonrpc_iot.novacloud.store.postgres.partitions import WEEK, Weeks
from jsonrpc_iot.novacloud.store.postgres.weeks import cover, weeks
from jsonrpc_iot.novacloud.store.registry import Sensor
from jsonrpc_iot.novacloud.store.telemetry_log import Downsample, Retention
from tests.novacloud.timescale import Timescale

from ..rows import A, make_sensor, row, values_of, write_values
from .databases import new_database

pytestmark = pytest.mark.anyio

DAY = 86_400.0


class Clock:
    """The time of day, as a test says, and how much has passed."""

    now = time.time() // DAY * DAY
    passed = 0.0

    def go_on_until(self, now: float) -> None:
        self.passed += now - self.now
        self.now = now


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["partitions", pytest.param("hypertable", marks=pytest.mark.timescale)])
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of an empty database, by what the weeks are in it."""
    if request.param == "partitions":
        with new_database() as url:
            yield url
    else:
        server: Timescale = request.getfixturevalue("timescale")
        with server.empty_database() as url:
            yield url


only_partitions = pytest.mark.parametrize("database", ["partitions"], indirect=True)
"""For what takes two transactions at a time."""
only_hypertable = pytest.mark.parametrize(
    "database", [pytest.param("hypertable", marks=pytest.mark.timescale)], indirect=True
)


@pytest.fixture
async def store(
    database: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[PostgresStore]:
    monkeypatch.setattr(keeper, "SLICE", 7)
    monkeypatch.setattr(retention, "SLICE", 7)
    store = PostgresStore(database, clock=lambda: clock.now, elapsed=lambda: clock.passed)
    async with store:
        yield store


async def clean(store: PostgresStore) -> None:
    """Have the keeper look, and not only say that it has begun."""
    with anyio.fail_after(10):
        assert await store.keeper.clean()


async def tables(store: PostgresStore) -> dict[str, int]:
    """The weeks, and how many values are in each that has any."""
    rows = await store._pools.fetch(
        "SELECT tableoid::regclass::text, count(*) FROM telemetry GROUP BY 1"
    )
    chunks = await chunk_names(store)
    return {chunks.get(name, name.removeprefix("telemetry_")): count for name, count in rows}


async def chunk_names(store: PostgresStore) -> dict[str, str]:
    """What the chunks of a hypertable would be called as partitions."""
    found = await known_weeks(store)
    sides = {found.first - 1: "past", found.end: "future"}
    rows = await store._pools.fetch(
        "SELECT inhrelid::regclass::text, substring(pg_get_constraintdef(pg_constraint.oid) "
        "FROM '>= .?(-?[0-9]+)') FROM pg_inherits JOIN pg_constraint ON conrelid = inhrelid "
        "WHERE inhparent = 'telemetry'::regclass AND contype = 'c'"
    )
    weeks = {name: int(start) // int(WEEK) for name, start in rows}
    return {name: sides.get(week, f"{week}") for name, week in weeks.items()}


async def compressed(store: PostgresStore) -> set[str]:
    """The weeks that are compressed."""
    rows = await store._pools.fetch(
        "SELECT range_start_integer FROM timescaledb_information.chunks WHERE is_compressed"
    )
    return {f"{start // int(WEEK)}" for (start,) in rows}


async def known_weeks(store: PostgresStore) -> Weeks:
    async with store._pools.lend("lookups") as db:
        found = await weeks(db)
    assert found is not None
    return found


async def all_of(store: PostgresStore, sensor: Sensor, **query: Any) -> list[tuple[float, Any]]:
    return await values_of(store, sensor, **{"limit": 100_000, **query})


async def test_each_time_has_its_place(store: PostgresStore) -> None:
    sensor = await make_sensor(store)
    found = await known_weeks(store)
    this = int(time.time() // WEEK)
    assert found == Weeks(this - 1, this + 4)
    edges = [week * WEEK for week in range(found.first, found.end + 1)]
    times = [-1e9, 0.0, *edges, 253_402_300_799.0, 1e300]
    await write_values(store, sensor, *((at, at) for at in times))
    assert await all_of(store, sensor) == [(at, at) for at in times]
    assert await all_of(store, sensor, order="desc") == [(at, at) for at in times[::-1]]
    weekly = {f"{week}": 1 for week in range(found.first, found.end)}
    assert await tables(store) == {"past": 2, **weekly, "future": 3}


async def test_a_week_is_made_before_its_time_also_where_values_were_ahead_of_it(
    store: PostgresStore,
) -> None:
    sensor = await make_sensor(store)
    found = await known_weeks(store)
    later = found.end + 2
    times = [(week + 0.5) * WEEK for week in range(later - 3, later + 6)]
    await write_values(store, sensor, *((at, at) for at in times))
    now = later * WEEK
    assert await store._pools.transact(lambda db: cover(db, now))
    assert not await store._pools.transact(lambda db: cover(db, now))
    assert await known_weeks(store) == Weeks(found.first, later + 4)
    assert await all_of(store, sensor) == [(at, at) for at in times]
    placed = await tables(store)
    assert placed.pop("future") == 2
    assert placed == {f"{int(at // WEEK)}": 1 for at in times[:-2]}


async def test_old_values_that_are_brought_get_weeks_of_their_own(store: PostgresStore) -> None:
    sensor = await make_sensor(store)
    found = await known_weeks(store)
    times = [(week + 0.5) * WEEK for week in range(found.first - 5, found.first + 1)]
    await write_values(store, sensor, (times[1], times[1]))
    await store.reach_back(times[1])
    await store.reach_back(times[2])
    assert await known_weeks(store) == Weeks(found.first - 4, found.end)
    await write_values(store, sensor, *((at, at) for at in times if at != times[1]))
    assert await all_of(store, sensor) == [(at, at) for at in times]
    assert await tables(store) == {"past": 1} | {f"{int(at // WEEK)}": 1 for at in times[1:]}


async def test_weeks_that_are_over_for_all_are_dropped(store: PostgresStore, clock: Clock) -> None:
    sensor = await make_sensor(store)
    found = await known_weeks(store)
    await store._pools.transact(lambda db: cover(db, (found.end + 5) * WEEK))
    times = [(week + 0.5) * WEEK for week in range(found.first - 2, found.end + 8)]
    await write_values(store, sensor, *((at, at) for at in times))
    clock.go_on_until((found.end + 2) * WEEK)
    await store.set_retention(Retention(14.0))
    await clean(store)
    assert (await known_weeks(store)).first == found.end
    assert await all_of(store, sensor) == [(at, at) for at in times if at > clock.now - 14 * DAY]
    await write_values(store, sensor, (clock.now - 30 * DAY, "late"))
    assert (await tables(store))["past"] == 1
    other = await make_sensor(store, "kept")  # its rule keeps more
    await store.set_retention(Retention(1000.0, value_key="kept"))
    await write_values(store, other, ((found.end + 0.5) * WEEK, 1))
    clock.go_on_until(clock.now + 3 * WEEK)
    await clean(store)
    assert (await known_weeks(store)).first == found.end
    assert [at for at, _ in await all_of(store, sensor)] == [
        at for at in times if at >= clock.now - 14 * DAY
    ]
    assert len(await all_of(store, other)) == 1


@only_partitions
async def test_a_long_report_is_waited_for_and_not_in_the_way(
    store: PostgresStore, clock: Clock
) -> None:
    sensor = await make_sensor(store)
    await write_values(store, sensor, (clock.now, 1))
    found = await known_weeks(store)
    clock.go_on_until((found.end + 1) * WEEK)
    async with store._pools.lend("reports") as db, db.transaction():
        # On a busy machine it would be taken for that of a node that was stopped.
        await db.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        await db.fetch("SELECT count(*) FROM telemetry")
        await store.set_retention(Retention(1.0))
        await clean(store)
        assert (await known_weeks(store)).first == found.first
        with anyio.fail_after(5):
            await write_values(store, sensor, (clock.now, 2))
    await clean(store)
    assert (await known_weeks(store)).first == found.end - 1
    assert [value for _, value in await all_of(store, sensor)] == [2]


@only_partitions
async def test_one_node_at_a_time_looks(store: PostgresStore) -> None:
    async with store._pools.lend("lookups") as db, db.transaction():
        await db.execute("SELECT pg_advisory_xact_lock($1)", keeper.LOCK)
        assert not await store.keeper.clean()
    await clean(store)


async def test_the_most_particular_rule_counts(store: PostgresStore, clock: Clock) -> None:
    a, b, c = [await make_sensor(store, key) for key in "abc"]
    for sensor in (a, b, c):
        await write_values(store, sensor, *((clock.now - day * DAY, day) for day in range(20)))
    rules = [
        Retention(15),
        Retention(10, value_key="b"),
        Retention(5, device_id=A, value_key="c"),
    ]
    for rule in [*rules, Retention(99, device_id=A, value_key="c"), rules[2]]:
        await store.set_retention(rule)
    assert await store.retention() == rules
    await clean(store)
    assert [len(await all_of(store, sensor)) for sensor in (a, b, c)] == [16, 11, 6]
    await store.clear_retention(A, "c")
    await store.clear_retention(None, None)
    assert await store.retention() == [Retention(10, value_key="b")]


@only_partitions
async def test_rules_come_and_go_while_they_are_looked_at(store: PostgresStore) -> None:
    await make_sensor(store)
    over = False

    async def change() -> None:
        nonlocal over
        for _ in range(60):
            await store.set_retention(Retention(10))
            await store.clear_retention(None, None)
        over = True

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(change)
        while not over:
            await clean(store)


async def test_old_values_become_means(store: PostgresStore, clock: Clock) -> None:
    number, text, large = [await make_sensor(store, key) for key in "nsl"]
    hours = [clock.now - back * 3600 for back in range(48, 0, -1)]
    for at in hours:
        await write_values(store, number, *((at + each * 600, each + 1) for each in range(6)))
        await write_values(store, text, *((at + each * 600, f"\x00 {each}") for each in range(6)))
    await write_values(store, large, *((hours[0] + each, 1e308) for each in range(3)))
    await write_values(store, large, (hours[1] + 5, 7))
    rule = Retention(30, downsample=Downsample(interval=3600, after_days=1))
    await store.set_retention(rule)
    await clean(store)
    old = [at for at in hours if at < clock.now - DAY]
    assert await all_of(store, number, end=clock.now - DAY) == [(at, 3.5) for at in old]
    assert await all_of(store, text, end=clock.now - DAY) == [(at, "\x00 5") for at in old]
    assert len(await all_of(store, number, start=clock.now - DAY)) == 24 * 6
    alone = (hours[1] + 5, 7)
    assert await all_of(store, large) == [(hours[0], pytest.approx(1e308)), alone]
    before = await all_of(store, number)
    await clean(store)
    assert await all_of(store, number) == before


async def test_means_become_means_of_longer_intervals(store: PostgresStore, clock: Clock) -> None:
    sensor = await make_sensor(store)
    day = clock.now - 3 * DAY
    await write_values(store, sensor, *((day + hour * 3600, hour) for hour in range(48)))
    for hours, days in ((2, 2.5), (24, 1)):
        rule = Retention(30, downsample=Downsample(hours * 3600.0, days))
        await store.set_retention(rule)
        await clean(store)
    assert await all_of(store, sensor, end=clock.now - DAY) == [(day, 13.5), (day + DAY, 35.5)]


async def test_values_between_two_times_are_deleted(store: PostgresStore) -> None:
    kept, cut = await make_sensor(store, "k"), await make_sensor(store, "c")
    for sensor in kept, cut:
        await write_values(store, sensor, *((float(at), at) for at in range(60)))
    await store.delete_values([cut.id], start=20.0, end=50.0)
    assert [value for _, value in await all_of(store, cut)] == [*range(20), *range(50, 60)]
    await store.delete_values([cut.id])
    assert await all_of(store, cut) == []
    assert len(await all_of(store, kept)) == 60


async def test_the_values_of_what_was_deleted_leave_the_tables(store: PostgresStore) -> None:
    for key in "ab":
        sensor = await make_sensor(store, key)
        await write_values(store, sensor, *((float(at), at) for at in range(20)))
    await store.delete_sensor(A, "a")
    await clean(store)
    assert await tables(store) == {"past": 20}
    await store.delete_device(A)
    await clean(store)
    assert await tables(store) == {}
    assert await store._pools.fetch("SELECT sensor FROM doomed") == []
    await store.create_device(row())


def test_times_are_compared_so_that_no_chunk_is_left_out() -> None:
    sources = [file.read_text() for file in Path(keeper.__file__).parent.glob("*.py")]
    statements = re.findall(r"FROM telemetry WHERE (?:[^\n]|\n(?!\n))*", "\n".join(sources))
    assert len(statements) >= 6
    assert [each for each in statements if re.search(r"\btimestamp [<>] \$", each)] == []


@only_hypertable
async def test_old_weeks_are_compressed_and_stay_as_good_as_others(
    store: PostgresStore, clock: Clock
) -> None:
    sensor, other = await make_sensor(store, "a"), await make_sensor(store, "b")
    found = await known_weeks(store)
    times = [found.first * WEEK + each * 3600.5 for each in range(3 * 7 * 24)]
    for each in sensor, other:
        await write_values(store, each, *((at, at) for at in times))
    clock.go_on_until((found.first + 3) * WEEK)
    await clean(store)
    assert await compressed(store) == {f"{found.first}", f"{found.first + 1}"}
    at = times[5] + 1
    reports = [(time, time) for time in (at, *times)]
    await write_values(store, sensor, *reports[:1])  # late
    wanted = sorted(reports)
    assert await all_of(store, sensor) == wanted
    assert await all_of(store, sensor, order="desc") == wanted[::-1]
    edge = (found.first + 1) * WEEK
    near = [edge - 0.5, edge, edge + 0.5, math.nextafter(edge, 0), math.nextafter(edge, math.inf)]
    await write_values(store, sensor, *((at, at) for at in near))
    for end in [*near, edge + 1]:
        found_before = [at for at, _ in await all_of(store, sensor, start=edge - 1, end=end)]
        assert found_before == sorted(at for at in near if at < end)
    await store.delete_values([sensor.id], start=at, end=edge + WEEK + 1)
    assert [at for at, _ in await all_of(store, sensor)] == [
        *times[:6], *(at for at in times if at >= edge + WEEK + 1)
    ]  # fmt: skip
    assert len(await all_of(store, other)) == len(times)
    await store.set_retention(Retention(99, downsample=Downsample(interval=WEEK, after_days=0)))
    await clean(store)
    assert [at for at, _ in await all_of(store, other)] == [edge - WEEK, edge, edge + WEEK]


@only_hypertable
async def test_a_week_that_cannot_be_compressed_stays_as_it_is_and_is_told_once(
    store: PostgresStore, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    sensor = await make_sensor(store)
    found = await known_weeks(store)
    await write_values(store, sensor, (found.first * WEEK, 1))
    clock.go_on_until((found.first + 2) * WEEK)
    await store._pools.change("ALTER TABLE telemetry SET (timescaledb.compress = FALSE)")
    await clean(store)
    await clean(store)
    assert await compressed(store) == set()
    assert [each.getMessage().count("stay as they are") for each in caplog.records] == [1]


@pytest.mark.parametrize("leap", [DAY, 365 * DAY])
async def test_no_value_goes_because_a_clock_leapt_for_a_moment(
    store: PostgresStore, clock: Clock, leap: float
) -> None:
    sensor = await make_sensor(store)
    await write_values(store, sensor, *((clock.now - day * DAY, day) for day in (9.9, 9.2, 5)))
    await store.set_retention(Retention(10))
    await clean(store)
    clock.now += leap
    await clean(store)
    assert len(await all_of(store, sensor)) == 3
