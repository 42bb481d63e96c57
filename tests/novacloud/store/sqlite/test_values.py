"""How values lie in the file: groups that come, parts that they become, and the older table."""

import random
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, closing
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from jsonrpc_iot.novacloud import SqliteStore, StoreFailed
from jsonrpc_iot.novacloud.store.query import Query
from jsonrpc_iot.novacloud.store.registry import Sensor
from jsonrpc_iot.novacloud.store.sqlite import keeper, points, runs, upkeep
from jsonrpc_iot.novacloud.store.sqlite.schema import STEPS
from jsonrpc_iot.novacloud.store.telemetry_log import Downsample, Report, Retention

from ..rows import A, row

DAY = 86_400.0

pytestmark = pytest.mark.anyio
on_one_loop = pytest.mark.only_on("trio")  # for what takes long and is the same on all


class Clock:
    """The time of day, as a test says."""

    now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Merges, slices and answers of few values."""
    for name, value in ("GROUPS", 4), ("ROWS", 40), ("FAN", 3), ("SLICE_ROWS", 7):
        monkeypatch.setattr(upkeep, name, value)
    monkeypatch.setattr(points, "MOST_ROWS", 5)


@pytest.fixture
async def store(tmp_path: Path, small: None) -> AsyncIterator[SqliteStore]:
    async with SqliteStore(tmp_path / "nova.db", durable=False, clock=Clock()) as opened:
        await opened.create_device(row())
        yield opened


async def write(store: SqliteStore, sensor: Sensor, *values: tuple[float, Any]) -> None:
    now = time.time()
    await store.write([Report(A, at, now, [(sensor.id, value)]) for at, value in values])


async def values(store: SqliteStore, sensor: Sensor, **query: Any) -> list[tuple[float, Any]]:
    found = await store.query(Query(sensor=sensor.id, **{"limit": 100_000, **query}))
    return [(point.timestamp, point.value) for point in found]


def levels(path: Path) -> set[int]:
    with closing(sqlite3.connect(path)) as db:
        return {level for (level,) in db.execute("SELECT level FROM parts")}


async def test_all_runs_are_read_as_one(store: SqliteStore, tmp_path: Path) -> None:
    sensors = [await store.define_sensor(A, f"t{number}", "number") for number in range(3)]
    chance = random.Random(5)
    stored: dict[int, list[tuple[float, float]]] = {sensor.id: [] for sensor in sensors}
    for number in range(120):
        sensor = chance.choice(sensors)
        some = [(float(chance.randrange(60)), number + each / 8) for each in range(5)]
        stored[sensor.id] += some
        await write(store, sensor, *some)
        if number % 40 == 39:
            await store.keeper.merge()
    assert max(levels(tmp_path / "nova.db")) > 1, "parts were merged into larger ones"
    latest = await store.latest(A, 1e9)
    for sensor in sensors:
        expected = sorted(stored[sensor.id], key=lambda each: each[0])  # as they came, otherwise
        assert await values(store, sensor) == expected
        assert await values(store, sensor, order="desc") == expected[::-1]
        assert (latest[sensor.value_key].timestamp, latest[sensor.value_key].value) == expected[-1]
        within = [each for each in expected if 10 <= each[0] < 30]
        assert await values(store, sensor, start=10, end=30) == within
        assert await values(store, sensor, limit=7, order="desc") == expected[:-8:-1]
        counts = {at // 10 * 10: 0 for at, _ in expected}
        for at, _ in expected:
            counts[at // 10 * 10] += 1
        assert await values(store, sensor, interval=10, aggregate="count") == [*counts.items()]
        lasts = {at // 10 * 10: value for at, value in expected}
        found = await values(store, sensor, interval=10, aggregate="last", order="desc")
        assert found == [*lasts.items()][::-1]


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_rare_groups_are_found(store: SqliteStore, order: Any) -> None:
    sensor = await store.define_sensor(A, "t", "number")
    await write(store, sensor, *((10.0**power, power) for power in range(9)))
    found = await values(store, sensor, interval=1, aggregate="max", order=order, limit=8)
    expected = [(10.0**power, power) for power in range(9)]
    assert found == (expected if order == "asc" else expected[::-1])[:8]


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_groups_of_large_values_are_read_a_few_at_a_time(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, order: Any
) -> None:
    monkeypatch.setattr(points, "MOST_ROWS", 1000)
    monkeypatch.setattr(points, "MOST_BYTES", 5000)
    sensor = await store.define_sensor(A, "s", "string")
    await write(store, sensor, *((at, f"{at}" + "x" * 1000) for at in range(60)))
    query = Query(sensor=sensor.id, interval=2, aggregate="last", order=order, limit=100)
    place: points.Place | None = points.Place()
    found: list[float] = []
    while place is not None:
        some, place = await store.queries.read(partial(points.points, query=query, place=place))
        assert len(some) <= 5
        assert all(point.value.startswith(f"{point.timestamp + 1:.0f}x") for point in some)
        found += [point.timestamp for point in some]
    assert sorted(found) == [*range(0, 60, 2)]
    assert found == sorted(found, reverse=order == "desc")


async def test_days_begin_where_the_clock_of_a_zone_says_so(store: SqliteStore) -> None:
    sensor = await store.define_sensor(A, "t", "number")
    await write(store, sensor, (2 * DAY - 7200, 1), (2 * DAY - 1800, 2), (2 * DAY, 4))
    found = await values(store, sensor, interval=DAY, aggregate="sum", offset=3600)
    assert found == [(DAY - 3600, 1), (2 * DAY - 3600, 6)]


async def test_the_share_of_time_that_something_is_on(store: SqliteStore) -> None:
    sensor = await store.define_sensor(A, "on", "boolean")
    await write(store, sensor, (0, True), (1, True), (2, False), (3, True))
    assert await values(store, sensor, aggregate="mean") == [(0, 0.75)]
    assert await values(store, sensor, aggregate="sum") == [(0, 3)]
    assert await values(store, sensor, aggregate="first") == [(0, True)]


async def test_a_file_of_the_first_version_goes_on(tmp_path: Path, small: None) -> None:
    path = tmp_path / "nova.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(STEPS[0])
        db.execute("PRAGMA user_version = 1")
        db.execute("INSERT INTO devices VALUES (?, 'lamp', x'00', 1, 1.5, NULL)", (A,))
        db.execute("INSERT INTO sensors VALUES (7, ?, 't', 'number', NULL)", (A,))
        old = [(7, float(at), int(at * 1e6) + at % 3, at) for at in range(20)]
        db.executemany("INSERT INTO telemetry VALUES (?, ?, ?, ?)", old)
        db.commit()
    async with SqliteStore(path, durable=False):
        pass
    async with SqliteStore(path, durable=False) as store:
        (sensor,) = (await store.device(A)).sensors
        assert await values(store, sensor) == [(at, at) for at in range(20)]
        await write(store, sensor, (5.5, "new"), (30.0, 30))
        assert await values(store, sensor, start=5, end=7) == [(5, 5), (5.5, "new"), (6, 6)]
        assert (await store.latest(A, 100.0))["t"].value == 30
        await store.delete_values([sensor.id], end=10)
        assert [at for at, _ in await values(store, sensor)] == [*range(10, 20), 30]
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*), min(timestamp) FROM telemetry").fetchone() == (11, 10)


async def test_a_merge_that_was_cut_short_is_done_again(tmp_path: Path, small: None) -> None:
    path = tmp_path / "nova.db"
    async with SqliteStore(path, durable=False) as store:
        await store.create_device(row())
        sensor = await store.define_sensor(A, "t", "number")
        for at in range(10):
            await write(store, sensor, (at, at))
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        # As a kill leaves it: a part that is half written, and one that is half deleted.
        for part in 900, 901:
            db.execute("INSERT INTO parts VALUES (?, 0, 0, 0, 0)", (part,))
            db.execute("INSERT INTO merged VALUES (?, ?, 3, 0, 3)", (part, sensor.id))
    async with SqliteStore(path, durable=False) as store:
        await store.keeper.merge()
        assert await values(store, sensor) == [(at, at) for at in range(10)]
    assert 0 not in levels(path)


async def test_deleting_between_two_times(store: SqliteStore) -> None:
    kept, cut = [await store.define_sensor(A, key, "number") for key in "kc"]
    for at in range(100):
        await write(store, kept, (at, at))
        await write(store, cut, (at, at), (50, at))
    await store.delete_values([cut.id], start=20, end=90)
    assert [at for at, _ in await values(store, cut)] == [*range(20), *range(90, 100)]
    assert len(await values(store, kept)) == 100


async def test_the_values_of_a_deleted_sensor_leave_the_file(
    store: SqliteStore, tmp_path: Path
) -> None:
    sensor = await store.define_sensor(A, "t", "number")
    for at in range(60):
        await write(store, sensor, (at, at))
    await store.delete_sensor(A, "t")
    await store.keeper.clean()
    with closing(sqlite3.connect(tmp_path / "nova.db")) as db:
        assert db.execute("SELECT count(*) FROM telemetry").fetchone() == (0,)
        assert db.execute("SELECT count(*) FROM doomed").fetchone() == (0,)


async def test_the_most_particular_rule_counts(store: SqliteStore) -> None:
    now = Clock.now
    a, b, c = [await store.define_sensor(A, key, "number") for key in "abc"]
    for sensor in (a, b, c):
        await write(store, sensor, *((now - day * DAY, day) for day in range(20)))
    await store.set_retention(Retention(15))
    await store.set_retention(Retention(10, value_key="b"))
    await store.set_retention(Retention(99, device_id=A, value_key="c"))
    await store.set_retention(Retention(5, device_id=A, value_key="c"))
    assert await store.retention() == [
        Retention(15),
        Retention(10, value_key="b"),
        Retention(5, device_id=A, value_key="c"),
    ]
    await store.keeper.clean()
    assert [len(await values(store, sensor)) for sensor in (a, b, c)] == [16, 11, 6]
    await store.clear_retention(A, "c")
    await store.clear_retention(None, None)
    assert await store.retention() == [Retention(10, value_key="b")]


async def test_old_values_become_means(store: SqliteStore) -> None:
    now = Clock.now
    hour = now // 3600 * 3600
    number = await store.define_sensor(A, "n", "number")
    text = await store.define_sensor(A, "s", "string")
    for back in range(48, 0, -1):
        at = hour - back * 3600
        await write(store, number, *((at + each * 600, back + each) for each in range(6)))
        await write(store, text, *((at + each * 600, f"{back}.{each}") for each in range(6)))
    await store.set_retention(Retention(30, downsample=Downsample(interval=3600, after_days=1)))
    await store.keeper.clean()
    whole = await values(store, number, end=now - DAY - 3600)
    assert whole == [(hour - back * 3600, back + 2.5) for back in range(48, 24, -1)]
    lasts = await values(store, text, end=now - DAY - 3600)
    assert lasts == [(hour - back * 3600, f"{back}.5") for back in range(48, 24, -1)]
    assert len(await values(store, number, start=now - DAY)) >= 6 * 23
    before = await values(store, number)
    await store.keeper.clean()
    assert await values(store, number) == before


async def test_the_mean_of_values_whose_sum_is_too_large(store: SqliteStore) -> None:
    sensor = await store.define_sensor(A, "t", "number")
    begin = Clock.now // 3600 * 3600 - 3 * DAY
    await write(store, sensor, (begin, 1e308), (begin + 1, 1.5e308), (begin + 2, -(1 << 62)))
    await store.set_retention(Retention(30, downsample=Downsample(interval=3600, after_days=1)))
    await store.keeper.clean()
    assert await values(store, sensor) == [(begin, pytest.approx(8.333333e307))]


@pytest.mark.parametrize("leap", [DAY, 365 * DAY, -365 * DAY])
async def test_no_value_goes_because_the_clock_leapt_for_a_moment(
    tmp_path: Path, leap: float
) -> None:
    clock, path, passed = Clock(), tmp_path / "nova.db", [0.0]

    def opened() -> SqliteStore:
        return SqliteStore(path, durable=False, clock=clock, elapsed=lambda: passed[0])

    async def kept(store: SqliteStore, seconds: float = 0.0) -> list[float]:
        clock.now += seconds
        passed[0] += seconds
        await store.keeper.clean()
        return [value for _, value in await values(store, sensor)]

    begin = clock.now
    async with opened() as store:
        await store.create_device(row())
        sensor = await store.define_sensor(A, "t", "number")
        await write(store, sensor, *((begin - day * DAY, day) for day in (9.9, 9.2, 5, 1)))
        await store.set_retention(Retention(10))
        assert len(await kept(store)) == 4
        clock.now += leap
        assert len(await kept(store)) == 4
        assert len(await kept(store, 60)) == 4, "also when it is seen again"
        clock.now -= leap
        assert len(await kept(store, 60)) == 4
        clock.now += leap
    async with opened() as store:  # at boot nothing is known but what has been stored
        assert len(await kept(store)) == 4
        assert len(await kept(store, 60)) == 4
        clock.now -= leap
        assert len(await kept(store, 60)) == 4
        assert await kept(store, 0.6 * DAY) == [9.2, 5, 1], "time goes on"


async def test_a_clock_that_stays_ahead_is_believed_and_so_is_the_way_back(tmp_path: Path) -> None:
    clock, passed = Clock(), [0.0]
    store = SqliteStore(tmp_path / "nova.db", durable=False, clock=clock, elapsed=lambda: passed[0])
    async with store:
        await store.create_device(row())
        sensor = await store.define_sensor(A, "t", "number")
        await store.set_retention(Retention(10))
        await store.keeper.clean()
        begin = clock.now
        await write(store, sensor, (begin, 1))
        clock.now += 20 * DAY  # the machine was off
        for _ in range(61):
            assert len(await values(store, sensor)) == 1
            await store.keeper.clean()
            clock.now += 60
            passed[0] += 60
        assert await values(store, sensor) == []
        clock.now = begin + DAY  # it was wrong for long
        await write(store, sensor, (begin - 11 * DAY, 1), (begin, 2))
        for _ in range(3):
            await store.keeper.clean()
            clock.now += 1800
            passed[0] += 1800
        assert await values(store, sensor) == [(begin, 2)]


@on_one_loop
async def test_a_month_under_retention_needs_no_more_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "ROWS", 2000)
    monkeypatch.setattr(keeper, "_REST_SECONDS", 0.0)  # there are no others to be let in
    clock, path, sizes = Clock(), tmp_path / "nova.db", []
    async with SqliteStore(path, durable=False, clock=clock) as store:
        await store.create_device(row())
        sensors = [await store.define_sensor(A, f"t{number}", "number") for number in range(20)]
        await store.set_retention(Retention(3))
        for hour in range(24 * 30):
            at = clock.now = Clock.now + hour * 3600
            reports = [
                Report(A, at + each, at + each, [(sensor.id, each + 0.5) for sensor in sensors])
                for each in range(10)
            ]
            await store.write(reports)
            if hour % 6 == 5:
                await store.keeper.merge()
                await store.keeper.clean()
            if hour >= 24 * 6 and hour % 24 == 23:
                with closing(sqlite3.connect(path)) as db:
                    (pages,) = db.execute("PRAGMA page_count").fetchone()
                    sizes.append(pages)
        oldest = (await values(store, sensors[0], limit=1))[0][0]
    assert clock.now - 3.7 * DAY < oldest < clock.now - 2.9 * DAY
    assert max(sizes) <= 1.2 * min(sizes), sizes


async def test_a_backup_while_values_arrive(store: SqliteStore, tmp_path: Path) -> None:
    sensor = await store.define_sensor(A, "t", "number")
    copy, over = tmp_path / "copy.db", anyio.Event()
    written = 0

    async def report() -> None:
        nonlocal written
        while not over.is_set():
            await write(store, sensor, (written, written))
            written += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(report)
        while written < 50:
            await anyio.lowlevel.checkpoint()
        before = written
        await store.backup(str(copy))
        over.set()
    with pytest.raises(StoreFailed, match="there is a file"):
        await store.backup(str(copy))
    with pytest.raises(StoreFailed, match="directory"):
        await store.backup(str(tmp_path / "nowhere" / "copy.db"))
    assert {each.name for each in tmp_path.iterdir() if "copy" in each.name} == {"copy.db"}
    with closing(sqlite3.connect(copy)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    async with SqliteStore(copy) as copied:
        found = await values(copied, sensor)
    assert found == [(at, at) for at in range(len(found))]
    assert before <= len(found) <= written


async def test_who_reads_no_further_holds_nothing(store: SqliteStore, tmp_path: Path) -> None:
    sensor = await store.define_sensor(A, "t", "number")
    await write(store, sensor, *((at, at) for at in range(100)))
    async with aclosing(store.points(Query(sensor=sensor.id, limit=100))) as some:
        assert [point.value async for point, _ in _zip(some, range(7))] == [*range(7)]
        with closing(sqlite3.connect(tmp_path / "nova.db", isolation_level=None)) as other:
            busy, log, moved = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        assert (busy, log, moved) == (0, 0, 0)
        await write(store, sensor, (50.5, "late"))
        rest = [point.value async for point in some]
    assert rest[43:46] == [50, "late", 51]


async def _zip(items: Any, numbers: range) -> AsyncIterator[tuple[Any, int]]:
    for number in numbers:
        yield await anext(items), number


async def test_a_reader_that_failed_half_way_sees_what_comes_later(
    store: SqliteStore, tmp_path: Path
) -> None:
    sensor = await store.define_sensor(A, "t", "number")
    await write(store, sensor, *((at, at) for at in range(100)))

    def fail(db: sqlite3.Connection) -> None:
        reading = runs.rows(db, sensor.id)
        next(reading)
        db.execute("SELECT no_such_column FROM devices")

    kept = []
    for _ in range(5):  # more than there are readers
        with pytest.raises(StoreFailed) as failed:
            await store.queries.read(fail)
        kept.append(failed)
    await write(store, sensor, (100, 100))
    assert await values(store, sensor, start=99) == [(99, 99), (100, 100)]
    with closing(sqlite3.connect(tmp_path / "nova.db", isolation_level=None)) as other:
        assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)


async def test_a_query_that_nobody_waits_for_ends(store: SqliteStore) -> None:
    def for_ever(db: sqlite3.Connection) -> None:
        db.execute(
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
        ).fetchone()

    with anyio.fail_after(10):
        for _ in range(5):  # more than may read at once
            with anyio.move_on_after(0.05) as scope:
                await store.queries.read(for_ever)
            assert scope.cancelled_caught


@on_one_loop
async def test_values_cost_few_bytes_on_the_disk(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("Linux alone counts the bytes that a process has written")
    async with SqliteStore(tmp_path / "nova.db") as store:
        await store.create_device(row())
        sensors = [await store.define_sensor(A, f"t{number}", "number") for number in range(5000)]
        before = _written()
        for group in range(50):
            at = 1_790_000_000.0 + group
            await store.write(
                [Report(A, at, at + 0.25, [(sensor.id, group + 0.1)]) for sensor in sensors]
            )
        await store.keeper.merge()
    written = _written() - before
    if not written:
        pytest.skip("the folder for tests is not on a disk")
    assert written / (50 * 5000) <= 150


def _written() -> int:
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(lines["write_bytes"])
