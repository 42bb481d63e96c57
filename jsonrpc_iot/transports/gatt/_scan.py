"""Finding devices, on bleak.

Which Bluetooth bleak uses is left to its backend: the system's own by default, or any other.
"""

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from math import inf
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote

import anyio
from bleak import BleakScanner
from bleak.args.bluez import BlueZScannerArgs
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.exc import (
    BleakBluetoothNotAvailableError,
    BleakDBusError,
    BleakError,
    BleakGATTProtocolError,
)

from ...channel.url import Url
from ...errors import ConnectFailed, ConnectTimeout
from ._options import GattOptions, HeardDevice, normal_uuid

T = TypeVar("T")

logger = logging.getLogger("jsonrpc_iot.transports")

CLOSE_SECONDS = 5.0

_MARGIN_SECONDS = 0.1
# BlueZ lets a program scan once at a time. So several searches of one program take turns.
_TURN_SECONDS = 2.0
_BETWEEN_SECONDS = 0.3
_ASK_AGAIN_SECONDS = 0.1
_SCANS_ALREADY = "org.bluez.Error.InProgress"

# What bleak's backends raise: their own errors, those of the system's sockets and D-Bus, and
# EOFError when D-Bus goes away.
FAILURES = (BleakError, OSError, EOFError)


# Services that every device has and none advertises. Where they are among those advertised, BlueZ
# tells what it remembers of the device, from before its program was killed or started again.
_REMEMBERED = {normal_uuid("1800"), normal_uuid("1801")}


class Backend(NamedTuple):
    """Which Bluetooth bleak uses; `None` is the system's own.

    Args:
        scanner: finds devices.
        client: connects to them.
        adapter: the one to use, as BlueZ calls it; an empty one is any that is on.
    """

    scanner: type[BaseBleakScanner] | None = None
    client: type[BaseBleakClient] | None = None
    adapter: str = ""

    @property
    def turn_seconds(self) -> float:
        """How long to scan until others may."""
        return _TURN_SECONDS if self.scanner is None and sys.platform == "linux" else inf


class Wanted(NamedTuple):
    """Which device is meant; the address or the name is enough.

    Args:
        address: its Bluetooth address; on macOS the UUID that the system gives it.
        name: what it advertises.
        service: UUID of its service; of devices with the same name, those that advertise others
            are not meant.
    """

    address: str
    name: str
    service: str

    def is_meant(self, device: BLEDevice, advertisement: AdvertisementData) -> bool:
        """Whether it is that device."""
        if self.address and device.address.lower() == self.address.lower():
            return True
        if not self.name or self.name not in {device.name, advertisement.local_name}:
            return False
        told = set(advertisement.service_uuids)
        return not told or self.service in told or not told.isdisjoint(_REMEMBERED)


async def find(wanted: Wanted, backend: Backend, what: object) -> BLEDevice:
    """Scan until a device is there.

    Args:
        wanted: which one.
        backend: which Bluetooth.
        what: the name of it all in errors.

    Raises:
        ConnectTimeout: it was not heard before the caller's time was over.
        ConnectFailed: there is no Bluetooth to scan with.
    """
    found: asyncio.Future[BLEDevice] = asyncio.get_running_loop().create_future()
    heard: set[str] = set()

    def look(device: BLEDevice, advertisement: AdvertisementData) -> None:
        heard.add(advertisement.local_name or device.name or device.address)
        if not found.done() and wanted.is_meant(device, advertisement):
            found.set_result(device)

    # A little before the caller gives up, who would not say what was heard.
    deadline = anyio.current_effective_deadline() - _MARGIN_SECONDS
    with anyio.CancelScope(deadline=deadline):
        while True:
            async with AsyncExitStack() as stack:
                await start_scan(stack, look, backend, what)
                with anyio.move_on_after(backend.turn_seconds):
                    await asyncio.wait([found])  # by itself it would be cancelled with the turn
                    return found.result()
            await anyio.sleep(_BETWEEN_SECONDS)
    heard_of = f"heard only {', '.join(sorted(heard)[:20])}" if heard else "heard no device at all"
    raise ConnectTimeout(f"{what}: no such device within reach; {heard_of}")


async def listen_for(
    options: GattOptions, backend: Backend, url: Url, report: Callable[[HeardDevice], object]
) -> None:
    """Report each advertisement of a device with the service, until cancelled.

    Raises:
        ConnectFailed: there is no Bluetooth to scan with.
    """

    def look(device: BLEDevice, advertisement: AdvertisementData) -> None:
        if options.service not in advertisement.service_uuids:
            return
        name, address = advertisement.local_name or device.name, device.address
        if url.scheme == "gatt":
            place = f"gatt://{quote(address, safe=':')}"
        else:
            place = f"{url.text.partition('?')[0]}?address={address}"
        rssi = advertisement.rssi
        report(HeardDevice(url=place, address=address, name=name, rssi=rssi))

    while True:
        async with AsyncExitStack() as stack:
            await start_scan(stack, look, backend, url)
            await anyio.sleep(backend.turn_seconds)
        await anyio.sleep(_BETWEEN_SECONDS)


async def start_scan(
    stack: AsyncExitStack,
    look: Callable[[BLEDevice, AdvertisementData], None],
    backend: Backend,
    what: object,
) -> None:
    """Scan until the stack closes.

    Raises:
        ConnectFailed: there is no Bluetooth to scan with.
    """
    try:
        bluez: BlueZScannerArgs = {"adapter": backend.adapter} if backend.adapter else {}
        scanner = BleakScanner(look, bluez=bluez, backend=backend.scanner)
        while True:
            try:
                await one_cancellation(scanner.start())
                break
            except BleakDBusError as error:
                if error.dbus_error != _SCANS_ALREADY:
                    raise
            await anyio.sleep(_ASK_AGAIN_SECONDS)
    except (*FAILURES, ValueError) as error:  # the last of an address of D-Bus that is none
        why = _advice(error) if backend.scanner is None else text(error)
        raise ConnectFailed(f"{what}: no Bluetooth to scan with: {why}") from error

    async def stop() -> None:
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            try:
                await scanner.stop()
            except FAILURES as error:
                logger.debug("%s: the scan was not stopped: %s", what, text(error))

    stack.push_async_callback(stop)


async def one_cancellation(work: Coroutine[Any, Any, T]) -> T:
    """Run what cleans up after itself when it is cancelled, and let it.

    An anyio scope cancels again and again, so that a library's cleaning up would not get far.
    """
    task = asyncio.get_running_loop().create_task(work)
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        task.cancel()
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            await asyncio.wait([task])
        raise
    return task.result()


def _advice(error: Exception) -> str:
    """Why the system has no Bluetooth, and on Linux what to do."""
    if sys.platform != "linux":
        return text(error)
    from ..dbus import BusError, without_bus  # what bleak uses is there
    from .bluez.bus import advice

    if isinstance(error, BleakDBusError):
        return advice(BusError(error.dbus_error, error.dbus_error_details or ""))
    return text(error) if isinstance(error, BleakError) else without_bus(error)


def text(error: BaseException) -> str:
    """An error for people to read."""
    if isinstance(error, BleakBluetoothNotAvailableError):  # its text would show the reason's code
        return str(error.args[0])
    if isinstance(error, BleakGATTProtocolError):  # and so would this one's
        return str(error.args[-1])
    return str(error) or type(error).__name__
