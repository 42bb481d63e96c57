"""The central's end of a GATT link, on bleak: connect to a device, choose its characteristics."""

import logging
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress

import anyio
import anyio.lowlevel
from bleak import BleakClient
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.device import BLEDevice
from bleak.backends.service import BleakGATTService
from bleak.exc import (
    BleakGATTProtocolError,
    BleakGATTProtocolErrorCode,
)

from ...channel.contract import TellFailed
from ...channel.info import ChannelInfo
from ...errors import ConnectFailed, TransportError
from ...protocol.about import about
from ._channel import CallbackChannel
from ._options import (
    LARGEST_VALUE,
    SMALLEST_VALUE,
    ConnectOptions,
    describe,
)
from ._scan import CLOSE_SECONDS, FAILURES, Backend, one_cancellation, text

logger = logging.getLogger("jsonrpc_iot.transports")

_WRITES = {"request": "write", "command": "write-without-response"}
_HEARS = {"notify", "indicate"}
# What a device says whose queue is full at the moment; BlueZ has no way to say the first.
_FULL = (
    BleakGATTProtocolErrorCode.INSUFFICIENT_RESOURCE,
    BleakGATTProtocolErrorCode.PROCEDURE_ALREADY_IN_PROGRESS,
)
_FULL_PAUSE_SECONDS = 0.02
_LARGER_MTU_SECONDS = 1.0


async def open_link(
    device: BLEDevice,
    options: ConnectOptions,
    backend: Backend,
    *,
    transport: str,
    local: str,
    peer: str,
) -> "GattChannel":
    """Connect to a device and subscribe.

    Args:
        device: as a scan has found it.
        options: of the URL.
        backend: which Bluetooth.
        transport: the URL's scheme.
        local: this end's URL.
        peer: the device's URL.

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
        raise ConnectFailed(f"{_name(device)}: cannot connect: {text(error)}") from error

    async def subscribe(tx: BleakGATTCharacteristic, rx: BleakGATTCharacteristic) -> GattChannel:
        write = options.write if _WRITES[options.write] in tx.properties else _other(options.write)
        info = describe(
            options,
            transport=transport,
            local=local,
            peer=peer,
            value=await _find_largest(tx),
            reliable=write == "request",
        )
        channel = GattChannel(client, tx, info, write, options.largest)
        channels.append(channel)
        await one_cancellation(client.start_notify(rx, lambda _, value: channel.hear(bytes(value))))
        return channel

    try:
        *others, last = choose(client, options, _name(device))
        for pair in others:
            with suppress(*FAILURES):
                return await subscribe(*pair)
        return await subscribe(*last)
    except BaseException as error:
        await disconnect(client)
        if isinstance(error, FAILURES):
            raise ConnectFailed(f"{_name(device)}: cannot subscribe: {text(error)}") from error
        raise


def choose(
    client: BleakClient, options: ConnectOptions, name: str
) -> list[tuple[BleakGATTCharacteristic, BleakGATTCharacteristic]]:
    """The characteristics to write and to hear, of each service of that kind, the best first.

    There may be several: two programs serve by one adapter, or BlueZ remembers one that has moved,
    which mostly has the lower handle.

    Raises:
        ConnectFailed: the device has no such service, or nothing in it that can do that.
    """
    services = [each for each in client.services if each.uuid == options.service]
    if not services:
        there = ", ".join(each.uuid for each in client.services) or "none"
        raise ConnectFailed(f"{name} has no service {options.service}; it has {there}")
    found, lacks = [], ""
    for service in sorted(services, key=lambda each: each.handle, reverse=True):
        tx, rx = _choose_in(service, options)
        if tx is None or rx is None:
            there = ", ".join(
                f"{each.uuid} ({', '.join(each.properties)})" for each in service.characteristics
            )
            lacks = f"{'can be written' if tx is None else 'notifies'}; it has {there or 'none'}"
        else:
            found.append((tx, rx))
    if not found:
        raise ConnectFailed(f"{name}: no characteristic of the service {lacks}")
    return found


def _choose_in(
    service: BleakGATTService, options: ConnectOptions
) -> tuple[BleakGATTCharacteristic | None, BleakGATTCharacteristic | None]:
    """The characteristics of one service.

    Some devices have the two swapped. So one that cannot do its part gives way to the other, or to
    any of the service that can.
    """
    by_uuid = {each.uuid: each for each in service.characteristics}

    def first(named: tuple[str, str], can: set[str]) -> BleakGATTCharacteristic | None:
        preferred = [by_uuid[uuid] for uuid in named if uuid in by_uuid]
        for each in (*preferred, *service.characteristics):
            if can.intersection(each.properties):
                return each
        return None

    tx = first((options.tx, options.rx), set(_WRITES.values()))
    return tx, first((options.rx, options.tx), _HEARS)


def _other(write: str) -> str:
    return "command" if write == "request" else "request"


async def _find_largest(tx: BleakGATTCharacteristic) -> int:
    """Bytes that a packet carries: what is left of the link's MTU, or many where it is not known.

    Right after connecting bleak may report the smallest one, on BlueZ before 5.62 for good, while
    it is not true. A write with response may be longer in any case; the system sends it in parts.
    So only a device that takes none is given a moment to report more, and believed after that.
    """

    def known() -> int:
        return tx.max_write_without_response_size

    if known() > SMALLEST_VALUE:
        return known()
    if _WRITES["request"] in tx.properties:
        return LARGEST_VALUE
    with anyio.move_on_after(_LARGER_MTU_SECONDS):
        while known() <= SMALLEST_VALUE:  # noqa: ASYNC110  # bleak has no event for it
            await anyio.sleep(0.05)
    return known()


class GattChannel(CallbackChannel):
    """The link to a device.

    Args:
        client: connected.
        tx: is written.
        info: the facts about the link.
        write: `request` or `command`.
        largest: gives the largest message in bytes, from what a packet carries.
    """

    def __init__(
        self,
        client: BleakClient,
        tx: BleakGATTCharacteristic,
        info: ChannelInfo,
        write: str,
        largest: Callable[[int], int],
    ) -> None:
        super().__init__(info)
        self._client = client
        self._tx = tx
        self._acknowledged = write == "request"
        self._owned: AsyncExitStack | None = None
        self._tell_failed: TellFailed = lambda message, reason: None
        self._largest = largest

    def owns(self, stack: AsyncExitStack) -> None:
        """Close that too in the end."""
        self._owned = stack

    def tell_failed(self, tell: TellFailed) -> None:
        """Tell of each write that the device refuses; see `Channel.tell_failed`."""
        self._tell_failed = tell

    def hear(self, message: bytes) -> None:
        """Take a notification."""
        self._info.grow(self._largest(self._tx.max_write_without_response_size))
        self.queue_unasked(message)

    async def send(self, item: bytes) -> None:
        """Write one message; see `Channel.send`."""
        await anyio.lowlevel.checkpoint()
        while True:
            self._check()
            try:
                await self._client.write_gatt_char(self._tx, item, self._needs_response(item))
                return
            except FAILURES as error:
                if isinstance(error, BleakGATTProtocolError) and error.code in _FULL:
                    await anyio.sleep(_FULL_PAUSE_SECONDS)
                elif _is_refusal(error) and self._client.is_connected:
                    reason = f"{self._info.peer} refused the message: {text(error)}"
                    logger.info("%s", reason)
                    self._tell_failed(item, TransportError(reason))
                    return
                else:
                    self._fail(error)

    async def aclose(self) -> None:
        """Disconnect."""
        if self._close():
            await disconnect(self._client)
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
            logger.warning(
                "%s: a message could not be written: %s",
                self._info.peer,
                text(error),
                extra=about(self._info.peer),
            )
        self.lose()
        self._check()


def _is_refusal(error: Exception) -> bool:
    """Whether it says that the device did not take a write; BlueZ says that in its own words."""
    return isinstance(error, BleakGATTProtocolError) or any(
        words in str(error) for words in ("ATT error", "InvalidValueLength", "NotPermitted")
    )


async def disconnect(client: BleakClient) -> None:
    """End a link; what goes wrong with that is of no interest."""
    with anyio.move_on_after(CLOSE_SECONDS, shield=True):
        try:
            await client.disconnect()
        except (*FAILURES, TimeoutError) as error:
            logger.debug("%s: not disconnected: %s", client.address, text(error))


def _seconds() -> float:
    """What is left of the caller's time; bleak needs some number."""
    return min(max(anyio.current_effective_deadline() - anyio.current_time(), 0.1), 3600.0)


def _name(device: BLEDevice) -> str:
    return f"{device.name} ({device.address})" if device.name else device.address
