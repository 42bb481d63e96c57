"""`jsonrpc-iot console` in a browser: its key, and a device that comes and goes."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from jsonrpc_iot import Dispatcher, Keyring, serve
from jsonrpc_iot.gateway.console import console_of
from tests.waiting import Tally

pytestmark = [pytest.mark.anyio, pytest.mark.browser]


@pytest.fixture
def lamp() -> Dispatcher:
    lamp = Dispatcher(title="Desk lamp")
    lamp.method("lamp.get")(lambda: 40)
    return lamp


@pytest.fixture
async def page(browser: Any) -> AsyncIterator[Any]:
    page = await browser.new_page(locale="en-GB")
    yield page
    await page.close()


async def test_a_key_opens_one_page(browser: Any, page: Any, lamp: Dispatcher) -> None:
    async with console_of(lamp) as address:
        await page.goto(address)
        await page.get_by_role("heading", name="Desk lamp", level=1).wait_for()
        assert page.url == address.partition("#")[0]  # nobody who looks on can read the key
        await page.reload()
        await page.get_by_role("heading", name="Desk lamp", level=1).wait_for()
        other = await browser.new_page(locale="en-GB")  # which shares nothing with the first
        await other.goto(address)
        await other.get_by_text("This address has been used").wait_for()
        assert await other.get_by_role("heading", name="Desk lamp", level=1).count() == 0
        await other.close()


async def test_a_device_that_is_away_is_said_to_be_and_comes_back(
    page: Any, lamp: Dispatcher, tmp_path: Path
) -> None:
    url = f"pipe://lamp?dir={tmp_path}"
    async with console_of(url) as address:
        await page.goto(address)
        offline = page.get_by_text("The device is offline")
        await offline.wait_for()
        for _ in range(2):
            async with serve(lamp, url):
                await offline.wait_for(state="detached")
                await page.get_by_role("link", name="lamp.get").wait_for()
                await page.get_by_text("Connected").wait_for()
            await offline.wait_for()


async def test_a_page_that_is_no_longer_known_says_what_to_do(page: Any, lamp: Dispatcher) -> None:
    async with console_of(lamp) as address:
        await page.goto(address)
        await page.get_by_role("heading", name="Desk lamp", level=1).wait_for()
        port = int(address.partition("#")[0].rstrip("/").rpartition(":")[2])
    with anyio.fail_after(10):
        async with console_of(lamp, port=port):  # the same place, and another key
            await page.get_by_text("Start the command again").wait_for()


async def test_a_key_that_was_cut_is_no_key_that_was_used(page: Any, lamp: Dispatcher) -> None:
    async with console_of(lamp) as address:
        await page.goto(address[:-1])
        await page.get_by_text("This address has no key of this console").wait_for()
        await page.get_by_text("Start the command again").wait_for()
        assert await page.get_by_text("This address has been used").count() == 0
        await page.goto(address)
        await page.get_by_role("heading", name="Desk lamp", level=1).wait_for()


@pytest.mark.parametrize("has_keyring", [False, True])
async def test_who_signs_out_is_asked_for_what_there_is(
    page: Any, lamp: Dispatcher, tmp_path: Path, has_keyring: bool
) -> None:
    (tmp_path / "keys.toml").touch(mode=0o600)
    keyring = Keyring(tmp_path / "keys.toml") if has_keyring else None
    async with console_of(lamp, keyring=keyring) as address:
        await page.goto(address)
        await page.get_by_role("heading", name="Desk lamp", level=1).wait_for()
        await page.get_by_role("button", name="Sign out").click()
        if has_keyring:
            await page.get_by_label("Token").wait_for()
        else:
            await page.get_by_text("Start the command again").wait_for()
            assert await page.get_by_label("Token").count() == 0
        assert await page.get_by_role("button", name="Sign out").count() == 0


async def test_a_device_that_wants_a_key(page: Any, lamp: Dispatcher, tmp_path: Path) -> None:
    (tmp_path / "keys.toml").touch(mode=0o600)
    keyring, told = Keyring(tmp_path / "keys.toml"), Tally()
    async with (
        serve(lamp, "tcp://127.0.0.1:0", keyring=keyring, strangers=False) as server,
        console_of(server.urls[0], on_refused=told.add) as address,
    ):
        await page.goto(address)
        await page.get_by_text("this device wants a key: ?psk=env:NAME").wait_for()
        await told.reach(1)
    assert told.items == ["this device wants a key: ?psk=env:NAME"]
