"""What of a server is announced by mDNS, and under which name."""

from collections.abc import Iterable, Sequence

from ..channel.contract import Listener
from ..channel.url import Url
from ..errors import UsageError
from ..transports.mdns.announcing import announce
from ..transports.mdns.link import require
from ..transports.mdns.records import SERVICES, Offer, check_name, properties_of
from .exposed import asks
from .server import Server


class Announcer:
    """Announces a server while it runs.

    Args:
        name: that it wants; without one nothing is announced.

    Raises:
        MissingExtra: zeroconf is not installed.
        UsageError: no server can have such a name, or this is not asyncio.
    """

    def __init__(self, name: str | None) -> None:
        if name is not None:
            name = check_name(name)
            require(f"announce={name!r}")
        self._name = name
        self._offers: list[Offer] = []

    def add(
        self, where: Iterable[object], listeners: Sequence[Listener], *, strangers: bool
    ) -> None:
        """Choose what is announced: the first URL of each kind that other machines reach.

        If they reach none, those are announced that this machine reaches, to itself alone.

        Args:
            where: URLs, and channels.
            listeners: at the URLs, in their order.
            strangers: whether who has proved nothing may come in.

        Raises:
            UsageError: there is nothing to be announced, or its path is too long.
        """
        if self._name is None:
            return
        urls = [Url.parse(each) for each in where if isinstance(each, str)]
        found = [
            (place, _offer(place, auth=not strangers or asks(url)))
            for url, listener in zip(urls, listeners, strict=True)
            for place in map(Url.parse, listener.addresses)
            if place.scheme in SERVICES and place.port
        ]
        if not found:
            raise UsageError(
                f"nothing to announce as {self._name!r}: it takes a URL of {', '.join(SERVICES)}"
            )
        reached = [offer for place, offer in found if place.is_exposed]
        first: dict[str, Offer] = {}
        for offer in reached or [offer for _, offer in found]:
            first.setdefault(SERVICES[offer.scheme], offer)
        self._offers = list(first.values())
        for offer in self._offers:  # whether it fits
            properties_of(self._name, offer)

    async def run(self, server: Server) -> None:
        """Announce until cancelled.

        Args:
            server: is told the name that it has got.
        """

        def tell(name: str) -> None:
            server.announced = name

        if self._name is not None:
            await announce(self._name, self._offers, tell)


def _offer(place: Url, *, auth: bool) -> Offer:
    port = place.port or 0
    return Offer(scheme=place.scheme, host=place.host, port=port, path=place.path, auth=auth)
