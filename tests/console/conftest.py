"""A browser, and pages in it that show a device."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, NamedTuple

import pytest

from jsonrpc_iot import Dispatcher, Server, serve
from tests._system import require_command

SECONDS = 15.0
FLAGS = (
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Shown(NamedTuple):
    """A page that shows a device.

    Args:
        page: Playwright's.
        server: the device's.
        url: where the page is.
    """

    page: Any
    server: Server
    url: str


ConsolePage = Callable[..., AbstractAsyncContextManager[Shown]]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop is enough: what is tested is the page."""
    return "asyncio"


@pytest.fixture(scope="module")
async def browser(anyio_backend: str) -> AsyncIterator[Any]:
    """Chromium, for the tests of a module."""
    # Not among what the other tests need.
    api = pytest.importorskip("playwright.async_api", reason="make test-browser installs it")
    async with api.async_playwright() as play:
        chromium = await play.chromium.launch(
            executable_path=require_command("chromium"), args=FLAGS
        )
        yield chromium
        await chromium.close()


def keep_frames(sent: list[Any], socket: Any) -> None:
    socket.on("framesent", lambda text: sent.append(json.loads(text)))


@pytest.fixture
async def console_page(browser: Any) -> ConsolePage:
    """Serves a dispatcher and opens its page.

    `async with console_page(dispatcher, "#/methods/lamp.set") as (page, server, url):`. The test
    fails when the page has said anything in the browser's console: an error, or what its
    Content-Security-Policy forbids. `expected` are beginnings of lines that it may say. What it
    sends by WebSocket is added to `sent`.
    """

    @asynccontextmanager
    async def shown(
        dispatcher: Dispatcher,
        fragment: str = "",
        *,
        urls: tuple[str, ...] = ("http://127.0.0.1:0/rpc", "ws://127.0.0.1:0/rpc"),
        before: str = "",
        expected: tuple[str, ...] = (),
        context: dict[str, Any] | None = None,
        sent: list[Any] | None = None,
        **options: Any,
    ) -> AsyncIterator[Shown]:
        said: list[str] = []
        settings = {"viewport": {"width": 1100, "height": 800}, "locale": "en-GB"} | (context or {})
        async with serve(dispatcher, *urls, console=True, **options) as server:
            opened = await browser.new_context(**settings)
            opened.set_default_timeout(SECONDS * 1000)
            page = await opened.new_page()
            page.on("console", lambda message: said.append(message.text))
            if sent is not None:
                page.on("websocket", partial(keep_frames, sent))
            page.on("pageerror", lambda error: said.append(str(error)))
            if before:
                await page.add_init_script(before)
            url = server.urls[0].partition("?")[0]
            await page.goto(url + fragment)
            try:
                yield Shown(page, server, url)
            finally:
                await opened.close()
        assert not [line for line in said if not line.startswith(expected)]

    return shown
