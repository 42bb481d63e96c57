"""The transports, in folders by what they share, imported when a URL asks for them."""

from collections.abc import Sequence
from importlib import import_module
from typing import cast

from ..channel.contract import Channel, Listener, Transport
from ..channel.url import Url
from ..errors import InvalidUrl
from ..protocol.limits import DEFAULT_LIMITS, Limits

_MODULES = {
    "http": "web.http",
    "https": "web.http",
    "gatt": "gatt",
    "gatt+bumble": "gatt",
    "memory": "packets.memory",
    "mqtt": "mqtt",
    "mqtts": "mqtt",
    "pipe": "sockets.pipe",
    "tcp": "sockets.tcp",
    "tls": "sockets.tcp",
    "tuya-dp": "serial.tuya_dp",
    "tuya-dp+pty": "serial.tuya_dp",
    "uart": "serial.uart",
    "uart+pty": "serial.uart",
    "udp": "packets.udp",
    "unix": "sockets.pipe",
    "ws": "web.websocket",
    "wss": "web.websocket",
}


def schemes() -> list[str]:
    """The URL schemes that there are."""
    return sorted(_MODULES)


def find_transport(url: Url) -> Transport:
    """The transport of a URL.

    Raises:
        InvalidUrl: no transport has that scheme.
        MissingExtra: the transport's optional dependency is not installed.
    """
    module = _MODULES.get(url.scheme)
    if module is None:
        raise InvalidUrl(f"{url}: unknown scheme {url.scheme!r}; there are {', '.join(schemes())}")
    transport = cast(Transport, import_module(f".{module}", __name__))
    if "segment" not in url.options:
        return transport
    from .packets.segmented import SegmentedTransport

    return SegmentedTransport(transport)


async def open_channel(url: str, limits: Limits = DEFAULT_LIMITS) -> Channel:
    """Connect to a URL.

    Raises:
        InvalidUrl: the URL makes no sense.
        ConnectFailed: nobody answers there.
    """
    parsed = Url.parse(url)
    return await find_transport(parsed).connect(parsed, limits)


async def open_listener(
    url: str, limits: Limits = DEFAULT_LIMITS, others: Sequence[Listener] = ()
) -> Listener:
    """Bind a URL.

    Args:
        url: where to listen.
        limits: bounds on what peers may cost.
        others: listeners that may have bound the URL's address already.

    Raises:
        InvalidUrl: the URL makes no sense.
        BindFailed: it cannot be bound.
    """
    parsed = Url.parse(url)
    for other in others:
        if (listener := other.beside(url)) is not None:
            return listener
    return await find_transport(parsed).listen(parsed, limits)
