"""A Bluetooth adapter without the system's Bluetooth: bumble, on one of its transports."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import anyio
from bumble.core import BaseBumbleError
from bumble.device import Connection, Device
from bumble.hci import Address
from bumble.transport import open_transport

from ....channel.url import Url
from ....errors import BindFailed, ConnectFailed

logger = logging.getLogger("jsonrpc_iot.transports")

_CLOSE_SECONDS = 2.0
_COMMAND_SECONDS = 5.0
_WAITING_PACKETS = 64

FAILURES = (BaseBumbleError, OSError, TimeoutError)
"""What bumble raises where it cannot do something."""


@asynccontextmanager
async def open_radio(
    url: Url, name: str, address: str, failure: type[BindFailed | ConnectFailed]
) -> AsyncIterator[Device]:
    """An adapter, powered on while the block runs.

    Args:
        url: names bumble's transport.
        name: what the device is called.
        address: its Bluetooth address; a random one where there is none.
        failure: what to raise where the adapter is not to be had.

    Raises:
        BindFailed: or `failure`: there is no such adapter, or another program has it.
        InvalidUrl: the URL names none.
    """
    own = parse_address(url, address) if address else Address.generate_static_address()
    name_of_transport = spec(url)
    try:
        transport = await open_transport(name_of_transport)
    except Exception as error:  # its USB library has errors of its own, and bumble bare ones
        raise failure(f"{url}: bumble cannot open {name_of_transport}: {text(error)}") from error
    try:
        device = Device.with_hci(name, own, transport.source, transport.sink)
        try:
            await device.power_on()
            yield device
        except FAILURES as error:
            if device.powered_on:
                raise
            raise failure(f"{url}: the adapter does not answer: {text(error)}") from error
        finally:
            with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
                await device.power_off()  # ends what bumble does on its own
    finally:
        transport.source.set_packet_sink(_Nowhere())
        with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
            await transport.close()
            if isinstance(transport.source, asyncio.BaseProtocol):  # others do not say when
                await transport.source.terminated


class _Nowhere:
    """Takes what an adapter says that we are done with."""

    def on_packet(self, packet: bytes) -> None:
        """Ignore it."""


def spec(url: Url) -> str:
    """What bumble calls the transport.

    Raises:
        InvalidUrl: the URL names none.
    """
    if not url.host:
        raise url.error(f"a bumble transport is missing, as in {url.scheme}://usb:0?name=lamp")
    return url.host + url.path


def parse_address(url: Url, text: str) -> Address:
    """A Bluetooth address, random where it says nothing else.

    Raises:
        InvalidUrl: it is none.
    """
    try:
        return Address(text)
    except (BaseBumbleError, ValueError):
        raise url.error(f"address={text!r} is none; they look like F0:F1:F2:F3:F4:F5") from None


async def finish(command: Awaitable[object]) -> None:
    """Wait for a command's end, cancelled or not: bumble trips over answers that nobody awaits."""
    with anyio.CancelScope(shield=True):
        with anyio.fail_after(_COMMAND_SECONDS):
            await command


async def drain(connection: Connection) -> None:
    """Wait while many packets wait to leave for the other end."""
    queue = connection.device.host.get_data_packet_queue(connection.handle)
    if queue is not None and is_busy(connection):
        try:
            await queue.drain(connection.handle)
        except ValueError:  # the link is gone, and shows it elsewhere
            return


def is_busy(connection: Connection) -> bool:
    """Whether many packets wait to leave for the other end."""
    queue = connection.device.host.get_data_packet_queue(connection.handle)
    return queue is not None and queue.pending > _WAITING_PACKETS


def text(error: BaseException) -> str:
    """An error for people to read."""
    return str(error) or type(error).__name__
