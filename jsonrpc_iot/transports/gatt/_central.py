"""The central's end of a GATT link, on bleak: find a device, connect, choose its characteristics.

Which Bluetooth bleak uses is left to its backend: the system's own by default, or any other.
"""

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote

import anyio
import anyio.lowlevel
from bleak import BleakClient, BleakScanner
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.exc import (
    BleakBluetoothNotAvailableError,
    BleakDBusError,
    BleakError,
    BleakGATTProtocolError,
    BleakGATTProtocolErrorCode,
)

from ...channel.info import ChannelInfo
from ...channel.url import Url
from ...errors import ConnectFailed, ConnectTimeout
from ._channel import CallbackChannel
from ._options import (
    HEADER_BYTES,
    LARGEST_VALUE,
    SMALLEST_MTU,
    ConnectOptions,
    GattOptions,
    HeardDevice,
)

T = TypeVar("T")

logger = logging.getLogger("jsonrpc_iot.transports")

_WRITES = {"request": "write", "command": "write-without-response"}
_HEARS = {"notify", "indicate"}
_CLOSE_SECONDS = 5.0
_MARGIN_SECONDS = 0.1
# What a device says whose queue is full at the moment; BlueZ has no way to say the first.
_FULL = (
    BleakGATTProtocolErrorCode.INSUFFICIENT_RESOURCE,
    BleakGATTProtocolErrorCode.PROCEDURE_ALREADY_IN_PROGRESS,
)
_FULL_PAUSE_SECONDS = 0.02
_LARGER_MTU_SECONDS = 1.0

# What bleak's backends raise: their own errors, those of the system's sockets and D-Bus, and
# EOFError when D-Bus goes away.
FAILURES = (BleakError, OSError, EOFError)


class Backend(NamedTuple):
    """Which Bluetooth bleak uses; `None` is the system's own.

    Args:
        scanner: finds devices.
        client: connects to them.
    """

    scanner: type[BaseBleakScanner] | None = None
    client: type[BaseBleakClient] | None = None


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
        return not advertisement.service_uuids or self.service in advertisement.service_uuids


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
    async with AsyncExitStack() as stack:
        await start_scan(stack, look, backend, what)
        with anyio.CancelScope(deadline=deadline):
            return await found
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

    async with AsyncExitStack() as stack:
        await start_scan(stack, look, backend, url)
        await anyio.sleep_forever()


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
        scanner = BleakScanner(look, backend=backend.scanner)
        await one_cancellation(scanner.start())
    except (*FAILURES, ValueError) as error:  # the last of an address of D-Bus that is none
        why = _advice(error) if backend.scanner is None else _text(error)
        raise ConnectFailed(f"{what}: no Bluetooth to scan with: {why}") from error

    async def stop() -> None:
        with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
            try:
                await scanner.stop()
            except FAILURES as error:
                logger.debug("%s: the scan was not stopped: %s", what, _text(error))

    stack.push_async_callback(stop)


async def open_link(
    device: BLEDevice,
    options: ConnectOptions,
    backend: Backend,
    info: Callable[[int, bool], ChannelInfo],
) -> "GattChannel":
    """Connect to a device and subscribe.

    Args:
        device: as a scan has found it.
        options: of the URL.
        backend: which Bluetooth.
        info: gives the facts about the channel, from its MTU and whether it is reliable.

    Raises:
        ConnectFailed: it cannot be reached, or it lacks the service or a characteristic.
    """
    channels: list[GattChannel] = []

    def lose(_: BleakClient) -> None:
        for channel in channels:
            channel.lose()

    client = BleakClient(device, lose, timeout=_seconds(), backend=backend.client)
    try:
        await one_cancellation(client.connect())
    except (*FAILURES, TimeoutError) as error:
        raise ConnectFailed(f"{_name(device)}: cannot connect: {_text(error)}") from error
    try:
        tx, rx = choose(client, options, _name(device))
        write = options.write if _WRITES[options.write] in tx.properties else _other(options.write)
        mtu = await _find_mtu(tx)
        channel = GattChannel(client, tx, info(mtu, write == "request"), write)
        channels.append(channel)
        await one_cancellation(client.start_notify(rx, lambda _, value: channel.hear(bytes(value))))
    except BaseException as error:
        await _disconnect(client)
        if isinstance(error, FAILURES):
            raise ConnectFailed(f"{_name(device)}: cannot subscribe: {_text(error)}") from error
        raise
    return channel


def choose(
    client: BleakClient, options: ConnectOptions, name: str
) -> tuple[BleakGATTCharacteristic, BleakGATTCharacteristic]:
    """The characteristics to write and to hear, of the service.

    Some devices have the two swapped. So one that cannot do its part gives way to the other, or to
    any of the service that can.

    Raises:
        ConnectFailed: the device has no such service, or nothing in it that can do that.
    """
    service = client.services.get_service(options.service)
    if service is None:
        there = ", ".join(each.uuid for each in client.services) or "none"
        raise ConnectFailed(f"{name} has no service {options.service}; it has {there}")
    by_uuid = {each.uuid: each for each in service.characteristics}

    def first(named: tuple[str, str], can: set[str]) -> BleakGATTCharacteristic | None:
        preferred = [by_uuid[uuid] for uuid in named if uuid in by_uuid]
        for each in (*preferred, *service.characteristics):
            if can.intersection(each.properties):
                return each
        return None

    tx = first((options.tx, options.rx), set(_WRITES.values()))
    rx = first((options.rx, options.tx), _HEARS)
    if tx is None or rx is None:
        lacks = "can be written" if tx is None else "notifies"
        there = ", ".join(
            f"{each.uuid} ({', '.join(each.properties)})" for each in service.characteristics
        )
        raise ConnectFailed(
            f"{name}: no characteristic of the service {lacks}; it has {there or 'none'}"
        )
    return tx, rx


def _other(write: str) -> str:
    return "command" if write == "request" else "request"


async def _find_mtu(tx: BleakGATTCharacteristic) -> int:
    """The link's ATT MTU, or a large one where bleak does not know it.

    Right after connecting bleak may report the smallest one, on BlueZ before 5.62 for good, while
    it is not true. A write with response may be longer in any case; the system sends it in parts.
    So only a device that takes none is given a moment to report more, and believed after that.
    """

    def known() -> int:
        return tx.max_write_without_response_size + HEADER_BYTES

    if known() > SMALLEST_MTU:
        return known()
    if _WRITES["request"] in tx.properties:
        return LARGEST_VALUE + HEADER_BYTES
    with anyio.move_on_after(_LARGER_MTU_SECONDS):
        while known() <= SMALLEST_MTU:  # noqa: ASYNC110  # bleak has no event for it
            await anyio.sleep(0.05)
    return known()


class GattChannel(CallbackChannel):
    """The link to a device.

    Args:
        client: connected.
        tx: is written.
        info: the facts about the link.
        write: `request` or `command`.
    """

    def __init__(
        self,
        client: BleakClient,
        tx: BleakGATTCharacteristic,
        info: ChannelInfo,
        write: str,
    ) -> None:
        super().__init__(info)
        self._client = client
        self._tx = tx
        self._acknowledged = write == "request"
        self._owned: AsyncExitStack | None = None

    def owns(self, stack: AsyncExitStack) -> None:
        """Close that too in the end."""
        self._owned = stack

    def hear(self, message: bytes) -> None:
        """Take a notification."""
        if not self.take(message):
            logger.warning("%s: a notification came too fast for us", self._info.peer)
            if self._info.reliable:
                self.lose()

    async def send(self, item: bytes) -> None:
        """Write one message; see `Channel.send`."""
        await anyio.lowlevel.checkpoint()
        while True:
            self._check()
            try:
                await self._client.write_gatt_char(self._tx, item, self._needs_response(item))
                return
            except BleakGATTProtocolError as error:
                if error.code in _FULL:
                    await anyio.sleep(_FULL_PAUSE_SECONDS)
                    continue
                self._fail(error)
            except FAILURES as error:
                self._fail(error)

    async def aclose(self) -> None:
        """Disconnect."""
        if self._close():
            await _disconnect(self._client)
            if self._owned is not None:
                with anyio.CancelScope(shield=True):
                    await self._owned.aclose()
        await anyio.lowlevel.checkpoint()

    def _needs_response(self, item: bytes) -> bool:
        """Whether a write has to be acknowledged: what a command cannot carry, has to."""
        if self._acknowledged:
            return True
        fits = len(item) <= self._tx.max_write_without_response_size
        return not fits and _WRITES["request"] in self._tx.properties

    def _fail(self, error: Exception) -> None:
        if not self._is_closed and not self._is_lost:
            logger.warning("%s: a message could not be written: %s", self._info.peer, _text(error))
        self.lose()
        self._check()


async def _disconnect(client: BleakClient) -> None:
    with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
        try:
            await client.disconnect()
        except (*FAILURES, TimeoutError) as error:
            logger.debug("%s: not disconnected: %s", client.address, _text(error))


async def one_cancellation(work: Coroutine[Any, Any, T]) -> T:
    """Run what cleans up after itself when it is cancelled, and let it.

    An anyio scope cancels again and again, so that a library's cleaning up would not get far.
    """
    task = asyncio.get_running_loop().create_task(work)
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        task.cancel()
        with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
            await asyncio.wait([task])
        raise
    return task.result()


def _seconds() -> float:
    """What is left of the caller's time; bleak needs some number."""
    return min(max(anyio.current_effective_deadline() - anyio.current_time(), 0.1), 3600.0)


def _name(device: BLEDevice) -> str:
    return f"{device.name} ({device.address})" if device.name else device.address


def _advice(error: Exception) -> str:
    """Why the system has no Bluetooth, and on Linux what to do."""
    if sys.platform != "linux":
        return _text(error)
    from .bluez.bus import BluezError, without_bus  # what bleak uses is there

    if isinstance(error, BleakDBusError):
        return BluezError(error.dbus_error, error.dbus_error_details or "").advice()
    return _text(error) if isinstance(error, BleakError) else without_bus(error)


def _text(error: BaseException) -> str:
    if isinstance(error, BleakBluetoothNotAvailableError):  # its text would show the reason's code
        return str(error.args[0])
    return str(error) or type(error).__name__
