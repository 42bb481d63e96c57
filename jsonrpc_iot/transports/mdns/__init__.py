"""`mdns://NAME`: the server that announces itself by that name, at whatever URL that is.

The name is looked up each time that a channel is opened, so a device that has moved is found again.
Anybody on the network can announce any name: what has to be sure is sealed, `?psk=`, or uses TLS.
"""

from collections.abc import Callable
from urllib.parse import urlencode

from ...channel.clock import in_time
from ...channel.contract import Channel, Listener, Transport
from ...channel.url import Url
from ...errors import ConnectFailed, UsageError
from ...protocol.limits import Limits
from .browsing import resolve
from .link import open_link
from .records import check_name

__all__ = ["MdnsTransport"]

_SECONDS = 5.0
_PLAIN = ("http", "ws")


class MdnsTransport:
    """Finds a server, and leaves the rest to the transport of its URL.

    Args:
        find: the transport of a URL.
    """

    def __init__(self, find: Callable[[Url], Transport]) -> None:
        self._find = find

    async def connect(self, url: Url, limits: Limits) -> Channel:
        """Look the name up and connect to it.

        The options are those of the URL that is found, and `interface`: the address of the one to
        look on, all by default.

        Raises:
            ConnectFailed: nobody has that name, or does not answer; or there is no network.
            InvalidUrl: the URL makes no sense, or its token would go to whoever has that name.
            MissingExtra: zeroconf is not installed.
            UsageError: this is not asyncio.
        """
        name = _name_of(url)
        options = dict(url.options)
        interface = options.pop("interface", None)
        async with open_link(url, () if interface is None else [interface]) as link:
            service = await resolve(link, name, in_time(_SECONDS))
        if service is None:
            raise ConnectFailed(f"{url}: nobody announces that name")
        problem = ConnectFailed(f"{url}: it has no address")
        for place in service.urls:
            found = Url.parse(f"{place}?{urlencode(options)}" if options else place)
            if "token" in options and found.scheme in _PLAIN:
                raise url.error(
                    f"the token would go unencrypted to whoever has that name, now {place}: "
                    "give that URL if it is the right one"
                )
            try:
                return await self._find(found).connect(found, limits)
            except ConnectFailed as error:
                problem = error
        raise problem

    def read_url(self, url: Url) -> None:
        """Check a URL to connect to: its name; the options are those of what is found."""
        _name_of(url)

    async def listen(self, url: Url, limits: Limits) -> Listener:
        """Refuse to listen: such a name is given to a server that listens elsewhere.

        Raises:
            InvalidUrl: always.
        """
        raise url.error("it is for connecting; serve(…, announce=NAME) gives a server a name")


def _name_of(url: Url) -> str:
    url.forbid_path()
    url.forbid_port()
    if url.user:
        raise url.error("mdns takes no user")
    try:
        return check_name(url.host)
    except UsageError as error:
        raise url.error(str(error)) from None
