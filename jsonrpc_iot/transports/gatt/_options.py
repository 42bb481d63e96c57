"""What all ends of a GATT link have in common: its UUIDs, its sizes and the options of its URLs.

Source: the RPC protocol document, "RPC over GATT".
"""

from typing import Annotated, Literal, TypeVar
from uuid import UUID

from msgspec import Meta, Struct, structs

from ...channel.info import ChannelInfo
from ...channel.options import PacketOptions
from ...channel.url import Url
from ...errors import UsageError

Opt = TypeVar("Opt", bound="GattOptions")

SERVICE = "55535343-fe7d-4ae5-8fa9-9fafd205e455"
TX = "49535343-8841-43f4-a8d4-ecbe34729bb3"
"""The characteristic that the central writes."""
RX = "49535343-1e4d-4bd9-ba61-23c647249616"
"""The characteristic that notifies the central."""

MAX_MESSAGE = 220
RETRY_SECONDS = 1.0
DEFAULT_NAME = "jsonrpc-iot"

LONGEST_NAME = 29

SMALLEST_MTU = 23
"""The ATT MTU until both ends agree on a larger one (Bluetooth Core, Vol 3, Part F, 3.2.8)."""
HEADER_BYTES = 3
"""Of a write and of a notification: the opcode and the handle."""
SMALLEST_VALUE = SMALLEST_MTU - HEADER_BYTES
LARGEST_VALUE = 512
"""Bytes of the largest attribute value (Bluetooth Core, Vol 3, Part F, 3.2.9)."""


class GattOptions(PacketOptions, frozen=True):
    """Options of any URL of GATT.

    Args:
        max: bytes of the largest message that is sent, where the link carries it.
        service: UUID of the service.
        tx: UUID of the characteristic that the central writes.
        rx: UUID of the characteristic that notifies the central.
        name: what the device advertises.
        address: its Bluetooth address.
    """

    max: Annotated[int, Meta(gt=0, le=LARGEST_VALUE)] = MAX_MESSAGE
    service: str = SERVICE
    tx: str = TX
    rx: str = RX
    name: str = ""
    address: str = ""

    both_ends = ("name", "address", "service", "tx", "rx", "codec")

    def largest(self, value: int) -> int:
        """Bytes of the largest message that fits a packet, and is wanted.

        Args:
            value: bytes of the largest value that a packet of the link carries.
        """
        return min(self.max, LARGEST_VALUE, value)


class ConnectOptions(GattOptions, frozen=True):
    """Options of a URL to connect to.

    Args:
        write: `request` to have each write acknowledged; `command` is faster, and may lose some.
        adapter: the Bluetooth adapter, as BlueZ calls it; an empty one is any that is on.
    """

    write: Literal["request", "command"] = "request"
    adapter: Annotated[str, Meta(pattern=r"^[0-9A-Za-z_]*$(?!\n)")] = ""


class BluezOptions(GattOptions, frozen=True):
    """Options of a `gatt://` URL to serve.

    Args:
        adapter: the Bluetooth adapter, as BlueZ calls it.
        centrals: how many may be connected at once; more than one takes BlueZ 5.76 or later, or
            each hears what is meant for another.
    """

    adapter: Annotated[str, Meta(pattern=r"^[0-9A-Za-z_]+$(?!\n)")] = "hci0"
    centrals: Annotated[int, Meta(gt=0)] = 1


class HeardDevice(Struct, frozen=True, kw_only=True):
    """A device that advertises the service.

    Args:
        url: where it can be called.
        address: its Bluetooth address; on macOS the UUID that the system gives it.
        name: what it calls itself.
        rssi: how strong it is here, in dBm.
    """

    url: str
    address: str
    name: str | None
    rssi: int


def read_options(url: Url, kind: type[Opt]) -> Opt:
    """The options of a URL, with UUIDs in their usual form.

    Raises:
        InvalidUrl: an option makes no sense.
    """
    options = url.read_options(kind)
    try:
        return normalized(options)
    except UsageError as error:
        raise url.error(str(error)) from None


def normalized(options: Opt) -> Opt:
    """Options with UUIDs in their usual form.

    Raises:
        UsageError: one of them is none.
    """
    normal = {}
    for name in ("service", "tx", "rx"):
        text = getattr(options, name)
        try:
            normal[name] = normal_uuid(text)
        except ValueError:
            raise UsageError(f"option {name}={text!r} is no UUID") from None
    return structs.replace(options, **normal)


def named(url: Url, options: Opt) -> Opt:
    """Options of a device that advertises, which has a name.

    Raises:
        InvalidUrl: the name does not fit an advertisement.
    """
    name = options.name or DEFAULT_NAME
    if len(name.encode()) > LONGEST_NAME:
        raise url.error(f"a name has at most {LONGEST_NAME} bytes")
    return structs.replace(options, name=name)


def normal_uuid(text: str) -> str:
    """A UUID in lower case with dashes; short ones of 4 or 8 digits in full.

    Raises:
        ValueError: it is none.
    """
    if len(text) in {4, 8}:
        return f"{int(text, 16):08x}-0000-1000-8000-00805f9b34fb"
    return str(UUID(text))


def describe(
    options: GattOptions, *, transport: str, local: str, peer: str, value: int, reliable: bool
) -> ChannelInfo:
    """The facts about a channel.

    Args:
        options: of the channel.
        transport: the URL's scheme.
        local: this end's URL.
        peer: the other end's URL.
        value: bytes of the largest value that a packet of the link carries.
        reliable: writes are acknowledged.
    """
    return ChannelInfo(
        transport=transport,
        local=local,
        peer=peer,
        max_message=options.largest(value),
        reliable=reliable,
        has_echoes=True,
        retry_seconds=RETRY_SECONDS,
        codec=options.codec,
    )
