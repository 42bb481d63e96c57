"""`bridge --homeassistant`: the same without a program, as the file says."""

import signal
import sys
from pathlib import Path

import anyio
import pytest

from jsonrpc_iot import Dispatcher, serve
from tests.brokers import new_mosquitto
from tests.cli.program import run
from tests.places import ROOT
from tests.waiting import SECONDS

from .home import at_home

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.only_on("asyncio"),
    pytest.mark.skipif(sys.platform == "win32", reason="no SIGHUP"),
]

FILE = """
bind = ["{url}"]
homeassistant = true

[devices.coffee]
url = "{device}"
title = "Coffee machine"
area = "{area}"
icon = "mdi:coffee"
"""


async def test_devices_are_shown_as_the_file_says(tmp_path: Path) -> None:
    broker = new_mosquitto()
    url, file = broker.url(), tmp_path / "gateway.toml"
    device = Dispatcher()
    device.method("brew", button=True)(lambda: None)
    command = [sys.executable, "-m", "jsonrpc_iot", "bridge", "--config", str(file)]
    try:
        with anyio.fail_after(3 * SECONDS):
            async with (
                serve(device, "tcp://127.0.0.1:0") as server,
                at_home(url, "homeassistant") as home,
            ):
                place = {"url": url, "device": server.urls[0]}
                file.write_text(FILE.format(**place, area="Kitchen"))
                async with await anyio.open_process(command) as bridge:
                    brew = await home.entity("Coffee machine", "Brew")
                    assert brew["icon"] == "mdi:coffee"
                    await home.until(lambda: home.is_available("Coffee machine"))
                    file.write_text(FILE.format(**place, area="Hall"))
                    bridge.send_signal(signal.SIGHUP)
                    await home.until(
                        lambda: (
                            home.devices()["Coffee machine"]["device"]["suggested_area"] == "Hall"
                        )
                    )
                    bridge.terminate()
                    assert await bridge.wait() == 0
                await home.until(lambda: not home.is_available("Coffee machine"))
    finally:
        broker.stop()


async def test_the_example() -> None:
    broker = new_mosquitto()
    url = broker.url("", topic="/home")
    try:
        with anyio.fail_after(3 * SECONDS):
            async with at_home(url, "homeassistant") as home:
                command = [sys.executable, str(ROOT / "examples" / "home_assistant.py"), url]
                async with await anyio.open_process(command) as process:
                    night = await home.entity("Bedside lamp", "Night light")
                    components = home.devices()["Bedside lamp"]["components"]
                    assert {name: each["platform"] for name, each in components.items()} == {
                        "Lamp turn": "switch",
                        "Night light": "switch",
                        "Lamp watts": "sensor",
                        "Lamp identify": "button",
                    }
                    await home.until(lambda: home.is_available("Bedside lamp"))
                    await home.command(night, "ON")
                    await home.state(night, "ON")
                    await home.state(components["Lamp watts"], "0.4")
                    process.terminate()
    finally:
        broker.stop()


def test_a_broker_is_needed() -> None:
    place = ("--bind", "tcp://127.0.0.1:0")
    done = run("bridge", "one=tcp://127.0.0.1:1", *place, "--homeassistant")
    assert done.code == 2
    assert "needs a broker: --bind mqtt://" in done.err
