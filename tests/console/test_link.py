"""The link: it falls back, it comes back and says so, and a call is never made twice."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import pytest

from jsonrpc_iot import Context, Dispatcher, Keyring, serve
from jsonrpc_iot.trust.keyring import bearer_token
from tests.console.conftest import URLS, ConsolePage, Opened

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

LOST = ("WebSocket connection to", "Failed to load resource")
"""What Chromium says of a server that is away, or refuses."""


class Lamp:
    def __init__(self) -> None:
        self.dispatcher = Dispatcher(title="Lamp")
        self.calls = 0
        self.called = anyio.Event()
        self.dispatcher.method("lamp.wait")(self.wait)
        self.dispatcher.method("lamp.who", requires="light")(self.who)
        self.dispatcher.method("lamp.get")(self.get)

    async def wait(self) -> None:
        self.calls += 1
        self.called.set()
        await anyio.sleep_forever()

    def who(self, context: Context) -> str | None:
        return getattr(context.principal, "name", None)

    def get(self) -> int:
        return 7


async def test_it_comes_back_and_repeats_no_call(opened: Opened) -> None:
    lamp, other = Lamp(), Dispatcher(title="Other lamp")
    async with AsyncExitStack() as stack:
        async with serve(lamp.dispatcher, *URLS, console=True) as server:
            urls = server.urls
            url = f"{urls[0]}#/methods/lamp.wait"
            page = await stack.enter_async_context(opened(url, expected=LOST))
            await page.get_by_role("button", name="Call", exact=True).click()
            with anyio.fail_after(10):
                await lamp.called.wait()
        await page.get_by_role("heading", name="not known whether the call ran").wait_for()
        await page.get_by_text("It is tried again in").first.wait_for()
        assert await page.locator(".state").get_attribute("data-state") in ("away", "connecting")
        await page.get_by_role("button", name="Call", exact=True).click()
        await page.get_by_role("heading", name="Not sent").wait_for()
        async with serve(lamp.dispatcher, *urls, console=True):
            await page.locator(".state[data-state=open]").wait_for()
            assert await page.locator(".banner").count() == 0
            assert lamp.calls == 1
        async with serve(other, *urls, console=True):
            # Another device is there now: its description is read, and what it lacks is said.
            await page.get_by_role("heading", name="Other lamp").wait_for()
            await page.get_by_text("no method lamp.wait").wait_for()


async def test_without_websocket_calls_are_posts_and_notifications_are_events(
    console_page: ConsolePage,
) -> None:
    lamp = Lamp()
    async with console_page(lamp.dispatcher, "#/wire", urls=URLS[:1], expected=LOST) as (
        page,
        _,
        _,
    ):
        await page.get_by_text("Connected · POST").wait_for()
        await page.get_by_role("button", name="Record").click()
        await page.get_by_role("link", name="Methods").click()
        await page.get_by_role("link", name="lamp.get").click()
        await page.get_by_role("button", name="Call", exact=True).click()
        await page.locator(".outcome .json", has_text="7").wait_for()
        lamp.dispatcher.emit("lamp.changed", {"level": 3})
        await page.get_by_role("link", name="Messages").click()
        await page.locator(".wire li", has_text="lamp.changed").wait_for()
        assert await page.locator(".wire li", has_text='"method":"lamp.get"').count() == 1


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    path = tmp_path / "keys.toml"
    path.touch(mode=0o600)
    return Keyring(path)


@pytest.mark.parametrize("urls", [URLS, URLS[:1]], ids=["websocket", "post"])
async def test_signing_in(
    console_page: ConsolePage, keyring: Keyring, urls: tuple[str, ...]
) -> None:
    token = bearer_token(keyring.add("anna", permissions=["light"]))
    fragment = "#/methods/lamp.who"
    async with console_page(
        Lamp().dispatcher, fragment, urls=urls, keyring=keyring, strangers=False, expected=LOST
    ) as (page, _, _):
        field = page.get_by_label("Token")
        await field.fill("nobody's")
        await page.keyboard.press("Enter")
        await page.get_by_text("lets nobody in with this token").wait_for()
        await field.fill(token)
        await page.keyboard.press("Enter")
        await page.get_by_role("button", name="Call", exact=True).click()
        await page.locator(".outcome .json", has_text="anna").wait_for()
        await page.reload()
        await page.get_by_role("button", name="Call", exact=True).click()
        await page.locator(".outcome .json", has_text="anna").wait_for()
        keyring.revoke("anna")
        await page.get_by_text("lets nobody in with this token").wait_for()
        assert token not in await page.content()


async def test_a_stranger_signs_in_for_more(console_page: ConsolePage, keyring: Keyring) -> None:
    token = bearer_token(keyring.add("anna", permissions=["light"]))
    async with console_page(Lamp().dispatcher, keyring=keyring, expected=LOST) as (page, _, url):
        await page.get_by_role("link", name="lamp.get").wait_for()
        assert await page.get_by_role("link", name="lamp.who").count() == 0
        await page.goto(f"{url}#token={token}")
        await page.get_by_role("link", name="lamp.who").wait_for()
        assert page.url.partition("#")[2] == ""
        await page.get_by_role("button", name="Sign out").click()
        await page.get_by_role("link", name="lamp.who").wait_for(state="detached")


async def test_nobody_signs_in_where_nobody_is_known(console_page: ConsolePage) -> None:
    async with console_page(Lamp().dispatcher, "#token=abc") as (page, _, _):
        await page.get_by_role("link", name="lamp.get").wait_for()
        assert await page.get_by_role("button", name="Sign").count() == 0


async def test_a_page_that_has_no_token_asks_nothing(
    console_page: ConsolePage, keyring: Keyring, caplog: pytest.LogCaptureFixture
) -> None:
    sent: list[Any] = []
    async with console_page(Lamp().dispatcher, keyring=keyring, strangers=False, sent=sent) as (
        page,
        _,
        _,
    ):
        await page.get_by_label("Token").wait_for()
        assert await page.get_by_role("button", name="Sign").count() == 1  # the form's own
    assert not sent
    assert "was refused to a stranger" not in caplog.text
