"""A command arrives or its sender knows: after ends of connections and kills, and if it is long."""

import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from jsonrpc_iot import connect
from tests.novacloud.rig import NO_PAUSES, Device, Rig, running
from tests.waiting import eventually

pytestmark = pytest.mark.anyio


async def ask(rig: Rig, device_id: str, value: Any, **more: Any) -> dict[str, Any]:
    outcome: dict[str, Any] = await rig.call(
        "command.send", device_id=device_id, payload={"light": value}, wait=False, **more
    )
    return outcome


async def status(rig: Rig, command_id: str) -> str:
    found: str = (await rig.call("command.get", command_id=command_id))["status"]
    return found


async def until_status(rig: Rig, command_id: str, wanted: str) -> None:
    async def reached() -> bool:
        return await status(rig, command_id) == wanted

    await rig.until(reached)


async def commands(device: Device, number: int) -> list[tuple[str, Any]]:
    got = [await device.receive() for _ in range(number)]
    return [(each["command_id"], each["payload"]["light"]) for each in got]


async def test_what_a_replaced_connection_did_not_answer_comes_again_in_order(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as rig:
        info = await rig.create()
        async with rig.device(info) as old:
            ids = [(await ask(rig, old.id, n))["command_id"] for n in range(4)]
            assert [id for id, _ in await commands(old, 4)] == ids
            await old.respond(ids[1], "pending")
            await old.respond(ids[2], "success")
            await until_status(rig, ids[2], "SUCCESS")
            async with rig.device(info) as new:
                assert await commands(new, 2) == [(ids[0], 0), (ids[3], 3)]
                assert await status(rig, ids[1]) == "PENDING"
                for id in ids:
                    await new.respond(id, "success")
                await until_status(rig, ids[3], "SUCCESS")
                assert await status(rig, ids[0]) == "SUCCESS"


async def test_what_is_over_does_not_come_again(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        info = await rig.create()
        async with rig.device(info) as old:
            first = (await ask(rig, old.id, 1, expires=0.05))["command_id"]
            await old.receive()
            await anyio.sleep(0.06)
            async with rig.device(info) as new:
                second = (await ask(rig, old.id, 2))["command_id"]
                assert await commands(new, 1) == [(second, 2)]
        assert await status(rig, first) == "SENT"


async def test_what_the_devices_machine_has_not_got_comes_again(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(NO_PAUSES, unsent=1 << 26)
    async with running(tmp_path, settings) as rig:
        info = await rig.create()
        ids = []
        async with rig.device(info) as device:  # it reads nothing, and its buffer is full
            while True:
                ids.append((await ask(rig, device.id, "x" * 60_000))["command_id"])
                if await status(rig, ids[-1]) == "QUEUED":
                    break
        await rig.push("device.offline")
        queued = [id for id in ids if await status(rig, id) == "QUEUED"]
        assert 1 < len(queued) < len(ids), "some were in the buffers of both ends"
        async with rig.device(info) as device:
            assert [id for id, _ in await commands(device, len(queued))] == queued
            for id in queued:
                await device.respond(id, "success")
            await until_status(rig, queued[-1], "SUCCESS")


async def test_what_the_devices_machine_has_got_does_not_come_again(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        info = await rig.create()
        async with rig.device(info) as device:
            id = (await ask(rig, device.id, 1))["command_id"]
            await device.receive()
        await rig.push("device.offline")
        assert await status(rig, id) == "SENT"
        async with rig.device(info) as device:
            other = (await ask(rig, device.id, 2))["command_id"]
            assert await commands(device, 1) == [(other, 2)]
            await device.respond(id, "success")
            await until_status(rig, id, "SUCCESS")


async def test_pending_begins_the_time_for_a_response_anew(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        info = await rig.create()
        async with rig.device(info) as device:
            id = (await ask(rig, device.id, 1, response_timeout=0.4))["command_id"]
            await device.receive()
            for _ in range(4):
                await device.respond(id, "pending")
                await anyio.sleep(0.2)
            assert await status(rig, id) == "PENDING"
            await until_status(rig, id, "TIMEOUT")


async def test_a_flood_of_pending_keeps_one_timer(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(NO_PAUSES, messages_per_second=1e6, burst=1_000_000)
    async with running(tmp_path, settings) as rig:
        info = await rig.create()
        async with rig.device(info) as device:
            id = (await ask(rig, device.id, 1))["command_id"]
            await device.receive()
            for _ in range(500):
                await device.respond(id, "pending")
            await rig.until_stat("responses", 500)
            assert len(rig.platform.commands._timers._heap) < 10


async def test_a_queued_command_can_be_taken_back(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        info = await rig.create()
        ids = [(await ask(rig, info["device_id"], n))["command_id"] for n in range(3)]
        taken = await rig.call("command.cancel", command_id=ids[1])
        assert (taken["command_id"], taken["status"]) == (ids[1], "CANCELLED")
        async with rig.device(info) as device:
            assert await commands(device, 2) == [(ids[0], 0), (ids[2], 2)]
            late = await rig.fails("command.cancel", command_id=ids[0])
            assert (late.code, late.data["status"]) == (2005, "SENT")
        assert (await rig.fails("command.cancel", command_id="nonsense")).data["status"] is None
        assert (await rig.fails("command.cancel", command_id=ids[1])).code == 2005
        assert await status(rig, ids[1]) == "CANCELLED"


@contextmanager
def platform_at(port: int, db: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A platform in a process of its own, and the URL of its management."""
    url = f"unix://{db.parent}/manage.sock"
    program = [sys.executable, "-m", "jsonrpc_iot", "nova", "platform", "--db", str(db)]
    program += ["--port", str(port), "--manage", url]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as platform:
        try:
            assert platform.stdout is not None
            for _ in range(2):
                assert platform.stdout.readline().startswith("listening ")
            yield url, platform
        finally:
            platform.kill()


def stored(db: Path, status: str) -> int:
    with closing(sqlite3.connect(db)) as connection:
        query = "SELECT count(*) FROM commands WHERE status = ?"
        return int(connection.execute(query, (status,)).fetchone()[0])


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not tell what has arrived")
async def test_a_killed_platform_sends_again_what_had_not_arrived(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    db = tmp_path / "nova.db"
    ids: list[str] = []
    with platform_at(port, db) as (url, platform):
        async with connect(url) as client, await anyio.connect_tcp("127.0.0.1", port) as stream:
            info = await client.call("device.create", {"name": "lamp"})
            id = {"device_id": info["device_id"]}
            await client.call("actuator.define", {**id, "command_key": "light"})
            device = Device(stream, info)
            inbox = stream.extra(anyio.abc.SocketAttribute.raw_socket)
            inbox.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 17)  # full sooner
            assert (await device.authenticate())["status"] == "success"
            params = {**id, "payload": {"light": "x" * 60_000}, "wait": False}
            ids.append((await client.call("command.send", params))["command_id"])
            await device.receive()
            sent = "SENT"
            while sent == "SENT":  # until all buffers are full, since the device reads no more
                ids.append((await client.call("command.send", params))["command_id"])
                sent = (await client.call("command.get", {"command_id": ids[-1]}))["status"]
            await eventually(lambda: stored(db, "SENT") > 0)
            platform.kill()
            platform.wait()
    with platform_at(port, db):
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            device = Device(stream, info)
            assert (await device.authenticate())["status"] == "success"
            again = [(await device.receive())["command_id"]]
            while again[-1] != ids[-1]:
                again.append((await device.receive())["command_id"])
    assert again == ids[-len(again) :]
    assert 1 < len(again) < len(ids), "some were in the system's buffer, and some had arrived"
