"""One program that is reached by NovaCloud, UDP and UART at once, with one Dispatcher."""

import os
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from jsonrpc_iot import connect
from tests.places import ROOT
from tests.waiting import SECONDS

from .rig import NO_PAUSES, running

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "openpty"), reason="no ptys here"),
]


async def _reach(folder: Path) -> None:
    async with running(folder, NO_PAUSES) as rig:
        info = await rig.create(light="boolean")
        await rig.call("actuator.define", device_id=info["device_id"], command_key="light_switch")
        arguments = [str(rig.platform.port), info["device_id"], "udp://127.0.0.1:0", "uart+pty://"]
        async with await anyio.open_process(
            [sys.executable, str(ROOT / "examples" / "nova_ways.py"), "127.0.0.1", *arguments],
            stderr=subprocess.PIPE,
            cwd=folder,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "NOVACLOUD_DEVICE_KEY": info["device_key"],
            },
        ) as program:
            assert program.stdout is not None
            with anyio.fail_after(SECONDS):
                text = ""
                while text.count("\n") < 2:
                    text += (await program.stdout.receive()).decode()
            udp_url, uart_url = text.split()
            await rig.push("device.online")
            params = {"device_id": info["device_id"], "method": "light_switch"}
            async with (
                connect(udp_url, timeout=SECONDS) as udp,
                connect(uart_url, timeout=SECONDS) as uart,
            ):
                assert await udp.call("light_switch", {"value": True}) is True
                while (await rig.push("telemetry"))["values"] != {"light": True}:
                    pass
                assert await uart.call("light", {}) is True
                assert await rig.call("device.call", **params, params=False) is False
                assert await uart.call("light", {}) is False
                assert await uart.call("light_switch", {"value": True}) is True
                assert await udp.call("light", {}) is True
                results: list[object] = []

                async def by_udp() -> None:
                    results.append(await udp.call("light_switch", {"value": True}))

                async def by_uart() -> None:
                    results.append(await uart.call("light_switch", {"value": True}))

                async def by_platform() -> None:
                    results.append(await rig.call("device.call", **params, params=True))

                async with anyio.create_task_group() as tasks:
                    for way in (by_udp, by_uart, by_platform) * 5:
                        tasks.start_soon(way)
                assert results == [True] * 15
            program.terminate()


def test_three_ways_at_once(tmp_path: Path) -> None:
    anyio.run(_reach, tmp_path)  # serial ports need asyncio
