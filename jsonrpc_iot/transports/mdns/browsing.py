"""Finding servers by multicast DNS: one by its name, or all that there are."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio

from .link import near_networks
from .records import TCP, UDP, Service, label_of, read_service

if TYPE_CHECKING:
    from zeroconf import ServiceStateChange, Zeroconf
    from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

Report = Callable[[str, Service], object]
"""Is called with the full name of a service and what it is."""

_RESOLVE_SECONDS = 3.0
# UDP and TCP are asked for at once; who has both is meant by the one that loses nothing.
_OTHER_SECONDS = 0.2
_MOST = 1_000
"""Services that are looked at; more are noise that somebody makes on purpose."""
_AT_ONCE = 50
"""Services that are asked for at once; most have come with all that there is to know."""


async def resolve(link: "AsyncZeroconf", name: str, seconds: float) -> Service | None:
    """Find the server of a name.

    Args:
        link: to ask on.
        name: of the server.
        seconds: to wait for an answer.
    """
    found: dict[str, Service] = {}
    answered, best = anyio.Event(), anyio.Event()

    async def ask(service: str) -> None:
        if (one := await _read(link, service, f"{label_of(name)}.{service}", seconds)) is not None:
            found[service] = one
            answered.set()
            if service == TCP:
                best.set()

    async with anyio.create_task_group() as tasks:
        with anyio.move_on_after(seconds):
            tasks.start_soon(ask, TCP)
            tasks.start_soon(ask, UDP)
            await answered.wait()
            with anyio.move_on_after(_OTHER_SECONDS):
                await best.wait()
        tasks.cancel_scope.cancel()
    return found.get(TCP) or found.get(UDP)


class Browser:
    """Hears of all servers from now on.

    Args:
        link: to ask on.
    """

    def __init__(self, link: "AsyncZeroconf") -> None:
        from zeroconf.asyncio import AsyncServiceBrowser

        self._link = link
        self._changes = 0
        self._unread: dict[str, tuple[str, int]] = {}
        self._reading: set[int] = set()
        self._at_once = anyio.CapacityLimiter(_AT_ONCE)
        self._known: set[str] = set()
        self._news = anyio.Event()
        self._browser = AsyncServiceBrowser(link.zeroconf, [UDP, TCP], handlers=[self._hear])

    def _hear(
        self,
        zeroconf: "Zeroconf",
        service_type: str,
        name: str,
        state_change: "ServiceStateChange",
    ) -> None:
        if state_change.name == "Removed":
            self._known.discard(name)
            self._unread.pop(name, None)
        elif name in self._known or len(self._known) < _MOST:
            self._known.add(name)
            self._changes += 1
            self._unread[name] = service_type, self._changes
            self._news.set()

    async def look(self, report: Report) -> None:
        """Report each service that is new or has changed, until cancelled; it may go on later."""
        self._reading.clear()
        async with anyio.create_task_group() as tasks:
            while True:
                for name, (service, change) in self._unread.items():
                    if change not in self._reading:
                        self._reading.add(change)
                        tasks.start_soon(self._look_at, name, service, change, report)
                self._news = anyio.Event()
                await self._news.wait()

    async def _look_at(self, name: str, service: str, change: int, report: Report) -> None:
        async with self._at_once:
            found = await _read(self._link, service, name, _RESOLVE_SECONDS)
        self._reading.discard(change)
        if self._unread.get(name) == (service, change):  # else it has changed again
            del self._unread[name]
            if found is not None:
                report(name, found)

    async def close(self) -> None:
        """Hear no more."""
        await self._browser.async_cancel()


async def _read(link: "AsyncZeroconf", service: str, name: str, seconds: float) -> Service | None:
    from zeroconf import DNSQuestionType, Error
    from zeroconf.asyncio import AsyncServiceInfo

    try:
        info = AsyncServiceInfo(service, name)
        # By multicast: an answer to one machine finds one of the programs that listen there.
        if not await info.async_request(
            link.zeroconf, 1000 * seconds, question_type=DNSQuestionType.QM
        ):
            return None
    except Error:  # what somebody announces need not be a name
        return None
    return _service(info)


def _service(info: "AsyncServiceInfo") -> Service | None:
    return read_service(
        info.type,
        info.get_name(),
        info.properties,
        info.port,
        info.parsed_scoped_addresses(),
        host=(info.server or "").removesuffix("."),
        networks=near_networks(),
    )
