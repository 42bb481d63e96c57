"""Moving a SQLite file to PostgreSQL: all of it is there then, and devices go on."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import asyncpg
import pytest

from jsonrpc_iot.novacloud import DeviceSettings, NovaDevice, Schedule, SqliteStore, Store
from jsonrpc_iot.novacloud.errors import StoreFailed
from jsonrpc_iot.novacloud.store.command_log import CommandStatus
from jsonrpc_iot.novacloud.store.postgres.partitions import WEEK
from jsonrpc_iot.novacloud.store.postgres.store import PostgresStore
from jsonrpc_iot.novacloud.store.registry import Audit, DeviceRow
from jsonrpc_iot.novacloud.store.telemetry_log import Downsample, Report, Retention
from jsonrpc_iot.novacloud.transfer import migrating, source
from jsonrpc_iot.novacloud.transfer.migrating import CountsDiffer, Moved, NotEmpty, move
from jsonrpc_iot.novacloud.transfer.source import opened
from tests.ports import free_port

from .rig import Rig, running
from .servers import postgres
from .store.postgres.databases import empty_database, new_database
from .store.rows import A, B, command, row, values_of

pytestmark = pytest.mark.anyio

NOW = 1_800_000_000.0


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def url() -> Iterator[str]:
    with empty_database() as url:
        yield url


async def migrate(path: Path, url: str, told: list[str] | None = None) -> Moved:
    with opened(path, print if told is None else told.append) as file:
        return await move(file, url, lambda rows: None)


async def fill(store: Store) -> None:
    """A row of each kind, and what was difficult once."""
    await store.create_device(
        DeviceRow(
            device_id=A,
            name="l\x00m\x01p \u2028 ü",
            key_hash=bytes(range(32)),
            enabled=False,
            created=1.5,
            tags=("cell\x00ar", "\x01", "ü"),
            old_key_hash=b"\xff" * 32,
            old_key_until=7.25,
        )
    )
    await store.create_device(row(B))
    await store.seen([(B, 9.5)])
    gone = await store.define_sensor(B, "gone", "number")
    await store.write([Report(B, 1.0, 1.0, [(gone.id, 1)])])
    await store.delete_sensor(B, "gone")
    t = (await store.define_sensor(A, "t\x00", "number", "°C")).id
    s = (await store.define_sensor(A, "s", "string")).id
    j = (await store.define_sensor(A, "j", "json", "")).id
    await store.define_actuator(A, "light\x01", "boolean")
    await store.define_actuator(A, "fan")
    same = [
        Report(
            A, NOW - number % 3, NOW + number, [(t, number * 1.5), (s, f"{number}\x00\x01\u2028")]
        )
        for number in range(30)
    ]
    numbers = [-(1 << 63), (1 << 63) - 1, 0.1, -0.0, 1e300, True]
    odd = [Report(A, NOW + place, NOW, [(t, value)]) for place, value in enumerate(numbers, 1)]
    texts: list[Any] = [{"a": [None, 1, 2.5, "\x00"]}, [], "x" * 70_000, None]
    odd += [Report(A, 5.0 - place, NOW, [(j, value)]) for place, value in enumerate(texts)]
    odd += [Report(A, NOW + 7200, NOW, [(t, 1)])]  # before its time
    await store.write(same + odd)
    await store.write(
        [
            Report(A, NOW, NOW, [(t, seq)], outbox_id=outbox, seq=seq)
            for outbox, seq in (
                ("b\x00x", 3),
                ("two", 1 << 40),
                ("three", 1),
                ("two", (1 << 40) + 1),
            )
        ]
    )
    statuses = [Report(A, NOW + n, NOW + n, status={"n": n, f"m{n % 7}": [n]}) for n in range(120)]
    await store.write([*statuses, Report(B, NOW, NOW, status={"battery": 0.5})])
    await store.add([command(f"c{n}", device_id=A, job_id="job") for n in range(3)], 10)
    done = command(
        "c3", status=CommandStatus.SUCCESS, payload={"x": "\x00"}, sent=1.5, finished=1.75
    )
    sent = command("c4", status=CommandStatus.SENT, sent=NOW, due=NOW + 9, response_timeout=9.0)
    message = command("c5", device_id=B, message_type="config", expires=1e12)
    await store.add([done, sent, message], 10)
    await store.set_retention(Retention(days=36_000))
    await store.set_retention(Retention(36_500, A, "t\x00", Downsample(60.0, 36_000)))
    for method in ("device.create", "device.update"):
        params = {"name": "\x00", "tags": [1]}
        await store.audit(Audit(at=3.5, who="me", address="::1", method=method, params=params))


async def content(store: Store) -> dict[str, Any]:
    """All that a store tells of what `fill` has put into it."""
    found: dict[str, Any] = {"devices": await store.devices()}
    for device_id in (A, B):
        known = await store.device(device_id)
        heads = await store.heads(device_id)
        found[device_id] = [
            known,
            [*heads.items()],
            await store.status(device_id),
            await store.status_history(device_id, None, None, 1000),
            await store.latest(device_id, NOW),
            [await values_of(store, sensor) for sensor in known.sensors],
        ]
    found["commands"] = await store.commands()
    found["open"] = await store.open_commands()
    found["job"] = await store.job_page("job", None, 10)
    found["rules"] = await store.retention()
    found["audit"] = await store.audit_page(None, 10)
    return found


async def test_all_of_it_is_there_then(tmp_path: Path, url: str) -> None:
    path = tmp_path / "nova.db"
    async with SqliteStore(path, durable=False) as store:
        await fill(store)
        before = await content(store)
    told: list[str] = []
    moved = await migrate(path, url, told)
    assert (moved.left_out, told) == (0, [])
    assert moved.rows["telemetry"] == 60 + 6 + 4 + 1 + 4
    async with PostgresStore(url) as store:
        assert await content(store) == before
        numbers = before[A][0].sensors
        sensor = await store.define_sensor(B, "new", "number")
        assert sensor.id > max(each.id for each in numbers)
        await store.add([command("c6")], 10)
        assert (await store.commands())[0].command_id == "c6"
        await store.audit(Audit(at=4.0, who="me", address="", method="last", params=None))
        assert (await store.audit_page(None, 1))[0][1].method == "last"
        # What was used last is kept, before and after.
        reports = [Report(A, 1.0, NOW, outbox_id=f"new {n}", seq=1) for n in range(14)]
        assert all(await store.write(reports))
        assert [*await store.heads(A)][:2] == ["two", "three"]
    async with SqliteStore(path, durable=False) as store:  # the file is as it was
        assert await content(store) == before


async def test_old_values_are_in_weeks_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "FEW", 5)
    async with SqliteStore(tmp_path / "nova.db", durable=False) as store:
        await store.create_device(row())
        sensor = await store.define_sensor(A, "t", "number")
        begin = (time.time() // WEEK - 9) * WEEK
        times = [begin + each for each in range(200)]
        await store.write([Report(A, at, NOW, [(sensor.id, 1)]) for at in [0.0, *times]])
    with new_database() as url:
        await migrate(tmp_path / "nova.db", url)
        text = "SELECT tableoid::regclass, count(*) FROM novacloud.telemetry GROUP BY 1 ORDER BY 2"
        found = postgres().sql(text, url.rpartition("/")[2])
    week = f"novacloud.telemetry_{int(begin // WEEK)}"
    assert found.split() == ["novacloud.telemetry_past|1", f"{week}|200"]


async def test_a_device_goes_on_and_nothing_is_stored_twice(tmp_path: Path, url: str) -> None:
    port = free_port()
    schedule = Schedule(first=0.02, longest=0.1, stable=0.001, after_stable=0.02)
    settings = DeviceSettings(schedule=schedule, close_seconds=0.1)

    async def count(rig: Rig, least: int) -> list[Any]:
        async def there() -> Any:
            points = await rig.call("telemetry.query", **asked)
            return points if len(points) >= least else None

        points: list[Any] = await rig.until(there)
        return [point["value"] for point in points]

    async with anyio.create_task_group() as tasks:
        async with running(tmp_path, port=port) as rig:
            info = await rig.create("lamp", t="number")
            asked = {"device_id": info["device_id"], "value_key": "t", "start": 0}
            device = NovaDevice(
                "127.0.0.1",
                port,
                device_id=info["device_id"],
                device_key=info["device_key"],
                outbox=tmp_path / "outbox.db",
                settings=settings,
            )
            begun = anyio.Event()

            async def live() -> None:
                async with device:
                    for number in range(60):
                        await device.report({"t": number}, timestamp=1000.0 + number // 4)
                        if number == 20:
                            begun.set()
                        await anyio.sleep(0.005)
                    await anyio.sleep_forever()

            tasks.start_soon(live)
            await begun.wait()
            assert await count(rig, 10)
        waiting = {"device_id": info["device_id"], "payload": {"light": 1}, "wait": False}
        async with running(tmp_path) as rig:  # elsewhere: the device is not there
            sent = await rig.call("command.send", **waiting)
        await migrate(tmp_path / "nova.db", url)
        async with running(tmp_path, store=PostgresStore(url), port=port) as rig:
            assert await count(rig, 60) == [*range(60)]

            async def is_over() -> bool:
                got = await rig.call("command.get", command_id=sent["command_id"])
                return bool(got["status"] == "ERROR")  # of a device that obeys nothing

            await rig.until(is_over)
        tasks.cancel_scope.cancel()


def swallow(url: str) -> None:
    """Have the database lose what is written into a table."""
    postgres().sql(
        "CREATE FUNCTION novacloud.swallow() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN RETURN NULL; END'; CREATE TRIGGER swallow BEFORE INSERT ON novacloud.audit "
        "FOR EACH ROW EXECUTE FUNCTION novacloud.swallow()",
        url.rpartition("/")[2],
    )


async def test_rows_that_get_lost_are_found_out(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "nova.db", durable=False) as store:
        await fill(store)
    with new_database() as url:
        swallow(url)
        with pytest.raises(CountsDiffer) as caught:
            await migrate(tmp_path / "nova.db", url)
        assert caught.value.message == "audit: 2 rows were to be there, and 0 were"
        async with PostgresStore(url) as store:
            assert not await store.devices()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda store: store.create_device(row(B)),
        lambda store: store.set_retention(Retention(days=3)),
        lambda store: store.audit(Audit(at=1.0, who="", address="", method="", params=None)),
        lambda store: store.nodes.enter("north", "1"),
    ],
)
async def test_a_database_that_is_not_empty(
    tmp_path: Path, url: str, spoil: Callable[[Store], Any]
) -> None:
    async with SqliteStore(tmp_path / "nova.db", durable=False) as store:
        await store.create_device(row())
    async with PostgresStore(url) as store:
        await spoil(store)
        devices = await store.devices()
        with pytest.raises(NotEmpty):
            await migrate(tmp_path / "nova.db", url)
        assert await store.devices() == devices


async def test_what_deleted_devices_have_left_behind(tmp_path: Path, url: str) -> None:
    async with PostgresStore(url) as store:
        await store.create_device(row())
        await store.define_sensor(A, "t", "number")
    # A node that was killed has not looked for the values of the sensor yet.
    text = (
        "DELETE FROM novacloud.devices; INSERT INTO novacloud.doomed SELECT generate_series(1, 99)"
    )
    postgres().sql(text, url.rpartition("/")[2])
    async with SqliteStore(tmp_path / "nova.db", durable=False) as old:
        await old.create_device(row())
        sensor = await old.define_sensor(A, "t", "number")
        await old.write([Report(A, 1.0, 1.0, [(sensor.id, 7)])])
    await migrate(tmp_path / "nova.db", url)
    async with PostgresStore(url) as store:
        await store.keeper.clean()
        assert await values_of(store, sensor) == [(1.0, 7)]


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for each in statements:
            db.execute(each)


async def test_values_that_are_none_are_left_out(tmp_path: Path, url: str) -> None:
    path = tmp_path / "nova.db"
    async with SqliteStore(path, durable=False) as store:
        await store.create_device(row())
        sensor = await store.define_sensor(A, "t", "json")
        await store.write([Report(A, 1.0, 1.0, [(sensor.id, 7)])])
    values = ("CAST(x'eda080' AS TEXT)", "x'7b'", "9e999", "x'ff'", "x'" + "5b" * 9999 + "'")
    for place, value in enumerate(values):
        change(path, f"INSERT INTO fresh_0 VALUES (9, {sensor.id}, {place}, 0, {value})")
    far = ((1 << 62, 1), ((1 << 62) + 1, 2), (-(1 << 62), 3), (-(1 << 62) + 1, 4))
    for delay, number in far:
        change(path, f"INSERT INTO fresh_1 VALUES (9, {sensor.id}, 100, {delay}, {number})")
    told: list[str] = []
    moved = await migrate(path, url, told)
    assert (moved.left_out, len(told), moved.rows["telemetry"]) == (5, 5, 5)
    assert told[0].startswith(f"device {A}, 't' at 0.0 is left out, since it is no value: ")
    async with PostgresStore(url) as store:
        assert await values_of(store, sensor) == [
            (1.0, 7),
            (100.0, 3),
            (100.0, 4),
            (100.0, 1),
            (100.0, 2),
        ]


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        ("UPDATE devices SET name = CAST(x'eda080' AS TEXT)", f"devices, the row {A!r}: "),
        ("UPDATE statuses SET ranks = x'ff'", f"statuses, the row {A!r}: "),
        ("UPDATE devices SET tags = '[1]'", f"devices, the row {A!r}: "),
    ],
)
async def test_rows_that_cannot_be_moved(
    tmp_path: Path, url: str, statement: str, complaint: str
) -> None:
    path = tmp_path / "nova.db"
    async with SqliteStore(path, durable=False) as store:
        await store.create_device(row())
        await store.write([Report(A, 1.0, 1.0, status={"n": n}) for n in range(100)])
    change(path, statement)
    with pytest.raises(StoreFailed) as caught:
        await migrate(path, url)
    assert caught.value.message.startswith(complaint)
    async with PostgresStore(url) as store:
        assert not await store.devices()


async def test_who_does_not_wait_for_the_end_leaves_nothing(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrating, "ROWS", 10)
    path = tmp_path / "nova.db"
    async with SqliteStore(path, durable=False) as store:
        await fill(store)
    with opened(path, print) as file, anyio.CancelScope() as scope:
        await move(file, url, lambda rows: scope.cancel() if rows > 150 else None)
    assert scope.cancelled_caught
    db = await asyncpg.connect(url)
    assert await db.fetchval("SELECT count(*) FROM novacloud.devices") == 0
    await db.close()
    assert (await migrate(path, url)).rows["devices"] == 2
