"""A platform that restarts under many devices: no more than a quarter come in any one second."""

import os
import random
import time
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from jsonrpc_iot.novacloud import (
    DeviceSettings,
    NovaDevice,
    NovaPlatform,
    PlatformSettings,
    Schedule,
    SqliteStore,
)
from jsonrpc_iot.novacloud.device.backoff import Backoff
from jsonrpc_iot.novacloud.platform.admission import hash_key
from jsonrpc_iot.novacloud.platform.ingest import Telemetry
from jsonrpc_iot.novacloud.store.registry import DeviceRow

from .scripted import KEY

DEVICES = 5 * int(os.environ.get("JSONRPC_IOT_CRASHES", "20"))
SCALE = 1.0 if DEVICES >= 1000 else 0.1  # of all times, so that few devices need not wait so long
SECONDS = 60.0


def most_at_once(times: Sequence[float], seconds: float) -> float:
    """The largest share of events in any window of time."""
    times = sorted(times)
    begin, most = 0, 0
    for end, last in enumerate(times):
        while times[begin] <= last - seconds:
            begin += 1
        most = max(most, end - begin + 1)
    return most / len(times)


@pytest.mark.parametrize("down", [0, 0.5, 1, 2, 3, 5, 8, 10, 15, 30, 60, 120])
def test_however_long_the_platform_is_away(down: float) -> None:
    source = random.Random(1)
    times = []
    for _ in range(5000):
        backoff = Backoff(Schedule(), source)
        at = backoff.after_connection(20.0)
        while at < down:
            at += backoff.after_failure()
        times.append(at)
    assert most_at_once(times, 1.0) <= 0.25


def test_a_platform_that_soon_falls_down_again() -> None:
    source = random.Random(1)
    times = []
    for _ in range(5000):
        backoff = Backoff(Schedule(), source)
        at = backoff.after_connection(1000.0)
        if at < 5.0:  # it was there for 5 s
            at = 5.0 + backoff.after_connection(5.0 - at)
        times.append(at)
    assert most_at_once(times, 1.0) <= 0.25


async def _restart(folder: Path) -> tuple[list[float], list[str]]:
    """When the devices came back, and what reports the second platform got from whom."""
    ids = [f"00000000-0000-4000-8000-{number:012d}" for number in range(DEVICES)]
    schedule = Schedule(first=SCALE, longest=60 * SCALE, stable=0.001, after_stable=10 * SCALE)
    settings = DeviceSettings(schedule=schedule, close_seconds=0.1)
    store = SqliteStore(folder / "nova.db", durable=False)
    async with store:
        for id in ids:
            await store.create_device(DeviceRow(device_id=id, name=id, key_hash=hash_key(KEY)))
            await store.define_sensor(id, "t", "number")
    came: list[float] = []
    reports: list[str] = []
    all_came, all_reported = anyio.Event(), anyio.Event()

    def note(_: object) -> None:
        came.append(time.monotonic())
        if len(came) == DEVICES:
            all_came.set()

    def note_report(each: Telemetry) -> None:
        reports.append(each.device_id)
        if len(reports) == DEVICES:
            all_reported.set()

    async with anyio.create_task_group() as tasks:
        devices: list[NovaDevice] = []

        async def run(device: NovaDevice) -> None:
            async with device:
                await anyio.sleep_forever()

        async with NovaPlatform(store, port=0) as platform:
            for id in ids:
                device = NovaDevice(
                    "127.0.0.1", platform.port, device_id=id, device_key=KEY, settings=settings
                )
                devices.append(device)
                tasks.start_soon(run, device)
            for device in devices:
                await device.connected()
        await anyio.sleep(3 * SCALE)
        second = NovaPlatform(
            SqliteStore(folder / "nova.db", durable=False),
            port=platform.port,
            settings=PlatformSettings(),
        )
        second.device_online.subscribe(note)
        second.telemetry.subscribe(note_report)
        for device in devices:
            await device.report({"t": 1})
        async with second:
            with anyio.fail_after(SECONDS):
                await all_came.wait()
                await all_reported.wait()
            tasks.cancel_scope.cancel()
    assert sorted(reports) == ids
    return came, reports


@pytest.mark.timeout(120)
def test_a_platform_that_restarts_under_devices(tmp_path: Path) -> None:
    came, _ = anyio.run(_restart, tmp_path)
    if SCALE == 1.0:  # a busy machine stalls for as long as the others are
        assert most_at_once(came, 1.0) <= 0.25
