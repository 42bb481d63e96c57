"""Very many at once, at full size: silent connections, and a listener that is stopped."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import anyio
import anyio.lowlevel
import msgspec
import pytest

from jsonrpc_iot import serve
from jsonrpc_iot.novacloud import PlatformSettings, management
from jsonrpc_iot.novacloud.platform.descriptors import raise_limit, room_for_devices
from tests.novacloud.rig import NO_PAUSES, running
from tests.places import ROOT
from tests.waiting import eventually

from .test_threats import beside

pytestmark = pytest.mark.anyio

CROWD = 1500
SOME = 200
LONG = "x" * 50_000


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_crowd_of_silent_connections_keeps_no_other_host_waiting(tmp_path: Path) -> None:
    raise_limit()
    crowd = min(CROWD, int(room_for_devices() // 2 - SOME))
    async with running(tmp_path, PlatformSettings()) as rig, beside(rig):
        with ExitStack() as stack:
            for number in range(crowd):
                each = stack.enter_context(socket.socket())
                each.setblocking(False)
                each.connect_ex(("127.0.0.1", rig.platform.port))
                if number % SOME == 0:
                    await anyio.lowlevel.checkpoint()
            for number in range(5):
                info = await rig.create(f"lamp {number}")
                began = time.monotonic()
                async with rig.link(info, host="127.0.0.2") as device:
                    assert (await device.authenticate())["status"] == "success"
                assert time.monotonic() - began < 1 or number == 0  # the crowd is still coming
            await eventually(lambda: rig.platform.counts.connections >= crowd)


@pytest.mark.skipif(sys.platform == "win32", reason="no way to stop a process")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_listener_that_is_stopped_costs_nobody_else_anything(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(NO_PAUSES, bytes_per_second=1e9)
    line = msgspec.json.encode({"type": "data", "payload": {"t": LONG}}) + b"\n"
    heard = tmp_path / "heard"
    async with (
        running(tmp_path, settings) as rig,
        beside(rig),
        serve(management(rig.platform), "tcp://127.0.0.1:0") as server,
        rig.device(await rig.create(t="json")) as device,
    ):
        with (
            heard.open("wb") as output,
            subprocess.Popen(  # noqa: ASYNC220
                [sys.executable, "-m", "jsonrpc_iot", "listen", server.urls[0], "telemetry"],
                stdout=output,
                cwd=ROOT,
            ) as listener,
        ):
            try:
                await eventually(lambda: len(server.peers) == 1)
                await device.data(t=0)
                await eventually(lambda: heard.stat().st_size)
                os.kill(listener.pid, signal.SIGSTOP)
                for _ in range(SOME):
                    await device.send_raw(line)
                await rig.until_stat("values", SOME + 2)  # the good device's is one of them
                os.kill(listener.pid, signal.SIGCONT)
                await eventually(lambda: heard.stat().st_size > len(LONG))

                async def hears() -> bool:  # while it catches up it may miss some
                    await device.data(t="here")
                    await anyio.sleep(0.05)
                    return b'"here"' in heard.read_bytes()[-100:]

                await rig.until(hears)
            finally:
                listener.kill()
