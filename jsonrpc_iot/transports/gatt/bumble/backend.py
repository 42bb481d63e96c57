"""A backend of bleak on an adapter that bumble drives, so that there is one central for all.

It is for Bluetooth that the system knows nothing of: adapters of its own, and virtual ones.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, cast

from bleak.args import SizedBuffer
from bleak.assigned_numbers import CharacteristicPropertyName
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient, NotifyCallback
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import (
    AdvertisementData,
    AdvertisementDataCallback,
    BaseBleakScanner,
)
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakDeviceNotFoundError, BleakError, BleakGATTProtocolError
from bumble.att import ATT_Error
from bumble.core import UUID, AdvertisingData, BaseBumbleError
from bumble.core import TimeoutError as BumbleTimeout
from bumble.device import Advertisement, Connection, Device, Peer
from bumble.gatt import Characteristic
from bumble.gatt_client import CharacteristicProxy
from bumble.hci import Address

from .._options import HEADER_BYTES, LARGEST_VALUE, SMALLEST_MTU, normal_uuid
from .._scan import Backend
from .radio import drain, text

MTU = 517
"""The largest that a central asks for (as Android does)."""

_SERVICE_LISTS = (
    AdvertisingData.INCOMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS,
    AdvertisingData.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS,
    AdvertisingData.INCOMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS,
    AdvertisingData.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS,
)
_NAMES = (AdvertisingData.COMPLETE_LOCAL_NAME, AdvertisingData.SHORTENED_LOCAL_NAME)


def backend_on(radio: Device, mtu: int = MTU) -> Backend:
    """The backend that uses an adapter.

    Args:
        radio: powered on.
        mtu: ATT MTU to ask for, in bytes.
    """

    class Scanner(BumbleScanner):
        adapter = radio

    class Client(BumbleClient):
        wanted_mtu = mtu

    return Backend(Scanner, Client)


class BumbleScanner(BaseBleakScanner):
    """Finds devices; see bleak."""

    adapter: ClassVar[Device]

    def __init__(
        self,
        detection_callback: AdvertisementDataCallback | None,
        service_uuids: list[str] | None,
        scanning_mode: str,
        **_: object,
    ) -> None:
        super().__init__(detection_callback, service_uuids)
        self._active = scanning_mode == "active"

    async def start(self) -> None:
        """Listen for what devices advertise."""
        self.seen_devices.clear()
        self.adapter.on(Device.EVENT_ADVERTISEMENT, self._hear)
        try:
            await self.adapter.start_scanning(active=self._active, filter_duplicates=False)
        except (BaseBumbleError, TimeoutError) as error:
            raise BleakError(text(error)) from error

    async def stop(self) -> None:
        """Stop listening."""
        self.adapter.remove_listener(Device.EVENT_ADVERTISEMENT, self._hear)
        try:
            await self.adapter.stop_scanning()
        except (BaseBumbleError, TimeoutError) as error:
            raise BleakError(text(error)) from error

    def _hear(self, advertisement: Advertisement) -> None:
        heard = advertisement.data
        uuids = [
            _uuid(uuid)
            for kind in _SERVICE_LISTS
            for uuids in cast(list[list[UUID]], heard.get_all(kind))
            for uuid in uuids
        ]
        if not self.is_allowed_uuid(uuids):
            return
        names = [cast(str, name) for kind in _NAMES if (name := heard.get(kind))]
        data = AdvertisementData(
            local_name=names[0] if names else None,
            manufacturer_data={},
            service_data={},
            service_uuids=uuids,
            tx_power=None,
            rssi=advertisement.rssi,
            platform_data=(advertisement,),
        )
        address = advertisement.address.to_string(False)
        details = (self.adapter, advertisement.address)
        device = self.create_or_update_device(address, address, data.local_name, details, data)
        self.call_detection_callbacks(device, data)


class BumbleClient(BaseBleakClient):
    """Connects to a device that a `BumbleScanner` has found; see bleak."""

    wanted_mtu: ClassVar[int] = MTU

    def __init__(self, address_or_ble_device: BLEDevice | str, **kwargs: Any) -> None:
        super().__init__(
            address_or_ble_device,
            disconnected_callback=kwargs["disconnected_callback"],
            timeout=kwargs["timeout"],
        )
        if not isinstance(address_or_ble_device, BLEDevice):
            raise BleakError("connect to a device that was found, not to an address")
        details = cast(tuple[Device, Address], address_or_ble_device.details)
        self._adapter, self._peer_address = details
        self._name = address_or_ble_device.name
        self._connection: Connection | None = None

    @contextmanager
    def _link(self) -> Iterator[None]:
        """Refuse what needs a link where there is none, and raise bleak's errors for bumble's."""
        if not self.is_connected:
            raise BleakError("not connected")
        try:
            yield
        except ATT_Error as error:
            raise BleakGATTProtocolError(error.error_code) from error
        except asyncio.CancelledError:
            # bumble cancels what waits for an answer when the link is lost.
            task = asyncio.current_task()
            if self.is_connected or (task is not None and task.cancelling()):
                raise
            raise BleakError("the link was lost") from None
        except (BaseBumbleError, TimeoutError) as error:
            raise BleakError(text(error)) from error

    @property
    def name(self) -> str:
        """What the device calls itself."""
        return self._name or self.address

    @property
    def mtu_size(self) -> int:
        """ATT MTU of the link."""
        return SMALLEST_MTU if self._connection is None else self._connection.att_mtu

    @property
    def is_connected(self) -> bool:
        """Whether there is a link."""
        return self._connection is not None

    async def connect(self, pair: bool, **_: object) -> None:
        """Connect, agree on an MTU and find the services."""
        if self.is_connected:
            raise BleakError("connected already")
        try:
            connection = await self._adapter.connect(self._peer_address, timeout=self._timeout)
        except (BumbleTimeout, TimeoutError) as error:
            raise BleakDeviceNotFoundError(self.address, "it does not answer") from error
        except BaseBumbleError as error:
            raise BleakError(text(error)) from error
        self._connection = connection
        connection.on(Connection.EVENT_DISCONNECTION, self._lost)
        try:
            await self._find_services(Peer(connection))
        except BaseException:
            await self.disconnect()
            raise

    async def _find_services(self, peer: Peer) -> None:
        found = BleakGATTServiceCollection()
        with self._link():
            if self.wanted_mtu > SMALLEST_MTU:
                await peer.request_mtu(self.wanted_mtu)
            for service in await peer.discover_services():
                each = BleakGATTService(service, service.handle, _uuid(service.uuid))
                found.add_service(each)
                for inner in await service.discover_characteristics():
                    characteristic = self._characteristic(inner, each)
                    found.add_characteristic(characteristic)
                    for inside in await inner.discover_descriptors():
                        uuid = _uuid(inside.type)
                        found.add_descriptor(
                            BleakGATTDescriptor(inside, inside.handle, uuid, characteristic)
                        )
        self.services = found

    def _characteristic(
        self, inner: CharacteristicProxy[bytes], service: BleakGATTService
    ) -> BleakGATTCharacteristic:
        names = [each.name for each in Characteristic.Properties if each & inner.properties]
        properties = [name.lower().replace("_", "-") for name in names if name]
        return BleakGATTCharacteristic(
            inner,
            inner.handle,
            _uuid(inner.uuid),
            cast(list[CharacteristicPropertyName], properties),
            lambda: self.mtu_size - HEADER_BYTES,
            service,
        )

    def _lost(self, _: int) -> None:
        self._connection = None
        self.services = None
        if self._disconnected_callback is not None:
            self._disconnected_callback()

    async def disconnect(self) -> None:
        """End the link."""
        if self._connection is not None:
            try:
                await self._connection.disconnect()
            except (BaseBumbleError, TimeoutError) as error:
                raise BleakError(text(error)) from error

    async def _not_needed(self, *_: object, **__: object) -> Any:
        """Refuse what bleak's clients can do beyond what a GATT link takes."""
        raise BleakError("this client only reads, writes and hears notifications")

    pair = unpair = stop_notify = _not_needed
    read_gatt_descriptor = write_gatt_descriptor = _not_needed

    async def read_gatt_char(
        self, characteristic: BleakGATTCharacteristic, **_: object
    ) -> bytearray:
        """Read a value."""
        with self._link():
            return bytearray(await _inner(characteristic).read_value())

    async def write_gatt_char(
        self, characteristic: BleakGATTCharacteristic, data: SizedBuffer, response: bool
    ) -> None:
        """Write a value; one that does not fit is refused, where bumble would truncate."""
        with self._link():
            value = bytes(data)
            limit = LARGEST_VALUE if response else self.mtu_size - HEADER_BYTES
            if len(value) > limit:
                raise BleakError(f"{len(value)} bytes are more than {limit}")
            await _inner(characteristic).write_value(value, with_response=response)
            if not response and self._connection is not None:
                await drain(self._connection)

    async def start_notify(
        self, characteristic: BleakGATTCharacteristic, callback: NotifyCallback, **_: object
    ) -> None:
        """Hear notifications."""
        with self._link():
            await _inner(characteristic).subscribe(lambda value: callback(bytearray(value)))


def _inner(characteristic: BleakGATTCharacteristic) -> CharacteristicProxy[bytes]:
    return cast(CharacteristicProxy[bytes], characteristic.obj)


def _uuid(uuid: UUID) -> str:
    return normal_uuid(uuid.to_hex_str("-"))
