"""The record has the last word about commands, and counts those that wait."""

import time
from pathlib import Path

import anyio
import msgspec
import pytest

from jsonrpc_iot import Busy, RpcError
from jsonrpc_iot.novacloud.clock import elapsed
from jsonrpc_iot.novacloud.store.command_log import CommandRow, CommandStatus, Transition
from tests.novacloud.rig import NO_PAUSES, Rig, running
from tests.waiting import SECONDS

pytestmark = pytest.mark.anyio


async def until_status(rig: Rig, command_id: str, wanted: str) -> None:
    async def reached() -> bool:
        return bool((await rig.call("command.get", command_id=command_id))["status"] == wanted)

    await rig.until(reached)


async def stored(rig: Rig, command_id: str, status: CommandStatus) -> CommandRow:
    """What the record has of a command, once it has that status."""
    rows: list[CommandRow] = []

    async def is_stored() -> bool:
        rows[:] = await rig.platform.store.commands_by_id([command_id])
        return [each.status for each in rows] == [status]

    await rig.until(is_stored)
    return rows[0]


async def test_no_more_wait_than_may_however_many_ask_at_once(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(NO_PAUSES, queued_commands=5)
    async with running(tmp_path, settings) as rig:
        id = (await rig.create())["device_id"]
        refusals: list[RpcError] = []

        async def ask(value: int) -> None:
            try:
                await rig.call("command.send", device_id=id, payload={"light": value}, wait=False)
            except RpcError as error:
                refusals.append(error)

        async with anyio.create_task_group() as tasks:
            for value in range(20):
                tasks.start_soon(ask, value)
        assert [type(each) for each in refusals] == [Busy] * 15
        job = (await rig.call("command.broadcast", payload={"light": 1}))["job_id"]
        (row,) = (await rig.call("job.page", job_id=job))["commands"]
        assert (row["status"], row["payload"]["error"]["code"]) == ("ERROR", Busy().code)
        assert len(await rig.call("command.list", device_id=id)) == 5 + 1


async def test_commands_that_are_quickly_done_do_not_count(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(NO_PAUSES, queued_commands=2)
    async with running(tmp_path, settings) as rig, rig.device(await rig.create()) as device:
        for value in range(8):  # more than the record has heard of when the next one comes
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(device.answer)
                payload = {"light": value}
                outcome = await rig.call("command.send", device_id=device.id, payload=payload)
            assert outcome["status"] == "SUCCESS"


async def test_what_the_record_has_ended_stays_so(tmp_path: Path) -> None:
    async with running(tmp_path) as rig, rig.device(await rig.create()) as device:
        store = rig.platform.store
        outcome = await rig.call(
            "command.send", device_id=device.id, payload={"light": 1}, wait=False
        )
        id = (await device.receive())["command_id"]
        assert id == outcome["command_id"]
        row = await store.command(id)
        assert row is not None
        row.status, row.finished = CommandStatus.TIMEOUT, row.created
        assert await store.transition([Transition(row)]) == [True]
        await device.respond(id, "success")
        await until_status(rig, id, "TIMEOUT")
        assert await store.command(id) == row


async def test_pending_says_anew_until_when_the_device_may_be_silent(tmp_path: Path) -> None:
    async with running(tmp_path) as rig, rig.device(await rig.create()) as device:
        outcome = await rig.call(
            "command.send", device_id=device.id, payload={"light": 1}, wait=False
        )
        id = (await device.receive())["command_id"]
        await device.respond(id, "pending")
        await until_status(rig, outcome["command_id"], "PENDING")
        row = await stored(rig, id, CommandStatus.PENDING)
        assert row.sent is not None
        assert row.due is not None
        assert row.due > row.sent + NO_PAUSES.response_seconds


@pytest.mark.parametrize(("left", "status"), [(1000.0, "PENDING"), (-1.0, "TIMEOUT")])
async def test_the_time_that_pending_gave_outlasts_the_platform(
    tmp_path: Path, left: float, status: str
) -> None:
    async with running(tmp_path) as rig:
        id = (await rig.create())["device_id"]
        now = time.time()
        row = CommandRow(
            command_id="one",
            device_id=id,
            command={"light": 1},
            status=CommandStatus.PENDING,
            created=now - 9000,
            expires=now - 8000,
            sent=now - 9000,
            response_timeout=5000.0,
            due=now + left,
        )
        await rig.platform.store.add([row], 0)
    async with running(tmp_path) as rig:
        await until_status(rig, "one", status)
        for command in rig.platform.commands.table.open.values():
            assert abs(command.deadline - elapsed() - left) < SECONDS
