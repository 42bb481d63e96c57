"""Takes docs/home-assistant.png: the lamp of docs/home-assistant.md, as Home Assistant shows it.

    python -m tools.home_assistant_screenshot [FILE.png]

`make screenshots-home-assistant` runs it. HOMEASSISTANT_PYTHON names an interpreter that has Home
Assistant and its frontend; it needs mosquitto and chromium. On loopback it runs the lamp's MCU on a
pseudo terminal, `jsonrpc-iot bridge` with the file that the page shows, Home Assistant, and a
browser, which is called as a device is: DevTools speak JSON-RPC.
"""

import base64
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio

from jsonrpc_iot import Client, connect
from jsonrpc_iot.tuya import DataPoint, DataPointType, Product, TuyaMcu
from tests._system import require_command
from tests.brokers import new_mosquitto
from tests.cli.program import COMMAND
from tests.interop.foreign import Foreign, foreign
from tests.places import ROOT

PAGE = ROOT / "docs" / "home-assistant.md"
SECONDS = 120.0
SIZE = {"width": 980, "height": 612, "deviceScaleFactor": 1, "mobile": False}

POINTS = (
    DataPoint(1, DataPointType.BOOL, True),
    DataPoint(2, DataPointType.VALUE, 640),
    DataPoint(3, DataPointType.VALUE, 15),
    DataPoint(4, DataPointType.ENUM, 2),
    DataPoint(5, DataPointType.VALUE, 7),
    DataPoint(6, DataPointType.BOOL, False),
)
SHOWN = {"light.bedside_lamp_switch": "on", "number.bedside_lamp_timer": "15"}

# Home Assistant's page is made of shadow trees; this is all that can be read there.
TEXT = """
(function text(node) {
  if (node.nodeType === Node.TEXT_NODE) return node.data;
  if (["STYLE", "SCRIPT"].includes(node.nodeName)) return "";
  const nodes = [...(node.shadowRoot ? node.shadowRoot.childNodes : []), ...node.childNodes];
  return nodes.map(text).join(" ");
})(document.body)
"""
DEVICE = 'Object.values(document.querySelector("home-assistant").hass.devices)'


def settings(broker: str, line: str) -> str:
    """The file that the page shows, for this broker and line."""
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return str(block).replace("mqtt://broker/home", broker).replace("tuya-dp:///dev/ttyS1", line)


@asynccontextmanager
async def chromium() -> AsyncIterator[Client]:
    """A tab of a browser without a window: a device that is called."""
    with tempfile.TemporaryDirectory() as profile:
        command = [
            require_command("chromium"),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--no-proxy-server",
            "--remote-debugging-port=0",
            f"--user-data-dir={profile}",
        ]
        async with await anyio.open_process(command, stderr=subprocess.DEVNULL) as process:
            try:
                address = await _address(anyio.Path(profile, "DevToolsActivePort"))
                async with connect(address) as browser:
                    tab = await browser.call("Target.createTarget", {"url": "about:blank"})
                page, _, _ = address.partition("/browser/")
                async with connect(f"{page}/page/{tab['targetId']}") as client:
                    yield client
            finally:
                process.kill()


async def _address(file: anyio.Path) -> str:
    """Where Chromium listens, when it has written that."""
    while not await file.exists() or "\n" not in await file.read_text():  # noqa: ASYNC110
        await anyio.sleep(0.05)
    port, path = (await file.read_text()).splitlines()
    return f"ws://127.0.0.1:{port}{path}"


async def evaluate(tab: Client, expression: str) -> Any:
    """The value of an expression in a page."""
    found = await tab.call("Runtime.evaluate", {"expression": expression, "returnByValue": True})
    return found["result"].get("value")


async def visit(tab: Client, url: str) -> None:
    """Open a page, and wait until it is loaded: before that a tab may not answer."""
    async with tab.notifications() as news:
        await tab.call("Page.navigate", {"url": url})
        async for event in news:
            if event.method == "Page.loadEventFired":
                return


async def shows(tab: Client, *texts: str) -> None:
    """Wait until a page shows texts."""
    shown = ""
    while not all(text in shown for text in texts):
        await anyio.sleep(0.1)
        shown = str(await evaluate(tab, TEXT))


async def picture(url: str, storage: dict[str, str]) -> bytes:
    """Open the lamp's page, signed in."""
    storage = {"dockedSidebar": '"auto"', **storage}  # a narrow one
    async with chromium() as tab:
        await tab.call("Emulation.setDeviceMetricsOverride", SIZE)
        await tab.call("Page.enable")
        source = f"Object.assign(localStorage, {json.dumps(storage)})"
        await tab.call("Page.addScriptToEvaluateOnNewDocument", {"source": source})
        await visit(tab, url)
        await shows(tab, "Overview")
        id = await evaluate(tab, f'{DEVICE}.find((one) => one.name === "Bedside lamp").id')
        await visit(tab, f"{url}/config/devices/device/{id}")
        await shows(tab, "Bedside lamp", "Child lock", "Power", "Timer")
        before, shot = "", "-"
        while shot != before:  # icons come last
            await anyio.sleep(1)
            before, shot = shot, (await tab.call("Page.captureScreenshot"))["data"]
    return base64.b64decode(shot)


async def main(file: anyio.Path) -> None:
    """Start everything, and write the picture."""
    python = os.environ["HOMEASSISTANT_PYTHON"]
    broker, mcu = new_mosquitto(), TuyaMcu("uart+pty://", Product("lamp-demo", "2.4.1"))
    mcu.set(*POINTS)
    with anyio.fail_after(SECONDS), tempfile.TemporaryDirectory() as folder:
        async with foreign(Foreign, python, "house.py", broker.port, "frontend") as there, mcu:
            config = anyio.Path(folder, "bridge.toml")
            line = mcu.address.replace("uart://", "tuya-dp://")
            await config.write_text(settings(broker.url(topic="/home"), line))
            ready = await there.ready()
            async with await anyio.open_process(
                [*COMMAND, "bridge", "--config", str(config)], stderr=None
            ) as bridge:
                try:
                    await there.until(SHOWN)
                    await file.write_bytes(await picture(ready["url"], ready["storage"]))
                finally:
                    bridge.kill()


if __name__ == "__main__":
    anyio.run(main, anyio.Path(sys.argv[1] if len(sys.argv) > 1 else PAGE.with_suffix(".png")))
