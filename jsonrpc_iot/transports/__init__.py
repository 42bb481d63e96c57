"""The transports, in folders by what they share, and which of them a URL's scheme names.

Each is imported when a URL asks for it. What other packages offer is looked up only for a scheme
that is neither ours nor registered, since reading the metadata of all that is installed takes its
time.
"""

import logging
import re
import threading
from collections.abc import Iterator, Sequence
from functools import cache, partial
from importlib import import_module
from typing import TYPE_CHECKING, cast

from ..channel.contract import Channel, Listener, Transport
from ..channel.url import Url
from ..errors import InvalidUrl, UsageError
from ..protocol.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from .packets.gate import Keys

logger = logging.getLogger("jsonrpc_iot.transports")

GROUP = "jsonrpc_iot.transports"
"""The group of entry points by which other packages offer transports: scheme = module or object."""

_MODULES = {
    "http": "web.http",
    "https": "web.http",
    "gatt": "gatt",
    "gatt+bumble": "gatt",
    "mdns": "mdns",
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
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")  # RFC 3986, 3.1, in the lower case that parsing gives

_lock = threading.Lock()
_registered: dict[str, Transport] = {}


def register_transport(scheme: str, transport: Transport) -> None:
    """Have `serve`, `connect` and all the rest take URLs of one more scheme.

    It holds for the whole process, and goes before what an installed package offers for that
    scheme by an entry point of the group `jsonrpc_iot.transports`.

    Args:
        scheme: what stands before the `://`, in lower case.
        transport: a module or object with the coroutine functions `connect` and `listen`.

    Raises:
        UsageError: it is no scheme, one of this package's own, or registered already.
        TypeError: the transport lacks one of the two functions.
    """
    if not _SCHEME.fullmatch(scheme):
        raise UsageError(f"{scheme!r} is no URL scheme: it has to look like seqpacket or x-can2")
    if scheme in _MODULES:
        raise UsageError(f"the scheme {scheme!r} is built in, and cannot be replaced")
    _check(transport)
    with _lock:
        if scheme in _registered:
            raise UsageError(f"the scheme {scheme!r} is registered already")
        _registered[scheme] = transport


def schemes() -> list[str]:
    """The URL schemes that there are: ours, registered ones, and those of installed packages."""
    return sorted({*_MODULES, *_registered, *(entry.name for entry in _entry_points())})


def find_transport(
    url: Url,
    keys: "Keys | None" = None,
    instance: bytes | None = None,
    carrier: Transport | None = None,
) -> Transport:
    """The transport of a URL.

    Args:
        url: names it.
        keys: finds keys that open sealed packets, where the transport can be sealed.
        instance: tells this client from others with the same key; random by default.
        carrier: in place of what the scheme names; sealed and segmented as that.

    Raises:
        InvalidUrl: no transport has that scheme, or an installed package offers a broken one.
        MissingExtra: the transport's optional dependency is not installed.
    """
    scheme = url.scheme
    if scheme == "mdns":  # what it leads to may be sealed or segmented, and itself it is neither
        from .mdns import MdnsTransport

        return MdnsTransport(partial(find_transport, instance=instance))
    if carrier is not None:
        transport = carrier
    elif module := _MODULES.get(scheme):
        transport = cast(Transport, import_module(f".{module}", __name__))
    else:
        try:
            transport = _registered.get(scheme) or _installed(scheme)
        except InvalidUrl as error:
            raise url.error(str(error)) from error.__cause__
    if "psk" in url.options or keys is not None:
        from .sealed.keys import SCHEMES
        from .sealed.transport import SealedTransport

        if scheme in SCHEMES:
            transport = SealedTransport(transport, keys, instance)
    if "segment" not in url.options:
        return transport
    from .packets.segmented import SegmentedTransport

    return SegmentedTransport(transport)


async def open_channel(
    url: str, limits: Limits = DEFAULT_LIMITS, instance: bytes | None = None
) -> Channel:
    """Connect to a URL.

    Args:
        url: where to connect.
        limits: bounds on what the other end may cost.
        instance: tells this client from others with the same key, 8 random bytes; the same for all
            connections of a client, so that what it repeats is known.

    Raises:
        InvalidUrl: the URL makes no sense.
        ConnectFailed: nobody answers there.
    """
    parsed = Url.parse(url)
    return await find_transport(parsed, instance=instance).connect(parsed, limits)


async def open_listener(
    url: str,
    limits: Limits = DEFAULT_LIMITS,
    others: Sequence[Listener] = (),
    keys: "Keys | None" = None,
    carrier: Transport | None = None,
) -> Listener:
    """Bind a URL.

    Args:
        url: where to listen.
        limits: bounds on what peers may cost.
        others: listeners that may have bound the URL's address already.
        keys: finds the shared key of an id, for links that can be sealed; `None` for one that is
            not known, or no more.
        carrier: what carries it, in place of what its scheme names.

    Raises:
        InvalidUrl: the URL makes no sense.
        BindFailed: it cannot be bound.
    """
    parsed = Url.parse(url)
    for other in others:
        if (listener := other.beside(url)) is not None:
            return listener
    return await find_transport(parsed, keys, carrier=carrier).listen(parsed, limits)


@cache  # only what was found: an exception is not kept
def _installed(scheme: str) -> Transport:
    """Load what an installed package offers for a scheme.

    Raises:
        InvalidUrl: none offers any, several do, or what there is cannot be used.
    """
    entries = [entry for entry in _entry_points() if entry.name == scheme]
    if not entries:
        raise InvalidUrl(f"unknown scheme {scheme!r}; there are {', '.join(schemes())}")
    if len(entries) > 1:
        raise InvalidUrl(f"several packages offer {scheme!r}: {', '.join(map(_origin, entries))}")
    (entry,) = entries
    try:
        transport: Transport = entry.load()
        _check(transport)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise InvalidUrl(f"{_origin(entry)} offers {scheme!r}, but is broken: {reason}") from error
    return transport


def _entry_points() -> Iterator["EntryPoint"]:
    """The transports that installed packages offer; of two versions the one that is imported."""
    from importlib.metadata import distributions

    seen: set[str] = set()
    for distribution in distributions():
        try:
            offered = distribution.entry_points.select(group=GROUP)
            name = distribution.name if offered else ""
        except Exception as error:  # noqa: BLE001  # one broken package is not to hide the others
            logger.warning("the entry points of a package cannot be read: %r", error)
            continue
        if name not in seen:
            yield from offered
        seen.add(name)


def _origin(entry: "EntryPoint") -> str:
    """The package that an entry point comes from, and what it names there."""
    package = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "a package"
    return f"{package} ({entry.value})"


def _check(transport: Transport) -> None:
    for name in ("connect", "listen"):
        if not callable(getattr(transport, name, None)):
            raise TypeError(f"{transport!r} is no transport: it has no function {name!r}")
