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
URLS = ("http://127.0.0.1:0/rpc", "ws://127.0.0.1:0/rpc")
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
Opened = Callable[..., AbstractAsyncContextManager[Any]]


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
async def opened(browser: Any) -> Opened:
    """Opens pages.

    Each is open as long as `async with opened(url) as page:` lasts.

    The test fails when the page has said anything in the browser's console: an error, or what its
    Content-Security-Policy forbids. `expected` are beginnings of lines that it may say. What it
    sends by WebSocket is added to `sent`; `before` is a script that runs before its own, and
    `context` has options of Playwright's `new_context`.
    """

    @asynccontextmanager
    async def shown(
        url: str,
        *,
        before: str = "",
        expected: tuple[str, ...] = (),
        context: dict[str, Any] | None = None,
        sent: list[Any] | None = None,
    ) -> AsyncIterator[Any]:
        said: list[str] = []
        settings = {"viewport": {"width": 1100, "height": 800}, "locale": "en-GB"}
        window = await browser.new_context(**settings | (context or {}))
        window.set_default_timeout(SECONDS * 1000)
        page = await window.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        if sent is not None:
            page.on("websocket", partial(keep_frames, sent))
        if before:
            await page.add_init_script(before)
        await page.goto(url)
        try:
            yield page
        finally:
            await window.close()
        assert not [line for line in said if not line.startswith(expected)]

    return shown


@pytest.fixture
async def console_page(opened: Opened) -> ConsolePage:
    """Serves a dispatcher and opens its page.

    `async with console_page(dispatcher, "#/methods/lamp.set") as (page, server, url):`. Options are
    those of `opened`; others are `serve`'s.
    """

    @asynccontextmanager
    async def shown(
        dispatcher: Dispatcher,
        fragment: str = "",
        *,
        urls: tuple[str, ...] = URLS,
        before: str = "",
        expected: tuple[str, ...] = (),
        context: dict[str, Any] | None = None,
        sent: list[Any] | None = None,
        **options: Any,
    ) -> AsyncIterator[Shown]:
        async with serve(dispatcher, *urls, console=True, **options) as server:
            url = server.urls[0].partition("?")[0]
            page_options = {"before": before, "expected": expected, "context": context}
            async with opened(url + fragment, sent=sent, **page_options) as page:
                yield Shown(page, server, url)

    return shown
