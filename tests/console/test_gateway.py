"""The view of a gateway's devices."""

from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import TaskStatus

from jsonrpc_iot import Dispatcher, Gateway, serve
from tests.console.conftest import ConsolePage

pytestmark = [pytest.mark.anyio, pytest.mark.browser]


def lamp() -> Dispatcher:
    device = Dispatcher(title="Lamp of the kitchen")

    @device.method("lamp.set")
    def set_level(level: int) -> int:
        return level

    return device


async def serve_lamp(
    url: str, *, task_status: TaskStatus[tuple[str, anyio.CancelScope]] = anyio.TASK_STATUS_IGNORED
) -> None:
    """Be a lamp until the scope is cancelled."""
    with anyio.CancelScope() as scope:
        async with serve(lamp(), url) as server:
            task_status.started((server.urls[0], scope))
            await anyio.sleep_forever()


async def test_devices_go_and_come_back_and_lead_to_their_methods(
    console_page: ConsolePage,
) -> None:
    gateway = Gateway()
    async with anyio.create_task_group() as tasks, gateway:
        url, there = await tasks.start(serve_lamp, "tcp://127.0.0.1:0")
        gateway.add("kitchen", url)
        gateway.add("<b>door", "tcp://127.0.0.1:1")
        async with console_page(gateway, "#/gateway") as (page, _, _):
            row = page.locator(".row", has_text="kitchen")
            await row.locator(".presence", has_text="online").wait_for()
            await page.locator(".trouble", has_text="tcp://127.0.0.1:1").wait_for()
            await page.get_by_text("1 of 2 are online").wait_for()
            await page.get_by_role("link", name="<b>door", exact=True).wait_for()

            there.cancel()
            await row.locator(".presence", has_text="offline").wait_for()
            await page.get_by_role("status").get_by_text("kitchen: offline").wait_for()
            await tasks.start(serve_lamp, url)
            await row.locator(".presence", has_text="online").wait_for()
            gateway.remove("<b>door")
            await page.get_by_text("1 of 1 are online").wait_for()

            await row.get_by_role("link", name="kitchen", exact=True).click()
            await page.get_by_role("link", name="kitchen.lamp.set").wait_for()
            assert await page.get_by_role("link", name="gateway.devices").count() == 0
            await page.go_back()
            await page.get_by_role("link", name="Open alone: kitchen").click()
            await page.get_by_role("heading", name="Lamp of the kitchen").first.wait_for()
            assert page.url.endswith("/rpc/kitchen")
        tasks.cancel_scope.cancel()


async def test_methods_of_a_device_that_comes_while_the_page_is_open(
    console_page: ConsolePage, tmp_path: Path
) -> None:
    gateway, url = Gateway(), f"pipe://lamp?dir={tmp_path}"
    gateway.add("k", url)
    sent: list[Any] = []
    async with (
        anyio.create_task_group() as tasks,
        gateway,
        console_page(gateway, sent=sent) as (page, _, _),
    ):
        await page.get_by_role("link", name="gateway.devices").wait_for()
        assert await page.get_by_role("link", name="k.lamp.set").count() == 0
        await tasks.start(serve_lamp, url)
        await page.get_by_role("link", name="k.lamp.set").wait_for()
        gateway.remove("k")
        await page.get_by_role("link", name="k.lamp.set").wait_for(state="detached")
        for number in range(50):  # each of which the page is told of
            gateway.add(f"d{number}", lamp())
        await page.get_by_role("link", name="d49.lamp.set").wait_for()
        assert len([each for each in sent if each.get("method") == "rpc.discover"]) < 15
        tasks.cancel_scope.cancel()


async def test_a_devices_own_page_says_whether_it_is_there(
    console_page: ConsolePage, tmp_path: Path
) -> None:
    gateway, url = Gateway(), f"pipe://lamp?dir={tmp_path}"
    gateway.add("k", url)
    async with (
        anyio.create_task_group() as tasks,
        gateway,
        console_page(gateway, "/k") as (page, _, _),
    ):
        state, since = page.locator(".state"), page.get_by_text("The device is offline since")
        await since.wait_for()
        assert await state.text_content() == "Device offline"
        assert await page.title() == "k"
        _, there = await tasks.start(serve_lamp, url)
        await page.get_by_role("link", name="lamp.set").wait_for()
        await page.locator(".state[data-state=open]").wait_for()
        assert await since.count() == 0
        there.cancel()
        await since.wait_for()
        assert await state.text_content() == "Device offline"
        tasks.cancel_scope.cancel()
