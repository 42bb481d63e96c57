"""Servers that announce themselves by mDNS."""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import anyio

from ...errors import ConnectFailed
from ...transports.mdns.browsing import Browser
from ...transports.mdns.link import open_link
from ...transports.mdns.records import Service
from .found import MOST, Found, Report, Way

logger = logging.getLogger("jsonrpc_iot.client")


@asynccontextmanager
async def open_mdns(interfaces: Sequence[str], *, is_alone: bool) -> AsyncIterator[Way]:
    """Hear of servers while the block runs.

    Args:
        interfaces: addresses of those to ask on, all by default.
        is_alone: whether there is no other way; else one without a network finds nothing.

    Raises:
        ConnectFailed: there is no network, or it takes no multicast, and this is the only way.
        MissingExtra: zeroconf is not installed.
        UsageError: this is not asyncio.
    """
    async with AsyncExitStack() as stack:
        try:
            link = await stack.enter_async_context(open_link("discover", interfaces))
        except ConnectFailed as error:
            if is_alone:
                raise
            logger.warning("%s", error)
            yield _Nowhere()
            return
        browser = Browser(link)
        stack.push_async_callback(browser.close)
        yield _MdnsWay(browser)


class _Nowhere:
    async def look(self, report: Report) -> None:
        await anyio.sleep_forever()


class _MdnsWay:
    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._known: dict[str, Found] = {}

    async def look(self, report: Report) -> None:
        await self._browser.look(partial(self._hear, report))

    def _hear(self, report: Report, key: str, service: Service) -> None:
        info = {"host": service.host, "urls": list(service.urls), "auth": service.auth}
        found = Found(url=service.urls[0], name=service.name, via="mdns", info=info)
        if self._known.get(key) != found:
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[key] = found
            report(found)
