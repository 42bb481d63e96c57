"""The views of a NovaCloud platform, on a real one with devices that are sockets."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

import jsonrpc_iot
from jsonrpc_iot.novacloud import management
from tests.console.conftest import ConsolePage
from tests.novacloud.nodes import pair
from tests.novacloud.rig import Rig, running
from tests.novacloud.store.postgres.databases import empty_database

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

REMEMBER = """
window.sockets = [];
window.WebSocket = class extends WebSocket {
  constructor(...all) {
    super(...all);
    sockets.push(this);
    this.addEventListener("message", ({ data }) => answered.add(JSON.parse(data).id));
  }
  send(text) {
    const { id, method } = JSON.parse(text);
    asked.set(method, id);
    super.send(text);
  }
};
const asked = new Map();
const answered = new Set();
window.answerTo = async (method) => {
  while (!answered.has(asked.get(method))) await new Promise(requestAnimationFrame);
};
"""


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with running(tmp_path) as rig:
        yield rig


async def test_devices_come_in_pages_with_their_latest_values(
    rig: Rig, console_page: ConsolePage
) -> None:
    lamp = await rig.create("<i>lamp", temperature="number", __proto__="number")
    await rig.call("device.update", device_id=lamp["device_id"], tags=["kitchen"])
    for number in range(60):
        await rig.create(f"pump {number:02}")
    dispatcher = management(rig.platform)
    async with (
        rig.device(lamp) as device,
        console_page(dispatcher, "#/devices", before=REMEMBER) as (page, _, _),
    ):
        rows = page.locator(".row")
        first = rows.first
        await first.get_by_role("link", name="<i>lamp").wait_for()
        assert await rows.count() == 25
        await first.locator(".presence", has_text="online").wait_for()
        await page.locator(".nodes li").wait_for()
        await device.data(temperature=21.5, __proto__=7)
        await first.locator(".latest", has_text="temperature 21.5").wait_for()
        await first.locator(".latest", has_text="__proto__ 7").wait_for()

        await page.get_by_role("button", name="Next").click()
        await page.get_by_text("pump 24").wait_for()
        await page.get_by_role("button", name="Next").click()
        await page.get_by_text("pump 59").wait_for()
        assert await rows.count() == 11
        assert await page.get_by_role("button", name="Next").is_disabled()

        await page.get_by_placeholder("Search by name").fill("pump 3")
        await page.get_by_text("pump 59").wait_for(state="detached")
        assert await rows.count() == 10
        await page.evaluate("sockets.at(-1).close()")
        await rig.create("pump 3 that came while nobody listened")
        await page.get_by_text("while nobody listened").wait_for()
        await page.get_by_placeholder("Search by name").fill("")
        await page.get_by_placeholder("Tag").fill("kitchen")
        await page.get_by_text("pump").first.wait_for(state="detached")
        await device.stream.aclose()
        await rows.locator(".presence", has_text="offline").wait_for()


async def test_only_who_looks_at_events_hears_what_all_devices_report(
    rig: Rig, console_page: ConsolePage
) -> None:
    lamp = await rig.create("lamp", temperature="number")

    async def answer_to(method: str) -> None:
        await page.evaluate("name => answerTo(name)", method)

    async with (
        rig.device(lamp) as device,
        console_page(management(rig.platform), "#/methods", before=REMEMBER) as (
            page,
            _,
            _,
        ),
    ):
        await answer_to("events.subscribe")
        await device.data(temperature=1)
        await rig.until_stat("values")
        await page.evaluate("location.hash = '#/events'")
        await answer_to("events.unsubscribe")
        await device.data(temperature=2)
        await page.locator(".events li", has_text="telemetry").wait_for()
        assert await page.locator(".events li").count() == 1


async def test_telemetry_has_ranges_aggregates_and_gaps(
    rig: Rig, console_page: ConsolePage
) -> None:
    lamp = await rig.create("lamp", temperature="number", door="boolean", mode="string")
    now = time.time() // 15 * 15 - 600
    async with rig.device(lamp) as device:
        for number in (0, 1, 2, 10, 11):
            await device.data(now + 15 * number, temperature=20 + number, door=number > 5)
            await device.data(now + 15 * number + 5, temperature=22 + number)
        await rig.until_stat("values", 15)
        async with console_page(management(rig.platform), f"#/devices/{lamp['device_id']}") as (
            page,
            _,
            _,
        ):
            plot = page.get_by_role("region", name="Telemetry")
            await plot.locator("canvas").wait_for()
            await plot.get_by_text("A point stands for 15 seconds").wait_for()
            await plot.get_by_text("As text").press("Enter")
            facts = plot.get_by_role("row", name="temperature").get_by_role("cell")
            await facts.get_by_text("32", exact=True).first.wait_for()
            assert await facts.all_text_contents() == ["32", "21", "32"]
            await plot.get_by_label("Aggregate").select_option("max")
            await facts.get_by_text("33", exact=True).first.wait_for()
            await plot.get_by_label("Aggregate").select_option("Each value")
            await facts.get_by_text("20", exact=True).wait_for()
            assert await plot.get_by_role("button", name="door").count() == 1
            assert await plot.get_by_role("button", name="mode").count() == 0

            await plot.get_by_label("Range").select_option("900")
            await plot.get_by_role("button", name="Earlier").click()
            await plot.get_by_role("button", name="Earlier").click()
            await plot.get_by_role("button", name="temperature \N{EN DASH}").wait_for()
            await plot.get_by_role("button", name="Later").click()
            await plot.get_by_role("button", name="Later").click()
            await device.data(temperature=-4.5)
            await plot.get_by_role("button", name="temperature -4.5").wait_for()


COLUMNS = Path(jsonrpc_iot.__file__).parent / "asgi/console/page/novacloud/columns.js"
GAPS = """() => {
  const point = (timestamp, value, value_key) => ({ timestamp, value, value_key });
  const run = [point(0, 1, "a"), point(10, 2, "a"), point(50, 3, "a")];
  return columnsOf([...run, point(10, true, "__proto__")], ["a", "__proto__"], 10)
    .map((each) => each.map(String));
}"""


async def test_a_line_is_broken_where_values_are_missing(browser: Any) -> None:
    page = await browser.new_page()
    code = COLUMNS.read_text(encoding="utf-8").replace("export ", "")
    assert await page.evaluate(f"{code}; ({GAPS})()") == [
        ["0", "10", "17.5", "50"],
        ["1", "2", "null", "3"],
        ["undefined", "1", "undefined", "undefined"],
    ]
    await page.close()


async def test_a_command_is_followed_from_the_form_to_its_end(
    rig: Rig, console_page: ConsolePage
) -> None:
    lamp = await rig.create("lamp")
    async with console_page(management(rig.platform), f"#/devices/{lamp['device_id']}") as (
        page,
        _,
        _,
    ):
        part = page.get_by_role("region", name="Commands")
        await part.get_by_label("Value").fill('{"level": 40}')
        await part.get_by_role("button", name="Send").click()
        newest = part.locator(".row").first
        life = newest.locator("[aria-current=step]")
        await life.get_by_text("queued").wait_for()
        await newest.get_by_role("button", name="Cancel").click()
        await life.get_by_text("cancelled").wait_for()

        await part.get_by_label("Expires").fill("1")
        await part.get_by_role("button", name="Send").click()
        await life.get_by_text("expired").wait_for()

        await part.get_by_label("Expires").fill("60")
        await part.get_by_label("Value").fill("<b>on</b>")
        async with rig.device(lamp) as device:
            await page.locator(".bar .presence", has_text="online").wait_for()
            await part.get_by_role("button", name="Send").click()
            command = await device.receive()
            assert command["payload"] == {"light": "<b>on</b>"}
            await life.get_by_text("sent").wait_for()
            await device.respond(command["command_id"], "pending")
            await life.get_by_text("pending").wait_for()
            await device.respond(command["command_id"], "success", {"told": "<b>yes</b>"})
            await life.get_by_text("done").wait_for()
            await newest.get_by_text('{"told":"<b>yes</b>"}').wait_for()
            await part.get_by_role("status").get_by_text("done").wait_for(state="attached")
        assert await newest.locator(".life li").all_text_contents() == [
            "queued",
            "sent",
            "pending",
            "done",
        ]
        await page.evaluate("location.hash = '#/commands'")
        await page.locator(".row").get_by_role("link", name="lamp").first.wait_for()
        assert await page.locator(".row").count() == 3


async def test_who_was_not_let_in_is_told(rig: Rig, console_page: ConsolePage) -> None:
    lamp = await rig.create("lamp", temperature="string")
    async with rig.link(lamp) as stranger:
        stranger.key = "<b>no</b>" * 4
        assert (await stranger.authenticate())["status"] == "error"
    async with (
        rig.device(lamp) as device,
        console_page(management(rig.platform), "#/refused") as (page, _, _),
    ):
        row = page.locator(".row")
        await row.get_by_role("link", name="lamp").wait_for()
        await row.get_by_text("unknown device or wrong key").wait_for()
        await row.locator(".presence", has_text="online").wait_for()
        await device.data(temperature=5, unknown=1)
        await rig.until_stat("ignored_devices")
        with anyio.fail_after(15):
            await page.reload()
            await page.get_by_text("1 without a sensor, 1 of a wrong type").wait_for()


async def test_a_platform_of_two_nodes_is_one(tmp_path: Path, console_page: ConsolePage) -> None:
    with empty_database() as url:
        # A node that ends while asyncpg asks for TLS leaves a failure that nobody asks for.
        async with pair(f"{url}?sslmode=disable", tmp_path) as (north, south, _):
            lamp = await north.create("lamp", temperature="number")
            async with (
                north.device(lamp) as device,
                console_page(management(south.platform), "#/devices") as (page, _, _),
            ):
                nodes = page.get_by_role("list", name="Nodes").get_by_role("listitem")
                await nodes.filter(has_text="north 1").wait_for()
                await nodes.filter(has_text="south 0").wait_for()
                row = page.locator(".row")
                await row.locator(".presence", has_text="online").wait_for()
                await device.data(temperature=21.5)
                await row.locator(".latest", has_text="temperature 21.5").wait_for()

                await row.get_by_role("link", name="lamp").click()
                await page.get_by_role("textbox", name="Value").fill("ON")
                await page.get_by_role("button", name="Send").click()
                await device.answer()
                await page.locator("[aria-current=step]", has_text="done").wait_for()
