"""The way to multicast DNS: zeroconf, opened and closed, and what this machine's addresses are."""

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import ip_address, ip_interface
from typing import TYPE_CHECKING

import anyio

from ...errors import ConnectFailed
from .. import requirements

if TYPE_CHECKING:
    from zeroconf.asyncio import AsyncZeroconf

LOOPBACK = "127.0.0.1"
_GROUP = "224.0.0.251"
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
        interfaces: the IPv4 addresses of those to speak on, all by default.

    Raises:
        ConnectFailed: there is no network, or it takes no multicast.
        MissingExtra: zeroconf is not installed.
        UsageError: this is not asyncio.
    """
    require(what)
    from zeroconf import Error
    from zeroconf.asyncio import AsyncZeroconf

    wanted = interfaces or [each.partition("/")[0] for each in own_networks() if ":" not in each]
    # Zeroconf leaves sockets open where it meets one that takes none.
    usable = list(filter(_takes_multicast, wanted))
    if not usable:
        raise ConnectFailed(f"{what}: mDNS is not to be had: no interface for it")
    async with AsyncExitStack() as stack:
        try:
            link = AsyncZeroconf(interfaces=usable)
            stack.push_async_callback(_close, link)
            await link.zeroconf.async_wait_for_start()
        except (OSError, Error) as error:
            raise ConnectFailed(f"{what}: mDNS is not to be had: {error}") from error
        yield link


def _takes_multicast(interface: str) -> bool:
    try:
        membership = socket.inet_aton(_GROUP) + socket.inet_aton(interface)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    except OSError:  # there is no such interface, or it is down, or it cannot
        return False
    return True


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
