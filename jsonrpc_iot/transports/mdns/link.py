"""The way to multicast DNS: zeroconf, opened and closed, and what this machine's addresses are."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address, ip_interface
from typing import TYPE_CHECKING

import anyio

from ...errors import ConnectFailed
from .. import requirements

if TYPE_CHECKING:
    from zeroconf.asyncio import AsyncZeroconf

LOOPBACK = "127.0.0.1"
_CLOSE_SECONDS = 2.0


def require(what: object) -> None:
    """Refuse where multicast DNS cannot be spoken.

    Args:
        what: a URL or a name, to be shown.

    Raises:
        MissingExtra: zeroconf is not installed.
        UsageError: this is not asyncio.
    """
    requirements.require_extra(what, "mDNS needs", "mdns", "zeroconf", "ifaddr")
    requirements.require_asyncio(what, "mDNS works", "; a URL with an address works on both")


@asynccontextmanager
async def open_link(what: object, interfaces: Sequence[str] = ()) -> "AsyncIterator[AsyncZeroconf]":
    """Speak multicast DNS while the block runs.

    Args:
        what: a URL or a name, to be shown.
        interfaces: the addresses of those to speak on, all by default.

    Raises:
        ConnectFailed: there is no network, or it takes no multicast.
        MissingExtra: zeroconf is not installed.
        UsageError: this is not asyncio.
    """
    require(what)
    from zeroconf import Error
    from zeroconf.asyncio import AsyncZeroconf

    here = [each.partition("/")[0] for each in own_networks()]
    wanted = list(interfaces) or [each for each in here if ":" not in each]
    link, problem = None, "no interface takes multicast"
    try:
        try:
            if missing := [each for each in wanted if each not in here]:
                raise OSError(f"no interface has the address {missing[0]}")
            link = AsyncZeroconf(interfaces=wanted)
            await link.zeroconf.async_wait_for_start()
        except (OSError, Error) as error:
            problem = str(error)
        # It is raised without its cause, whose frames keep sockets open that zeroconf left so.
        if link is None or not link.zeroconf.engine.senders:
            raise ConnectFailed(f"{what}: mDNS is not to be had: {problem}")
        yield link
    finally:
        if link is not None:
            await _close(link)


async def _close(link: "AsyncZeroconf") -> None:
    with anyio.CancelScope(shield=True), anyio.move_on_after(_CLOSE_SECONDS):
        await link.async_close()


def own_networks() -> list[str]:
    """The addresses of this machine with their networks, as in `192.0.2.7/24`, without zones."""
    import ifaddr

    return [
        f"{ip.ip if isinstance(ip.ip, str) else ip.ip[0]}/{ip.network_prefix}"
        for adapter in ifaddr.get_adapters()
        for ip in adapter.ips
    ]


def near_networks() -> list[str]:
    """The networks that this machine is in."""
    return [str(ip_interface(each).network) for each in own_networks()]


def own_addresses(version: int) -> list[str]:
    """The addresses at which others reach this machine; those of its loopback if there are none.

    Args:
        version: of IP, 4 or 6.
    """
    found = sorted({each.partition("/")[0] for each in own_networks()})
    same = [each for each in found if ip_address(each).version == version]
    return [each for each in same if not ip_address(each).is_loopback] or same
