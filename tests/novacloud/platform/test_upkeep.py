"""Retention, deleting, backups and long answers over management, and `nova backup`."""

import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from jsonrpc_iot import InvalidParams, ServerError, TooLarge, connect, serve
from jsonrpc_iot.novacloud import SqliteStore, StoreFailed, UnknownDevice, UnknownKey, management
from jsonrpc_iot.novacloud.store.query import Query
from jsonrpc_iot.novacloud.store.telemetry_log import Report
from tests.cli.program import run
from tests.novacloud.rig import Rig, running

pytestmark = pytest.mark.anyio


async def reported(rig: Rig, count: int) -> str:
    """A device with a sensor that has values; returns its id."""
    device_id = (await rig.create())["device_id"]
    await rig.call("sensor.define", device_id=device_id, value_key="n", type="number")
    (sensor,) = (await rig.platform.store.device(device_id)).sensors
    reports = [Report(device_id, at, at, [(sensor.id, at)]) for at in range(count)]
    await rig.platform.store.write(reports)
    return str(device_id)


async def test_rules_and_deleting(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        device_id = await reported(rig, 100)
        rule = {"days": 30, "device_id": device_id, "value_key": "n"}
        thin = {"interval": 60, "after_days": 7}
        await rig.call("retention.set", **rule)
        await rig.call("retention.set", **rule, downsample=thin)
        await rig.call("retention.set", days=90)
        expected = [
            {"days": 90, "device_id": None, "value_key": None, "downsample": None},
            {**rule, "downsample": thin},
        ]
        assert await rig.call("retention.list") == expected
        await rig.call("retention.clear", device_id=device_id, value_key="n")
        assert await rig.call("retention.list") == expected[:1]
        await rig.call("retention.clear")
        for wrong in {"days": 0}, {"days": 7, "downsample": thin}:
            assert isinstance(await rig.fails("retention.set", **wrong), InvalidParams)
        nobody = "00000000-0000-4000-8000-000000000000"
        assert (await rig.fails("retention.set", days=1, device_id=nobody)).code == (
            UnknownDevice.code
        )


async def test_deleting_a_stretch(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        device_id = await reported(rig, 100)
        await rig.call("telemetry.delete", device_id=device_id, start=10, end=90)
        found = await rig.call("telemetry.query", device_id=device_id, value_key="n")
        assert [point["value"] for point in found] == [*range(10), *range(90, 100)]
        error = await rig.fails("telemetry.delete", device_id=device_id, value_key="x")
        assert error.code == UnknownKey.code
        await rig.call("telemetry.delete", device_id=device_id)
        assert await rig.call("telemetry.latest", device_id=device_id) == {}


async def test_an_answer_that_does_not_fit_is_not_gathered(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        device_id = await reported(rig, 50_000)
        query = {"device_id": device_id, "value_key": "n", "limit": 50_000}
        url = f"pipe://nova-{uuid.uuid4().hex[:12]}"
        async with serve(management(rig.platform), url), connect(url) as client:
            with pytest.raises(TooLarge) as caught:
                await client.call("telemetry.query", query, timeout=30)
            size, limit = caught.value.data["size"], caught.value.data["limit"]
            assert limit < size < limit + 100, "no more was read than shows that it does not fit"
            async with client.stream("telemetry.query", query, timeout=30) as points:
                values = [point["value"] async for point in points]
        assert values == [*range(50_000)]


async def test_a_backup_over_management_and_by_hand(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        device_id = await reported(rig, 100)
        first, second = tmp_path / "first.db", tmp_path / "second.db"
        await rig.call("platform.backup", path=str(first))
        assert (await rig.fails("platform.backup", path=str(first))).code == ServerError.code
        arguments = ["nova", "backup", "--db", str(tmp_path / "nova.db"), "--out"]
        done = await anyio.to_thread.run_sync(lambda: run(*arguments, str(second)))
        assert (done.code, done.out) == (0, "")
        again = await anyio.to_thread.run_sync(lambda: run(*arguments, str(second)))
        assert (again.code, "there is a file" in again.err) == (2, True)
    for copy in first, second:
        async with SqliteStore(copy) as store:
            (sensor,) = (await store.device(device_id)).sensors
            assert len(await store.query(Query(sensor=sensor.id))) == 100


async def test_a_second_platform_is_refused_also_through_a_link(tmp_path: Path) -> None:
    path, link, other = (tmp_path / name for name in ("nova.db", "link.db", "other.db"))
    async with SqliteStore(path) as store:
        link.symlink_to(path)
        other.hardlink_to(path)
        for each in path, link, other:
            with pytest.raises(StoreFailed, match="another platform"):
                async with SqliteStore(each):
                    pass
        done = await anyio.to_thread.run_sync(
            lambda: run("nova", "platform", "--db", str(link), "--port", "0")
        )
        assert (done.code, "another platform" in done.err) == (3, True)
        assert await store.devices() == []
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    async with SqliteStore(link):
        pass
