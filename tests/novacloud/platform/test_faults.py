"""Faults of the program itself: each costs what it is in the way of, and nothing else."""

import logging
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from jsonrpc_iot.novacloud import SqliteStore
from jsonrpc_iot.novacloud.steady import keep_running
from jsonrpc_iot.novacloud.store.command_log import Transition
from jsonrpc_iot.novacloud.store.telemetry_log import Report
from tests.novacloud.rig import NO_PAUSES, running

pytestmark = pytest.mark.anyio

BAD = 13


class Faulty(SqliteStore):
    """A store with a fault in each part, which one value, and commands of that number, are for."""

    async def write(self, reports: Sequence[Report]) -> list[bool]:
        if any(value == BAD for report in reports for _, value in report.values):
            return await self._commit(lambda db: [db.no_such_thing])  # type: ignore[attr-defined]
        return await super().write(reports)

    async def transition(self, changes: Sequence[Transition]) -> list[bool]:
        if any(change.row.command == {"light": BAD} for change in changes):
            return await self._commit(lambda db: [1 // 0])  # type: ignore[list-item]
        return await super().transition(changes)


async def test_a_report_that_the_store_stumbles_over_costs_its_device_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Faulty(tmp_path / "nova.db", durable=False)
    async with running(tmp_path, NO_PAUSES, store=store) as rig:
        bad, good = [await rig.create(t="number") for _ in range(2)]
        async with (
            rig.device(bad, ext=["ack"], outbox_id="box") as stumbling,
            rig.device(good, ext=["ack"], outbox_id="box") as device,
        ):
            await stumbling.send({"type": "data", "payload": {"t": BAD}, "seq": 1})
            await device.send({"type": "data", "payload": {"t": 1}, "seq": 1})
            assert (await device.receive())["payload"] == {"upto": 1}
            await stumbling.wait_closed()
        async with rig.device(bad, ext=["ack"], outbox_id="box") as again:
            await again.send({"type": "data", "payload": {"t": 2}, "seq": 1})
            assert (await again.receive())["payload"] == {"upto": 1}
        assert (await rig.stats())["values"] == 2
    assert "a fault of the program: AttributeError" in caplog.text


async def test_a_command_that_the_store_stumbles_over_costs_no_other_its_state(
    tmp_path: Path,
) -> None:
    store = Faulty(tmp_path / "nova.db", durable=False)
    async with running(tmp_path, NO_PAUSES, store=store) as rig:
        info = await rig.create()
        async with rig.device(info) as device, anyio.create_task_group() as tasks:
            for light in BAD, 1:
                tasks.start_soon(device.answer)
                payload = {"light": light}
                outcome = await rig.call("command.send", device_id=device.id, payload=payload)
                assert outcome["status"] == "SUCCESS"
    async with SqliteStore(tmp_path / "nova.db") as record:
        found = {each.command["light"]: each.status for each in await record.commands()}
    assert found[1] == "SUCCESS"


async def test_a_loop_that_fails_begins_anew(caplog: pytest.LogCaptureFixture) -> None:
    runs: list[int] = []

    async def run() -> None:
        runs.append(len(runs))
        if len(runs) < 3:
            async with anyio.create_task_group():
                raise ZeroDivisionError("a fault")

    with caplog.at_level(logging.ERROR):
        await keep_running(run, pause=0.0)
    assert runs == [0, 1, 2]
    assert caplog.text.count("ZeroDivisionError: a fault") == 2
