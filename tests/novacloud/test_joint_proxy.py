"""A device and a platform with a network between them that cuts, stalls and half-closes."""

import socket
from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec

from jsonrpc_iot.novacloud import DeviceSettings, NovaDevice, Schedule
from tests.waiting import SECONDS, eventually

from .device.test_proxy import Proxy
from .rig import NO_PAUSES, Rig, running

_REPORTS = 500
_SETTINGS = msgspec.structs.replace(NO_PAUSES, messages_per_second=1e6, flap_delay=0)


class Forgetful(Proxy):
    """Such a network before a platform that knows no extension."""

    def _pass(self, near: socket.socket, far: socket.socket, size: int, how: str) -> None:
        try:
            line = near.recv(4096)
            assert line.endswith(b"\n")  # the device waits for its answer
            assert b'"ext":["ack"]' in line
            far.sendall(line.replace(b'"ext":["ack"]', b'"ext":["new"]'))
        except OSError:
            pass
        super()._pass(near, far, size, how)


async def _report(
    rig: Rig, info: dict[str, str], proxy: Proxy, outbox: Path, heartbeat: float
) -> list[Any]:
    """Report through the network until the device has nothing left; returns what is stored."""
    try:
        async with NovaDevice(
            "127.0.0.1",
            proxy.port,
            device_id=info["device_id"],
            device_key=info["device_key"],
            outbox=outbox,
            heartbeat=heartbeat,
            settings=DeviceSettings(
                drain_rate=2000, close_seconds=0.1, schedule=Schedule(first=0.01, longest=0.02)
            ),
        ) as device:
            for number in range(_REPORTS):
                await device.report({"n": number}, timestamp=number)
                if number % 20 == 0:
                    await anyio.sleep(0.005)
            await eventually(lambda: device.outbox.rows == 0, 2 * SECONDS)
        assert device.counts.connections > 3
    finally:
        await anyio.to_thread.run_sync(proxy.close)
    assert proxy.done == {"cut", "stall", "half-close"}
    missing = {*range(_REPORTS)}  # without acknowledgements they may still be under way
    while missing:
        missing.discard((await rig.push("telemetry"))["values"]["n"])
    query = {"device_id": info["device_id"], "value_key": "n", "limit": 10_000}
    points = await rig.call("telemetry.query", **query)
    assert all(point["timestamp"] == point["value"] for point in points)
    return [point["value"] for point in points]


async def _with_acknowledgements(folder: Path) -> None:
    async with running(folder, _SETTINGS) as rig:
        info = await rig.create(n="number")
        stored = await _report(rig, info, Proxy(rig.platform.port), folder / "outbox.db", 0.2)
        assert stored == [*range(_REPORTS)]
        assert (await rig.stats())["duplicates"] > 0


async def _without_acknowledgements(folder: Path) -> None:
    async with running(folder, _SETTINGS) as rig:
        info = await rig.create(n="number")
        # Its stalls are shorter than a heartbeat: all that it swallows is sent again.
        proxy = Forgetful(rig.platform.port)
        stored = await _report(rig, info, proxy, folder / "outbox.db", 1.0)
        counts = Counter(stored)
        assert [*counts] == [*range(_REPORTS)]
        assert len(stored) > _REPORTS
        assert (await rig.stats())["duplicates"] == 0  # the platform cannot know


# The network takes its seconds, so that each promise is put to the test on one event loop.


def test_nothing_is_lost_or_doubled_with_acknowledgements(tmp_path: Path) -> None:
    anyio.run(_with_acknowledgements, tmp_path)


def test_without_them_what_a_network_swallows_comes_again(tmp_path: Path) -> None:
    anyio.run(_without_acknowledgements, tmp_path, backend="trio")
