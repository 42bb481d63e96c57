"""When something is the matter with the database: what devices and others notice of it."""

import sqlite3
import time
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any, cast

import anyio
import msgspec
import pytest

from jsonrpc_iot.novacloud import SqliteStore, StoreFailed
from jsonrpc_iot.novacloud.errors import StoreDamaged
from jsonrpc_iot.novacloud.store.query import Query
from jsonrpc_iot.novacloud.store.registry import Known
from jsonrpc_iot.novacloud.store.sqlite import readers, upkeep
from jsonrpc_iot.novacloud.store.telemetry_log import Report

from .rig import NO_PAUSES, running
from .store.rows import A, row

pytestmark = pytest.mark.anyio


class Poor(SqliteStore):
    """A store some of whose pages are damaged, or that cannot be read for a moment.

    Attributes:
        damaged: devices whose reports cannot be stored.
        hiccups: how many times more the next devices cannot be read.
    """

    damaged: frozenset[str] = frozenset()
    hiccups = 0

    async def write(self, reports: Any) -> list[bool]:
        if any(each.device_id in self.damaged for each in reports):
            raise StoreDamaged("database disk image is malformed")
        return await super().write(reports)

    async def device(self, device_id: str) -> Known:
        if self.hiccups:
            self.hiccups -= 1
            raise StoreFailed("disk I/O error")
        return await super().device(device_id)


async def test_a_lock_that_is_held_for_long_costs_no_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "_BUSY_SECONDS", 0.05)
    path = tmp_path / "nova.db"
    async with SqliteStore(path, durable=False) as store:
        await store.create_device(row())
        sensor = await store.define_sensor(A, "t", "number")
        stored = anyio.Event()

        async def report() -> None:
            await store.write([Report(A, 1.0, 1.0, [(sensor.id, 5)])])
            stored.set()

        async with anyio.create_task_group() as tasks:
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                tasks.start_soon(report)
                with anyio.move_on_after(0.5) as waited:  # many times as long as SQLite waits
                    await stored.wait()
                assert waited.cancelled_caught
                assert await store.latest(A, time.time()) == {}, "reading goes on"
            with anyio.fail_after(10):
                await stored.wait()
        assert (await store.latest(A, time.time()))["t"].value == 5


async def test_a_store_under_lock_closes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "_BUSY_SECONDS", 0.05)
    path = tmp_path / "nova.db"
    failures: list[StoreFailed] = []
    with closing(sqlite3.connect(path, isolation_level=None)) as other, anyio.fail_after(10):
        async with anyio.create_task_group() as tasks, SqliteStore(path, durable=False) as store:
            other.execute("BEGIN IMMEDIATE")
            begun = anyio.Event()

            async def write() -> None:
                begun.set()
                try:
                    await store.seen([("a", 1.0)])
                except StoreFailed as error:
                    failures.append(error)

            tasks.start_soon(write)
            await begun.wait()
    assert len(failures) == 1


async def test_damaged_pages_of_one_device_cost_no_other_its_reports(tmp_path: Path) -> None:
    store = Poor(tmp_path / "nova.db", durable=False)
    async with running(tmp_path, store=store) as rig, AsyncExitStack() as stack:
        devices = [await rig.create(t="number") for _ in range(3)]
        store.damaged = frozenset({devices[1]["device_id"]})
        for info in devices:
            device = await stack.enter_async_context(rig.device(info))
            await device.send({"type": "data", "payload": {"t": 7}})
        await rig.until_stat("values", 2)
        await rig.until_stat("lost", 1)
        for number, info in enumerate(devices):
            latest = await rig.call("telemetry.latest", device_id=info["device_id"])
            assert ("t" in latest) is (number != 1)


async def test_a_database_that_cannot_be_read_for_a_moment_refuses_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Poor(tmp_path / "nova.db", durable=False)
    async with running(tmp_path, store=store) as rig:
        infos = [await rig.create() for _ in range(3)]
        store.hiccups = len(infos)

        async def connect(info: dict[str, str]) -> None:
            async with rig.device(info):
                assert store.hiccups == 0

        async with anyio.create_task_group() as tasks:
            for info in infos:
                tasks.start_soon(connect, info)
        assert (await rig.stats())["failed_auths"] == 0
    assert caplog.text.count("devices wait for the database") == 1


async def test_where_it_cannot_be_read_at_all_nothing_is_said_of_the_key(tmp_path: Path) -> None:
    store = Poor(tmp_path / "nova.db", durable=False)
    settings = msgspec.structs.replace(NO_PAUSES, auth_seconds=0.3)
    async with running(tmp_path, settings, store) as rig:
        info = await rig.create()
        store.hiccups = 1 << 30
        async with rig.link(info) as device:
            with anyio.fail_after(10), pytest.raises(anyio.IncompleteRead):
                await device.authenticate()
        assert (await rig.stats())["failed_auths"] == 0


async def is_damaged(path: Path, sensor: int) -> bool:
    async with SqliteStore(path, durable=False) as store:
        try:
            await store.query(Query(sensor=sensor))
        except StoreDamaged:
            return True
    return False


async def test_damaged_old_values_hold_no_other_sensor_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "GROUPS", 4)
    path = tmp_path / "nova.db"
    async with SqliteStore(path, durable=False) as store:
        await store.create_device(row())
        bad, good = [await store.define_sensor(A, key, "string") for key in "bg"]
        for sensor, letter in (bad, "b"), (good, "g"):
            for number in range(50):
                report = Report(A, number, number, [(sensor.id, letter * 300)])
                await store.write([report])
        await store.keeper.merge()
    pages = path.read_bytes()
    for leaf in reversed(range(0, len(pages), 4096)):
        page = pages[leaf : leaf + 4096]
        if page[0] != 10 or b"bbbb" not in page or b"gggg" in page:
            continue
        path.write_bytes(pages[:leaf] + b"\xff" * 4096 + pages[leaf + 4096 :])
        # A free page keeps what was in it, and is not read; others lead to more than one sensor.
        if await is_damaged(path, bad.id) and not await is_damaged(path, good.id):
            break
    async with SqliteStore(path, durable=False) as store:
        with pytest.raises(StoreDamaged):
            await store.query(Query(sensor=bad.id))
        await store.write([Report(A, 99.0, 99.0, [(good.id, "new"), (bad.id, "new")])])
        found = await store.query(Query(sensor=good.id, order="desc", limit=2))
        assert [point.value for point in found] == ["new", "g" * 300]


def root_of(path: Path, table: str) -> int:
    """Where the first page of a table is."""
    with closing(sqlite3.connect(path)) as db:
        text = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        (root,) = db.execute(text, (table,)).fetchone()
    return int(root - 1) * 4096


def overwrite(path: Path, *places: int) -> None:
    pages = bytearray(path.read_bytes())
    for place in places:
        pages[place : place + 4096] = b"\xff" * 4096
    path.write_bytes(pages)


def damage(path: Path, kind: str) -> None:
    """Overwrite a page of the table in which values have arrived."""
    pages = path.read_bytes()
    leaves = [
        leaf
        for leaf in range(0, len(pages), 4096)
        if pages[leaf] == 10 and b"value" in pages[leaf : leaf + 4096]
    ]
    places = {"root": root_of(path, "fresh_0"), "first": leaves[0], "last": leaves[-1]}
    overwrite(path, places[kind])


async def test_a_platform_whose_database_is_damaged_all_over_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "nova.db"
    async with SqliteStore(path, durable=False) as store:
        await store.create_device(row())
        sensor = await store.define_sensor(A, "t", "number")
        await store.write([Report(A, 1.0, 1.0, [(sensor.id, 1)])])
    tables = "sensors", "fresh_0", "fresh_1", "merged", "parts", "retention", "settled"
    overwrite(path, *(root_of(path, table) for table in tables))
    async with running(tmp_path, store=SqliteStore(path, durable=False)) as rig:
        for _ in range(3):
            assert "malformed" in (await rig.fails("telemetry.latest", device_id=A)).message
            with pytest.raises(StoreDamaged):
                await rig.platform.store.write([Report(A, 2.0, 2.0, [(sensor.id, 2)])])
        assert len((await rig.call("device.page"))["devices"]) == 1
        await rig.call("device.create", name="new")


@pytest.mark.parametrize("kind", ["root", "first", "last"])
async def test_damaged_pages_among_what_has_come_are_in_nobodys_way(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "nova.db"
    async with SqliteStore(path, durable=False) as store:
        await store.create_device(row())
        sensors = [await store.define_sensor(A, f"s{number}", "string") for number in range(4)]
        for at in range(60):
            values = [(sensor.id, f"value {at} " + "x" * 100) for sensor in sensors]
            await store.write([Report(A, float(at), 1.0, values)])
    damage(path, kind)
    async with running(tmp_path, store=SqliteStore(path, durable=False)) as rig:
        store = cast(SqliteStore, rig.platform.store)
        async with anyio.create_task_group() as tasks:
            for number in range(4):  # those who read and those who write, all at once
                report = Report(A, 100.0 + number, 100.0, [(sensors[number].id, "new")])
                tasks.start_soon(store.write, [report])
                tasks.start_soon(store.query, Query(sensor=sensors[number].id))
                tasks.start_soon(store.latest, A, 200.0)
        kept = [len(await store.query(Query(sensor=sensor.id))) for sensor in sensors]
        assert {each.value for each in (await store.latest(A, 200.0)).values()} == {"new"}
        assert all(count == 1 if kind == "root" else 20 < count <= 61 for count in kept), kept
        assert sum(kept) < 4 * 61
        assert (await rig.stats())["lost_groups"] >= 1
        await store.backup(str(tmp_path / "copy.db"))
    assert caplog.text.count("damaged pages") == 1
    async with SqliteStore(tmp_path / "copy.db", durable=False) as store:
        assert [len(await store.query(Query(sensor=sensor.id))) for sensor in sensors] == kept
        await store.keeper.merge()
    with closing(sqlite3.connect(tmp_path / "copy.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
