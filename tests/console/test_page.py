"""The page as a whole: it opens, finds its way, and says how the link is."""

from typing import Annotated

import pytest
from msgspec import Meta

from jsonrpc_iot import Dispatcher
from tests.console.conftest import ConsolePage

pytestmark = [pytest.mark.anyio, pytest.mark.browser]


def lamp() -> Dispatcher:
    device = Dispatcher(title="Lamp", version="1.2")
    state = {"level": 0}

    @device.method("lamp.set")
    def set_level(level: Annotated[int, Meta(ge=0, le=100)]) -> int:
        """Set the brightness in percent.

        Returns:
            What it was.
        """
        before, state["level"] = state["level"], level
        return before

    return device


async def test_a_method_is_called_from_its_form(console_page: ConsolePage) -> None:
    async with console_page(lamp()) as (page, _, _):
        await page.get_by_role("link", name="lamp.set").click()
        await page.get_by_label("level").fill("40")
        await page.get_by_role("button", name="Call").click()
        await page.locator(".outcome .json", has_text="0").wait_for()
        await page.get_by_label("level").fill("7")
        await page.keyboard.press("Enter")
        await page.locator(".outcome .json", has_text="40").wait_for()
        assert await page.title() == "Lamp"
        assert await page.locator(".state").get_attribute("data-state") == "open"


FIRST_PAINT = 1500
"""Milliseconds; a quiet machine takes a tenth of that."""


async def test_it_is_painted_at_once(console_page: ConsolePage) -> None:
    async with console_page(lamp()) as (page, _, _):
        await page.get_by_role("link", name="lamp.set").wait_for()
        painted = []
        for _ in range(3):  # what else the machine does counts too: the best one says it
            await page.reload()
            await page.get_by_role("link", name="lamp.set").wait_for()
            entry = await page.wait_for_function(
                "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
            )
            painted.append(await entry.json_value())
        assert min(painted) <= FIRST_PAINT


async def test_messages_are_shown_when_they_are_wanted(console_page: ConsolePage) -> None:
    async with console_page(lamp(), "#/wire") as (page, _, _):
        await page.get_by_role("button", name="Record").click()
        await page.get_by_role("link", name="Methods").click()
        await page.get_by_role("link", name="lamp.set").click()
        await page.get_by_label("level").fill("40")
        await page.keyboard.press("Enter")
        await page.locator(".outcome .json").wait_for()
        await page.get_by_role("link", name="Messages").click()
        await page.locator(".wire .out", has_text='"level":40').wait_for()
        await page.locator(".wire .in", has_text='"result":0').wait_for()
        await page.get_by_role("searchbox", name="Filter").fill("nothing has this")
        await page.get_by_text("No message yet.").wait_for()


async def test_a_description_that_fits_no_message_comes_by_http(console_page: ConsolePage) -> None:
    device = lamp()
    device.method("lamp.long")(long)
    async with console_page(device, "#/methods/lamp.long") as (page, _, _):
        await page.get_by_role("heading", name="lamp.long").wait_for()
        assert await page.locator(".state").get_attribute("data-state") == "open"
        assert len(await page.content()) < 100_000


def long() -> None: ...


long.__doc__ = f"Say much.\n\n{'much ' * 300_000}"


NOTHING_IS_KEPT = """
for (const name of ["localStorage", "sessionStorage"])
  Object.defineProperty(globalThis, name, { get() { throw new Error("no"); } });
"""


async def test_a_browser_that_keeps_nothing(console_page: ConsolePage) -> None:
    async with console_page(lamp(), before=NOTHING_IS_KEPT) as (page, _, _):
        await page.get_by_role("link", name="lamp.set").wait_for()
        await page.get_by_label("Language / 语言").select_option("zh")
        await page.get_by_role("link", name="方法").wait_for()


async def test_recorded_messages_hold_no_secrets(console_page: ConsolePage) -> None:
    device = Dispatcher()

    @device.method("wifi.connect")
    def join(ssid: str, psk: str) -> dict[str, str]:
        return {"token": psk}

    async with console_page(device, "#/wire") as (page, _, _):
        await page.get_by_role("button", name="Record").click()
        await page.get_by_role("link", name="Methods").click()
        await page.get_by_role("link", name="wifi.connect").click()
        await page.get_by_label("ssid").fill("home")
        await page.get_by_label("psk").fill('hid"den')
        await page.keyboard.press("Enter")
        await page.locator(".outcome .json", has_text="hid").wait_for()
        await page.get_by_role("button", name="As JSON").click()
        await page.get_by_label("Params as JSON").fill('["home", "hid]den"]')
        await page.get_by_role("button", name="Call", exact=True).click()
        await page.locator(".outcome .json", has_text="hid]").wait_for()
        await page.get_by_role("link", name="Messages").click()
        await page.locator(".wire .out", has_text='"ssid":"home","psk":"***"').wait_for()
        await page.locator(".wire .out", has_text='"params":[***').wait_for()
        assert await page.locator(".wire .in", has_text='"token":"***"').count() == 2
        assert "hid" not in await page.locator(".wire").text_content()
