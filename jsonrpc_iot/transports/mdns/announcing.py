"""Announcing a server by multicast DNS, for as long as it is there, with a name of its own."""

import logging
import random
import secrets
import socket
from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING

import anyio

from ...errors import ConnectFailed
from .link import LOOPBACK, open_link, own_addresses
from .records import SERVICES, Offer, label_of, numbered, properties_of

if TYPE_CHECKING:
    from zeroconf import ServiceInfo
    from zeroconf.asyncio import AsyncZeroconf

logger = logging.getLogger("jsonrpc_iot.server")

# How often this machine's addresses are looked at, and a network that was not there.
_LOOK_SECONDS = 15.0
_GOODBYE_SECONDS = 2.0
_SETTLE_SECONDS = 2.0
_FIRST_WAIT_SECONDS = 0.25
_PROBE_SECONDS = 1.2  # for two questions
_MOST_NAMES = 100

Tell = Callable[[str], object]


async def announce(name: str, offers: Sequence[Offer], tell: Tell) -> None:
    """Announce a server until cancelled, and say goodbye then.

    Without a network the server is announced when there is one, and again when the machine's
    addresses change.

    Args:
        name: that it wants; one that is taken gets a number.
        offers: what is announced, one for each protocol.
        tell: is called with the name that it has got.
    """
    from zeroconf import Error

    problem = ""
    while True:
        try:
            places = {offer: await _addresses(offer.host) for offer in offers}
            await _announce(name, places, tell)
            problem = ""
        except (ConnectFailed, OSError, Error) as error:  # the server goes on all the same
            if str(error) != problem:
                problem = str(error)
                logger.warning("not announced as %r: %s", name, problem)
            await anyio.sleep(_LOOK_SECONDS)


async def _announce(name: str, places: dict[Offer, list[str]], tell: Tell) -> None:
    """Announce until the addresses change."""
    reached = [address for addresses in places.values() for address in addresses]
    if not reached:
        raise ConnectFailed("this machine has no address for it")
    is_local = all(ip_address(address).is_loopback for address in reached)
    async with open_link(f"mdns://{name}", [LOOPBACK] if is_local else ()) as link:
        for number in range(1, _MOST_NAMES):
            wanted = numbered(name, number)
            # Its own name for the host: that of the machine may have more addresses.
            host = f"jsonrpc-iot-{secrets.token_hex(4)}.local."
            infos = [_info(wanted, offer, places[offer], host) for offer in places]
            if await _is_taken(link, infos):
                continue
            if await _hold(link, infos, places, partial(_tell, tell, name, wanted)):
                return
    raise ConnectFailed(f"{_MOST_NAMES} names like that are taken")


def _tell(tell: Tell, name: str, got: str) -> None:
    if got == name:
        logger.info("announced as %r", name)
    else:
        logger.warning("the name %r is taken: announced as %r", name, got)
    tell(got)


async def _is_taken(link: "AsyncZeroconf", infos: "Sequence[ServiceInfo]") -> bool:
    """Whether a server has the name already.

    It is asked for by multicast: an answer to one machine does not find its way where several
    programs of it listen, and zeroconf has those sent to its own questions.
    """
    from zeroconf import DNSQuestionType
    from zeroconf.asyncio import AsyncServiceInfo

    taken = False

    async def ask(info: "ServiceInfo") -> None:
        nonlocal taken
        other = AsyncServiceInfo(info.type, info.name)
        if await other.async_request(
            link.zeroconf, 1000 * _PROBE_SECONDS, question_type=DNSQuestionType.QM
        ):
            taken = True
            tasks.cancel_scope.cancel()

    await anyio.sleep(random.uniform(0, _FIRST_WAIT_SECONDS))  # RFC 6762, 8.1
    async with anyio.create_task_group() as tasks:
        for info in infos:
            tasks.start_soon(ask, info)
    return taken


async def _hold(
    link: "AsyncZeroconf",
    infos: "Sequence[ServiceInfo]",
    places: dict[Offer, list[str]],
    tell: Callable[[], object],
) -> bool:
    """Announce under a name, and say goodbye in the end.

    Returns:
        Whether the addresses have changed; else somebody who took the name at the same moment
        keeps it.
    """
    from .rivals import Rivals

    rivals = Rivals(infos)
    link.zeroconf.async_add_listener(rivals, None)
    registered: list[ServiceInfo] = []
    try:
        said = []
        for info in infos:
            said.append(await link.async_register_service(info, cooperating_responders=True))
            registered.append(info)
        for each in said:
            await each
        tell()
        while places == {offer: await _addresses(offer.host) for offer in places}:
            with anyio.move_on_after(_LOOK_SECONDS):
                await rivals.heard.wait()
            if rivals.is_lost:
                return False
            if rivals.heard.is_set():
                rivals.heard = anyio.Event()
                # The other's goodbye, which is to come, is taken for that of this one.
                await anyio.sleep(_SETTLE_SECONDS)
                for info in infos:
                    await (await link.async_update_service(info))
        return True
    finally:
        link.zeroconf.async_remove_listener(rivals)
        with anyio.CancelScope(shield=True), anyio.move_on_after(_GOODBYE_SECONDS):
            goodbyes = [await link.async_unregister_service(info) for info in registered]
            for goodbye in goodbyes:
                await goodbye


def _info(name: str, offer: Offer, addresses: list[str], host: str) -> "ServiceInfo":
    from zeroconf import ServiceInfo

    service = SERVICES[offer.scheme]
    return ServiceInfo(
        service,
        f"{label_of(name)}.{service}",
        port=offer.port,
        properties=properties_of(name, offer),
        server=host,
        parsed_addresses=addresses,
    )


async def _addresses(host: str) -> list[str]:
    """The addresses at which others reach what listens at a host."""
    host = host.partition("%")[0]
    try:
        address = ip_address(host)
    except ValueError:
        found = await anyio.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
        return sorted({str(each[4][0]).partition("%")[0] for each in found})
    return own_addresses(address.version) if address.is_unspecified else [host]
