"""`gatt://?name=NAME`: a GATT peripheral on the system's Bluetooth, which on Linux is BlueZ.

BlueZ is spoken to over D-Bus, through dbus-fast, of the extra `gatt`; it needs asyncio. Other
systems give programs no way to be a peripheral that Python knows.

Source: the RPC protocol document, "RPC over GATT".
"""

from urllib.parse import quote

from msgspec import structs

from ....channel.contract import Listener
from ....channel.url import Url
from ....protocol.limits import Limits
from ...requirements import require_asyncio, require_bluez
from .._options import BluezOptions, named, read_options


async def listen(url: Url, limits: Limits) -> Listener:
    """Register the service with BlueZ and advertise it.

    Raises:
        BindFailed: BlueZ or its adapter is not to be had; the text says what to do.
        InvalidUrl: the URL makes no sense.
        MissingExtra: the extra `gatt` is not installed.
        UsageError: this is not Linux, or not asyncio.
    """
    options = _read(url)
    require_asyncio(url, "Bluetooth works")
    require_bluez(url)
    from .listener import BluezListener

    unnamed = structs.replace(options, name="")  # the name is in the URL's place for hosts
    address = unnamed.reached_at(f"gatt://{quote(options.name, safe='')}")
    listener = BluezListener(url, options, address, min(options.centrals, limits.peers))
    await listener.start()
    return listener


def _read(url: Url) -> BluezOptions:
    url.forbid_path()
    url.forbid_port()
    if url.host:
        raise url.error(f"to serve, say how to be called: gatt://?name={quote(url.host)}")
    options = read_options(url, BluezOptions)
    if options.address:
        raise url.error("the address is the adapter's own; adapter=hci1 takes another one")
    return named(url, options)
