"""A platform whose record is a PostgreSQL, and devices that rely on it."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import anyio
import pytest

from jsonrpc_iot import RpcError
from jsonrpc_iot.novacloud import DeviceSettings, NovaDevice, Schedule
from jsonrpc_iot.novacloud.store.postgres import PostgresStore

from .rig import running
from .servers import Postgres, new_postgres
from .store.postgres.databases import empty_database

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def own_server() -> Iterator[Postgres]:
    server = new_postgres(durable=True)
    yield server
    server.stop()


async def test_what_a_platform_does_it_does_on_postgresql(tmp_path: Path) -> None:
    with empty_database() as url:
        async with running(tmp_path, store=PostgresStore(url)) as rig:
            info = await rig.create("lamp", t="number", s="string", j="json")
            id = {"device_id": info["device_id"]}
            async with rig.device(info, ext=["ack"], outbox_id="box") as device:
                for seq in range(1, 4):
                    line = {"type": "data", "payload": {"t": seq, "s": "\x00", "j": [None]}}
                    await device.send({**line, "timestamp": 10.0 * seq, "seq": seq})
                    assert (await device.receive())["payload"] == {"upto": seq}
                await device.send({"type": "status", "payload": {"battery": 7}})
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(device.answer)
                    done = await rig.call("command.send", **id, payload={"light": True})
            assert (await rig.call("command.get", command_id=done["command_id"]))["status"] == (
                "SUCCESS"
            )
            ids = [info["device_id"]]
            await rig.call("command.broadcast", payload={"light": False}, device_ids=ids)
            assert (await rig.fails("platform.backup", path="copy")).message.endswith("pg_dump")
            assert (await rig.call("platform.health"))["ok"]
        async with running(tmp_path, store=PostgresStore(url)) as rig:
            points = await rig.call("telemetry.query", **id, value_key="t", start=0)
            assert [point["value"] for point in points] == [1, 2, 3]
            page = await rig.call("telemetry.page", **id, value_keys=["t", "s"], limit=4)
            rest = await rig.call(
                "telemetry.page", **id, value_keys=["t", "s"], cursor=page["next"]
            )
            values = [each["value"] for each in page["points"] + rest["points"]]
            assert sorted(values, key=str) == ["\x00", "\x00", "\x00", 1, 2, 3]
            assert (await rig.call("status.latest", **id))["payload"] == {"battery": 7}
            async with rig.device(info, ext=["ack"], outbox_id="box") as device:
                command = await device.receive()
                assert (command["type"], command["payload"]) == ("command", {"light": False})
                await device.send({"type": "data", "payload": {"t": 9}, "seq": 3})
                assert (await device.receive())["payload"] == {"upto": 3}
            assert len(await rig.call("telemetry.query", **id, value_key="t", start=0)) == 3


async def test_a_database_that_is_killed_costs_no_acknowledged_report(
    tmp_path: Path, own_server: Postgres
) -> None:
    schedule = Schedule(first=0.05, longest=0.2, stable=0.001, after_stable=0.05)
    settings = DeviceSettings(schedule=schedule, close_seconds=0.1)
    store = PostgresStore(own_server.database_url())
    async with running(tmp_path, store=store) as rig:
        info = await rig.create("lamp", t="number")
        device = NovaDevice(
            "127.0.0.1",
            rig.platform.port,
            device_id=info["device_id"],
            device_key=info["device_key"],
            outbox=tmp_path / "outbox.db",
            settings=settings,
        )
        asked = {"device_id": info["device_id"], "value_key": "t", "start": 0}

        async def all_there() -> bool:
            with suppress(RpcError):  # the database may still be away
                return len(await rig.call("telemetry.query", **asked)) >= 300
            return False

        async with device:
            await device.connected()
            for number in range(300):
                await device.report({"t": number}, timestamp=float(number))
                if number == 100:
                    own_server.stop()
                if number == 200:
                    own_server.start()
                await anyio.sleep(0.001)
            await rig.until(all_there)
        points = await rig.call("telemetry.query", **asked)
        assert [point["value"] for point in points] == [*range(300)]
