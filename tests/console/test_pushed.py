"""What a device pushes: the view of notifications, and the plots of their numbers."""

import json
import re
import time
from typing import Any

import anyio
import msgspec
import pytest

from jsonrpc_iot import Dispatcher
from tests.console.conftest import ConsolePage

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

OPEN = ".state[data-state=open]"
LONGEST_TASK = 100.0  # milliseconds


async def burst(device: Dispatcher, rate: int, seconds: float) -> None:
    """Emit so many notifications a second."""
    start, sent = time.monotonic(), 0
    while sent < rate * seconds:
        while sent < min(rate * seconds, (time.monotonic() - start) * rate):
            power = {"watts": 10 + sent % 7, "volts": 230.5}
            device.emit("lamp.measured", {"number": sent, "power": power, "note": "<i>"})
            sent += 1
        await anyio.sleep(0.002)


async def said(page: Any) -> str:
    """How many notifications the page says have come."""
    return str(await page.locator(".bar .hint").text_content())


def longest_task(trace: bytes) -> float:
    """The longest task of the page, in milliseconds that it was computing.

    By the clock on the wall a task would also take as long as it waits for other programs.
    """
    events = json.loads(trace)["traceEvents"]
    names = {
        (each["pid"], each["tid"]): each["args"]["name"]
        for each in events
        if each["name"] == "thread_name"
    }
    tasks = [
        each["tdur"]
        for each in events
        if each["name"] == "ThreadControllerImpl::RunTask"
        and names.get((each["pid"], each["tid"])) == "CrRendererMain"
        and "tdur" in each
    ]
    assert len(tasks) > 1000
    return float(max(tasks)) / 1000


async def test_500_notifications_a_second_leave_the_page_quick(
    browser: Any, console_page: ConsolePage
) -> None:
    device = Dispatcher(title="Lamp")
    async with console_page(device, "#/events") as (page, _, _):
        await page.locator(OPEN).wait_for()
        await browser.start_tracing(page=page, categories=["toplevel"])
        await burst(device, 500, 5)
        await page.evaluate("location.hash = '#/plots'")
        await burst(device, 500, 5)
        await page.get_by_role("button", name="number 2,499").wait_for()
        assert longest_task(await browser.stop_tracing()) <= LONGEST_TASK

        await page.evaluate("location.hash = '#/events'")
        await page.locator(".events li").first.wait_for()
        assert await page.locator(".events li").count() == 100
        count = re.match(r"([\d,]+) came\.\s+The oldest ([\d,]+) are", await said(page))
        assert count is not None
        came, forgotten = (int(each.replace(",", "")) for each in count.groups())
        assert came == 5000
        assert 2000 <= came - forgotten <= 2500


async def test_notifications_are_filtered_held_and_opened(console_page: ConsolePage) -> None:
    device = Dispatcher(title="Lamp")
    async with console_page(device, "#/events") as (page, _, _):
        await page.locator(OPEN).wait_for()
        device.emit("lamp.changed", {"level": 40})
        device.emit("<img src=x onerror=alert(1)>", {"__proto__": "<script>alert(2)</script>"})
        device.emit("door.opened", {"rows": [{"index": each} for each in range(64_000)]})  # 1 MB
        rows = page.locator(".events li")
        await page.get_by_text("door.opened").wait_for()
        assert await rows.count() == 3
        assert await page.locator("img, .events script").count() == 0
        search = page.get_by_role("searchbox")
        await search.fill("lamp.*")
        await page.get_by_text("door.opened").wait_for(state="detached")
        assert await rows.count() == 1
        await search.fill("ALERT(2)")
        await page.get_by_text("onerror").wait_for()
        await search.fill("")

        await page.get_by_role("button", name="door.opened").press("Enter")
        opened = page.locator(".event + pre")
        await opened.wait_for()
        assert len(str(await opened.text_content())) == 200_000
        device.emit("lamp.changed", {"level": 41})
        await page.get_by_text("Paused; 1 have come meanwhile").wait_for()
        assert await rows.count() == 3
        await page.get_by_role("button", name="Go on").press("Enter")
        await page.get_by_text('{"level":41}').wait_for()


async def test_each_number_has_a_line_and_its_value_as_text(console_page: ConsolePage) -> None:
    device = Dispatcher(title="Lamp")
    async with console_page(device, "#/plots") as (page, _, _):
        await page.locator(OPEN).wait_for()
        for level in (40, 10, 25):
            values = {"level": level, "__proto__": -level, "list": [level / 8], "at": time.time()}
            device.emit("lamp.changed", values)
            await anyio.sleep(0.3)  # apart on the plot
        device.emit("door.opened", {"by": "<b>somebody</b>"})
        card = page.get_by_role("article", name="lamp.changed")
        await card.locator("canvas").wait_for()
        assert await page.locator(".card").count() == 1
        legend = card.get_by_role("list", name="Lines")
        await legend.get_by_role("button", name="level 25").wait_for()
        pressed = {
            str(await each.text_content()).split()[0]: await each.get_attribute("aria-pressed")
            for each in await legend.get_by_role("button").all()
        }
        assert pressed == {"level": "true", "__proto__": "true", "list[0]": "true", "at": "false"}
        await legend.get_by_role("button", name="level").press("Space")
        await legend.locator("[aria-pressed=false]", has_text="level").wait_for()
        described = str(await card.get_by_role("img").get_attribute("aria-label"))
        assert described.startswith("lamp.changed: level 25, __proto__ -25, list[0] 3.125")
        plot = card.locator(".u-over")
        await plot.hover(position={"x": 1, "y": 50})
        await legend.get_by_role("button", name="list[0] 5").wait_for()  # the first that came
        await plot.drag_to(
            plot, source_position={"x": 50, "y": 50}, target_position={"x": 200, "y": 50}
        )
        await plot.dblclick()
        await page.mouse.move(0, 0)
        await legend.get_by_role("button", name="list[0] 3.125").wait_for()
        await card.get_by_text("As text").press("Enter")
        row = card.get_by_role("row", name="level")
        assert await row.get_by_role("cell").all_text_contents() == ["25", "10", "40"]


async def test_what_is_too_deep_is_shown_as_far_as_it_goes(console_page: ConsolePage) -> None:
    device = Dispatcher()
    async with console_page(device, "#/events") as (page, _, _):
        await page.locator(OPEN).wait_for()
        device.emit("deep", msgspec.Raw(b"[" * 20_000 + b"]" * 20_000))
        await page.locator(".event").click()
        await page.locator(".events pre", has_text="[[[[").wait_for()


DRAWN_TEXTS = """
globalThis.drawn = [];
const draw = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
  drawn.push(text);
  return draw.call(this, text, ...rest);
};
"""


async def test_a_single_value_has_a_minute_around_it(console_page: ConsolePage) -> None:
    device = Dispatcher()
    async with console_page(device, "#/plots", before=DRAWN_TEXTS) as (page, _, _):
        await page.locator(OPEN).wait_for()
        await page.get_by_text("No numbers have been pushed yet.").wait_for()
        device.emit("lamp.measured", {"watts": 7})
        await page.locator(".chart canvas").wait_for()
        await page.wait_for_function("drawn.some((text) => /^\\d\\d:\\d\\d:\\d\\d$/.test(text))")
        await page.goto(page.url.replace("#/plots", "#/events"))
        await page.get_by_text("1 came.").wait_for()
        assert "oldest" not in await said(page)
