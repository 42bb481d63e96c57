"""Takes docs/console-*.png: the console as a browser shows it.

    python -m tools.console_screenshots [FOLDER]

`make screenshots` runs it, with Playwright on Debian's Chromium. What is shown is the device of
`jsonrpc-iot demo --stay`, and a NovaCloud platform with a device whose values are made up.
"""

import math
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import anyio
from playwright.async_api import Browser, Page, async_playwright

from jsonrpc_iot import Dispatcher, serve
from jsonrpc_iot.cli._demo_stay import device_and_room
from jsonrpc_iot.novacloud import management
from tests._system import require_command
from tests.console.conftest import FLAGS
from tests.novacloud.rig import Rig, running
from tests.places import ROOT

SECONDS = 120.0
URLS = ("http://127.0.0.1:0/", "ws://127.0.0.1:0/")
DESKTOP = {"width": 1100, "height": 720}
LARGE = {"width": 1240, "height": 740}
WIDE = {"width": 1100, "height": 500}
PHONE = {"width": 390, "height": 760}
READINGS = 240  # that a plot has to show


@asynccontextmanager
async def shown(
    browser: Browser, dispatcher: Dispatcher, place: str, **context: Any
) -> AsyncIterator[Page]:
    """The page of a dispatcher, at a view of it."""
    settings = {"viewport": DESKTOP, "locale": "en-GB", "timezone_id": "UTC"} | context
    async with serve(dispatcher, *URLS, console=True) as server:
        opened = await browser.new_context(**settings)
        page = await opened.new_page()
        await page.goto(f"{server.urls[0]}{place}")
        try:
            yield page
        finally:
            await opened.close()


async def set_lamp(page: Page) -> None:
    """Fill in the form of `lamp.set`, and send it."""
    await page.get_by_label("level").first.fill("70")
    await page.get_by_label("colour").select_option("cool")
    await page.get_by_role("button", name="Call").click()
    await page.get_by_text("Result").wait_for()


async def take_device(browser: Browser, folder: Path) -> None:
    """The demo's device: a form in the light, plots in the dark, a form on a phone."""
    device, room = device_and_room("demo-device")
    async with shown(browser, device, "#/methods/lamp.set") as page:
        await set_lamp(page)
        await page.screenshot(path=folder / "console-light.png")
    async with shown(browser, device, "#/plots", color_scheme="dark", viewport=WIDE) as page:
        await page.get_by_text("Connected").wait_for()
        begin = time.time()
        for second, reading in enumerate(islice(room.readings(), READINGS)):
            await page.clock.set_fixed_time(begin + second)  # so that it does not take it
            room.climate.emit(reading)
        await page.get_by_text("temperature").first.wait_for()
        await page.screenshot(path=folder / "console-dark.png")
    async with shown(
        browser, device, "#/methods/lamp.set", viewport=PHONE, has_touch=True, is_mobile=True
    ) as page:
        await set_lamp(page)
        await page.screenshot(path=folder / "console-phone.png", full_page=True)


@asynccontextmanager
async def roof(rig: Rig) -> AsyncIterator[str]:
    """Devices with a history; gives the id of the one that has most of it, and is there."""
    noise = random.Random(0)
    for name in ("greenhouse", "cellar", "pump 1", "pump 2"):
        await rig.create(name, temperature="number", humidity="number")
    info = await rig.create("roof", temperature="number", humidity="number")
    async with rig.device(info) as device:
        begin = time.time() - 15 * READINGS
        for number in range(READINGS + 1):
            warmth = math.sin(number / 30)
            await device.data(
                begin + 15 * number,
                temperature=round(18 + 4 * warmth + noise.gauss(0, 0.2), 2),
                humidity=round(60 - 8 * warmth + noise.gauss(0, 0.6), 1),
            )
        await rig.until_stat("values", 2 * READINGS)
        yield info["device_id"]


async def take_novacloud(browser: Browser, folder: Path) -> None:
    """A platform: the telemetry of a device."""
    with tempfile.TemporaryDirectory() as store:
        async with running(Path(store)) as rig, roof(rig) as id:
            methods = management(rig.platform)
            async with shown(browser, methods, f"#/devices/{id}", viewport=LARGE) as page:
                await page.locator("canvas").first.wait_for()
                await page.get_by_text("temperature").first.wait_for()
                await page.screenshot(path=folder / "console-novacloud.png")


async def main(folder: Path) -> None:
    """Take all of them."""
    with anyio.fail_after(SECONDS):
        async with async_playwright() as play:
            browser = await play.chromium.launch(
                executable_path=require_command("chromium"), args=FLAGS
            )
            await take_device(browser, folder)
            await take_novacloud(browser, folder)
            await browser.close()


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs")
