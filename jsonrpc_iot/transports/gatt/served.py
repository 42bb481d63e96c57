"""A service of a device for other protocols than ours; `attributes` is its other end."""

from urllib.parse import quote

from ...channel.url import Url
from ..requirements import require_bluez
from . import _require_bumble, require_asyncio
from ._options import LONGEST_NAME
from ._served import SHARED_RADIOS, AttributeServer, Flag, ServedOptions, ServedService

__all__ = [
    "AttributeServer",
    "Flag",
    "ServedOptions",
    "ServedService",
    "attribute_server",
    "is_one_radio",
    "read_options",
]


def read_options(url: Url) -> ServedOptions:
    """The options of a URL to serve such a service.

    Raises:
        InvalidUrl: it makes no sense.
    """
    if url.scheme == "gatt+bumble":
        if not url.host:
            raise url.error("a bumble transport is missing, as in gatt+bumble://usb:0?name=lamp")
        options = url.read_options(ServedOptions, without=("adapter",))
    else:
        url.forbid_path()
        url.forbid_port()
        if url.host:
            raise url.error(f"to serve, say how to be called: gatt://?name={quote(url.host)}")
        options = url.read_options(ServedOptions, without=("address",))
    if len(options.name.encode()) > LONGEST_NAME:
        raise url.error(f"a name has at most {LONGEST_NAME} bytes")
    return options


def attribute_server(url: Url) -> AttributeServer:
    """What serves at `gatt://?name=NAME`, or `gatt+bumble://TRANSPORT?name=NAME`.

    Raises:
        InvalidUrl: the URL makes no sense.
        MissingExtra: the extra `gatt` or `bumble` is not installed.
        UsageError: this is not asyncio, or for BlueZ not Linux.
    """
    options = read_options(url)
    require_asyncio(url)
    if url.scheme == "gatt+bumble":
        _require_bumble(url)
        from .bumble.served import BumbleAttributes

        return BumbleAttributes(url, options)
    require_bluez(url)
    from .bluez.served import BluezAttributes

    return BluezAttributes(url, options)


def is_one_radio(one: Url, other: Url) -> bool:
    """Whether two URLs name one adapter that bumble can open only once."""
    is_bumble = one.scheme == other.scheme == "gatt+bumble"
    name = one.host + one.path
    return is_bumble and name == other.host + other.path and not name.startswith(SHARED_RADIOS)
