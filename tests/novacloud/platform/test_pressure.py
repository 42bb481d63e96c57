"""Much at once: how reports share commits, and that one who sends too much harms nobody else."""

import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import msgspec
import pytest

from jsonrpc_iot.novacloud import SqliteStore
from jsonrpc_iot.novacloud.platform import ingest
from jsonrpc_iot.novacloud.store.telemetry_log import Report
from tests.novacloud.rig import NO_PAUSES, running

pytestmark = pytest.mark.anyio


class Watched(SqliteStore):
    """A store that tells how many reports it was given at a time.

    Attributes:
        groups: their numbers.
        gate: is waited for before any group is written.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "nova.db", durable=False)
        self.groups: list[int] = []
        self.gate = anyio.Event()
        self.gate.set()

    async def write(self, reports: Sequence[Report]) -> list[bool]:
        if reports:
            self.groups.append(len(reports))
            await self.gate.wait()
        return await super().write(reports)


async def test_reports_that_go_on_share_commits_and_a_lone_one_waits_for_nobody(
    tmp_path: Path,
) -> None:
    store = Watched(tmp_path)
    async with running(tmp_path, store=store) as rig, rig.device(await rig.create(t="number")) as d:
        began = time.monotonic()
        for number in range(1, 101):
            await d.data(float(number), t=number)
            await rig.until_stat("messages", number)
        await rig.until_stat("values", 100)
        taken = time.monotonic() - began
        assert store.groups[0] == 1
        assert len(store.groups) <= 16 + 4 * taken + 1
        assert sum(store.groups) == 100


async def test_no_group_is_so_large_that_a_command_has_to_wait_for_it(tmp_path: Path) -> None:
    store = Watched(tmp_path)
    async with running(tmp_path, store=store) as rig, AsyncExitStack() as stack:
        info = await rig.create()
        devices = [
            await stack.enter_async_context(rig.device(await rig.create(t="number")))
            for _ in range(25)
        ]
        device = await stack.enter_async_context(rig.device(info))
        store.gate = anyio.Event()
        lines = b"".join(b'{"type":"data","payload":{"t":%d}}\n' % value for value in range(180))
        for each in devices:
            await each.send_raw(lines)
        await rig.until_stat("messages", 25 * 180)
        store.gate.set()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(device.answer)
            outcome = await rig.call("command.send", device_id=device.id, payload={"light": 1})
        assert outcome["status"] == "SUCCESS"
        await rig.until_stat("values", 25 * 180)
        assert max(store.groups) == 2000


async def test_the_groups_of_a_flood_do_not_delay_what_comes_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "_MOST", 1)
    store = Watched(tmp_path)
    async with running(tmp_path, store=store) as rig, rig.device(await rig.create(t="number")) as d:
        store.gate = anyio.Event()
        await d.send_raw(b'{"type":"data","payload":{"t":1}}\n' * 180)
        await rig.until_stat("messages", 180)
        store.gate.set()
        await rig.until_stat("values", 180)
        assert len(store.groups) == 180
        await d.data(1.0, t=1)
        await rig.until_stat("values", 181)


async def test_long_reports_make_small_groups(tmp_path: Path) -> None:
    store = Watched(tmp_path)
    settings = msgspec.structs.replace(NO_PAUSES, bytes_per_second=1e9)
    async with (
        running(tmp_path, settings, store) as rig,
        rig.device(await rig.create(t="json")) as device,
    ):
        store.gate = anyio.Event()
        line = msgspec.json.encode({"type": "data", "payload": {"t": "x" * 60_000}}) + b"\n"
        for _ in range(150):
            await device.send_raw(line)
        await rig.until_stat("messages", 150)
        store.gate.set()
        await rig.until_stat("values", 150)
        assert max(store.groups) == 70  # of 4 MiB


async def test_who_sends_much_is_read_slowly_and_named_and_the_others_are_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = msgspec.structs.replace(NO_PAUSES, bytes_per_second=1000.0)
    async with running(tmp_path, settings) as rig:
        greedy, good = await rig.create(t="json"), await rig.create(t="number")
        async with rig.device(greedy) as much, rig.device(good) as little:
            line = msgspec.json.encode({"type": "data", "payload": {"t": "x" * 60_000}}) + b"\n"
            await much.send_raw(line)
            await much.send_raw(line)
            await rig.until_stat("slowed")
            for value in range(20):
                await little.data(float(value), t=value)
            await rig.until_stat("values", 20)
        stats = await rig.stats()
        assert stats["values"] == 20  # 60 kB take a minute
        assert [*stats["busiest"]][:2] == [much.id, little.id]
        assert stats["busiest"][much.id] >= 60_000
        shown = await rig.call("device.get", device_id=much.id)
        assert shown["counts"]["slowed"] == 1
        assert "slowed" not in (await rig.call("device.get", device_id=little.id))["counts"]
    assert f"{much.id} sends too much" in caplog.text
    assert little.id not in caplog.text
