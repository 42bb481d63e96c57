"""A full disk on either side of a device and its platform, and then space again."""

import logging
import sqlite3
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from jsonrpc_iot.novacloud import (
    DeviceSettings,
    NovaDevice,
    Outbox,
    Schedule,
    SqliteStore,
    WhenFull,
)
from tests.waiting import SECONDS, eventually

from .rig import NO_PAUSES, Rig, running

pytestmark = pytest.mark.anyio

_SETTINGS = msgspec.structs.replace(NO_PAUSES, messages_per_second=1e6, flap_delay=0)
_BIG = "x" * 20_000


def a_device(
    info: dict[str, str], port: int, outbox: Outbox | Path, patience: float = 0.1
) -> NovaDevice:
    return NovaDevice(
        "127.0.0.1",
        port,
        device_id=info["device_id"],
        device_key=info["device_key"],
        outbox=outbox,
        settings=DeviceSettings(
            drain_rate=2000, close_seconds=patience, schedule=Schedule(first=0.02, longest=0.1)
        ),
    )


async def stored(rig: Rig, info: dict[str, str]) -> list[Any]:
    points = await rig.call("telemetry.query", device_id=info["device_id"], value_key="t")
    return [point["timestamp"] for point in points]


def assert_sound(path: Path) -> None:
    database = sqlite3.connect(path)
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.close()


async def until_turned_away(device: NovaDevice) -> None:
    await eventually(lambda: device.counts.connections >= 4, SECONDS)


async def until_empty(outbox: Outbox) -> None:
    await eventually(lambda: outbox.rows == 0, 2 * SECONDS)


async def test_the_platforms_disk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "jsonrpc_iot.novacloud")
    store = SqliteStore(tmp_path / "nova.db", durable=False, max_pages=80)
    async with running(tmp_path, _SETTINGS, store) as rig:
        hoarder = await rig.create("hoarder", t="string")
        async with a_device(hoarder, rig.platform.port, tmp_path / "hoarder.db") as device:
            for number in range(7):
                await device.report({"t": _BIG}, timestamp=number)
            await until_empty(device.outbox)
        info = await rig.create(t="string")
        async with a_device(info, rig.platform.port, tmp_path / "outbox.db") as device:
            for number in range(8):
                await device.report({"t": _BIG}, timestamp=number)
            await until_turned_away(device)
            assert "disk is full" in caplog.text
            waiting = device.outbox.rows  # before it is asked what is stored, for rows still go
            kept = await stored(rig, info)
            assert kept == [*range(len(kept))]
            assert len(kept) < 8
            assert waiting >= 8 - len(kept)

            await rig.call("device.delete", device_id=hoarder["device_id"])
            await until_empty(device.outbox)
            assert await stored(rig, info) == [*range(8)]
    assert_sound(tmp_path / "nova.db")


async def test_a_larger_disk_after_a_restart(tmp_path: Path) -> None:
    outbox = tmp_path / "outbox.db"
    store = SqliteStore(tmp_path / "nova.db", durable=False, max_pages=80)
    async with running(tmp_path, _SETTINGS, store) as rig:
        info = await rig.create(t="string")
        async with a_device(info, rig.platform.port, outbox) as device:
            for number in range(40):
                await device.report({"t": _BIG}, timestamp=number)
            await until_turned_away(device)
    async with running(tmp_path, _SETTINGS) as rig:
        async with a_device(info, rig.platform.port, outbox, SECONDS) as device:
            with anyio.fail_after(SECONDS):
                await device.connected()
        assert await stored(rig, info) == [*range(40)]  # closing waits until all is there
    assert_sound(tmp_path / "nova.db")


@pytest.mark.parametrize("when_full", ["drop_oldest", "drop_newest", "block"])
async def test_a_quota_works_as_a_full_disk_does(tmp_path: Path, when_full: WhenFull) -> None:
    path = tmp_path / "outbox.db"

    def outbox() -> Outbox:
        return Outbox(path, quota=1 << 17, when_full=when_full)

    async with running(tmp_path, _SETTINGS) as rig:
        info = await rig.create(t="string")
        taken = []
        async with a_device(info, 1, outbox()) as device:  # nobody is there
            for number in range(100):
                with anyio.move_on_after(1.0 if when_full == "block" else SECONDS):
                    await device.report({"t": "x" * 2000}, timestamp=number)
                    taken.append(number)
                if number not in taken:  # it waits
                    break
            dropped = device.outbox.dropped
            kept = taken[dropped:] if when_full == "drop_oldest" else taken[: len(taken) - dropped]
            assert 10 < len(kept) < 100
            assert len(taken) == (len(kept) if when_full == "block" else 100)
        async with a_device(info, rig.platform.port, outbox()) as device:
            await until_empty(device.outbox)  # then there is space again
            await device.report({"t": "again"}, timestamp=1000)
            await until_empty(device.outbox)
        assert await stored(rig, info) == [*kept, 1000]
    assert_sound(path)
