"""`gatt://ADDRESS-OR-NAME` and `gatt+bumble://TRANSPORT`: one JSON message in one BLE packet.

The central writes the characteristic `tx`, and the device notifies on `rx`. A message larger than
the link carries is never cut: it is refused before it is sent.

Source: the RPC protocol document, "RPC over GATT".
"""

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import quote

from msgspec import structs

from ...channel.contract import Channel, Listener
from ...channel.url import Url
from ...protocol.limits import DEFAULT_LIMITS, Limits
from .. import requirements
from ._options import (
    RX,
    SERVICE,
    TX,
    ConnectOptions,
    GattOptions,
    HeardDevice,
    normalized,
    read_options,
)

if TYPE_CHECKING:
    from bleak.backends.client import BaseBleakClient
    from bleak.backends.device import BLEDevice
    from bleak.backends.scanner import BaseBleakScanner

__all__ = [
    "RX",
    "SERVICE",
    "TX",
    "ConnectOptions",
    "GattOptions",
    "HeardDevice",
    "open_gatt",
    "require_asyncio",
    "scan",
]


def read_url(url: Url) -> ConnectOptions:
    """What a URL to connect to says; raises `InvalidUrl`."""
    if url.scheme == "gatt+bumble":
        return read_options(url, ConnectOptions)
    url.forbid_path()
    url.forbid_port()
    options = read_options(url, ConnectOptions)
    if not (url.host or options.name or options.address):
        raise url.error("say which device: gatt://NAME or gatt://ADDRESS")
    return options


async def connect(url: Url, limits: Limits) -> Channel:
    """Find the device and connect to it."""
    require_asyncio(url)
    if url.scheme == "gatt+bumble":
        _require_bumble(url)
        from .bumble import listener as bumble

        return await bumble.connect(url, limits)
    options = read_url(url)
    # Segments are made by whoever has opened this transport.
    return await open_gatt(url.host, options=structs.replace(options, segment=False))


async def listen(url: Url, limits: Limits) -> Listener:
    """Advertise the service and serve it."""
    require_asyncio(url)
    if url.scheme == "gatt+bumble":
        _require_bumble(url)
        from .bumble import listener as bumble

        return await bumble.listen(url, limits)
    from .bluez import listen as bluez

    return await bluez.listen(url, limits)


async def open_gatt(
    device: "str | BLEDevice",
    *,
    backend: "type[BaseBleakClient] | None" = None,
    scanner: "type[BaseBleakScanner] | None" = None,
    options: ConnectOptions = ConnectOptions(),  # noqa: B008  # frozen
    limits: Limits = DEFAULT_LIMITS,
) -> Channel:
    """Connect to a device with any backend of bleak, and get a channel that `connect` takes.

    Args:
        device: its name or its address, to be scanned for; or a device that a scan has found.
        backend: the class that bleak connects with, such as the client of a Bluetooth proxy; the
            system's Bluetooth by default.
        scanner: the class that bleak scans with.
        options: those of a `gatt://` URL.
        limits: bounds on what the device may cost.

    Raises:
        ConnectFailed: it is not there, or it has no such service.
        MissingExtra: bleak is not installed.
        UsageError: this is not asyncio, or an option makes no sense.
    """
    url = f"gatt://{device if isinstance(device, str) else device.address}"
    require_asyncio(url)
    options = normalized(options)
    _require_bleak(url)
    from ._central import open_link
    from ._scan import Backend, Wanted, find

    using = Backend(scanner, backend, options.adapter)
    if isinstance(device, str):
        wanted = Wanted(options.address or device, options.name or device, options.service)
        device = await find(wanted, using, url)
    peer = f"gatt://{quote(device.address, safe=':')}"
    channel: Channel = await open_link(
        device, options, using, transport="gatt", local="gatt://", peer=peer
    )
    if options.segment:
        from ..packets.segmented import segmented

        return segmented(channel, limits)
    return channel


async def scan(where: str, report: Callable[[HeardDevice], object]) -> None:
    """Listen for devices that advertise the service, until cancelled.

    Args:
        where: `gatt://`, or `gatt+bumble://TRANSPORT`.
        report: is called with each advertisement.

    Raises:
        ConnectFailed: there is no Bluetooth to scan with.
        InvalidUrl: `where` is none of these.
        MissingExtra: bleak or bumble is not installed.
        UsageError: this is not asyncio.
    """
    url = Url.parse(where)
    require_asyncio(url)
    if url.scheme == "gatt+bumble":
        _require_bumble(url)
        from .bumble import listener as bumble

        await bumble.scan(url, report)
    elif url.scheme == "gatt":
        _require_bleak(url)
        from ._scan import Backend, listen_for

        await listen_for(read_options(url, GattOptions), Backend(), url, report)
    else:
        raise url.error("to scan takes gatt:// or gatt+bumble://TRANSPORT")


def require_asyncio(what: object) -> None:
    """Refuse an event loop on which the Bluetooth libraries do not run.

    Raises:
        UsageError: it is not asyncio's.
    """
    requirements.require_asyncio(what, "Bluetooth works")


def _require_bleak(url: object) -> None:
    requirements.require_extra(url, "Bluetooth needs", "gatt", "bleak")


def _require_bumble(url: object) -> None:
    requirements.require_extra(url, "bumble needs", "bumble", "bleak", "bumble")
