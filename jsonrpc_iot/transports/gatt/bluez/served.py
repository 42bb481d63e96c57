"""A service for other protocols than ours, through BlueZ.

What is notified reaches all centrals that have subscribed: bluetoothd sends each new `Value`.

Source: BlueZ, doc/org.bluez.GattCharacteristic.rst.
"""

from collections.abc import Hashable
from urllib.parse import quote

from dbus_fast import DBusError, Message, Variant

from ....channel.url import Url
from ...dbus import Objects, ServiceBus
from .._served import AttributeServer, ServedOptions
from .objects import ObjectTree
from .registration import (
    ADVERTISEMENT,
    ADVERTISEMENT_PATH,
    CHARACTERISTIC,
    SERVICE,
    SERVICE_PATH,
    Application,
    Properties,
    Registration,
    advertised_properties,
    characteristic_properties,
    service_properties,
    value_of,
)


class BluezAttributes(AttributeServer, Application):
    """Serves the centrals that reach one adapter, which are told apart by their paths.

    Args:
        url: what was asked for.
        options: those of the URL.
    """

    def __init__(self, url: Url, options: ServedOptions) -> None:
        super().__init__(options.centrals)
        self._url = url
        self._options = options
        self._paths: dict[str, str] = {}

    def publish(self, uuid: str, value: bytes, central: Hashable | None) -> None:
        """See `AttributeServer.publish`."""
        if self.is_serving:
            changed = {"Value": Variant("ay", value)}
            self._registration.change(self._paths[uuid], CHARACTERISTIC, changed)

    def advertise(self) -> None:
        """See `AttributeServer.advertise`."""
        if self.is_serving:
            self._registration.change(ADVERTISEMENT_PATH, ADVERTISEMENT, self._service_data())

    def will_register(self, objects: Objects) -> None:
        """See `Application.will_register`."""
        self.all_left()

    def all_left(self) -> None:
        """See `Application.all_left`."""
        for central in tuple(self._heard):
            self._has_left(central)

    def device_left(self, path: str) -> None:
        """See `Application.device_left`."""
        self._has_left(path)

    async def _start(self) -> str:
        advertised = {
            **advertised_properties(self._service.uuid, self._options.name),
            **self._service_data(),
        }
        self._registration = Registration(
            self._url, self._options.adapter, self, self._make_tree(), advertised
        )
        await self._registration.start()
        return f"gatt://{quote(self._options.name, safe='')}"

    async def _keep(self) -> None:
        await self._registration.keep()

    async def _stop(self) -> None:
        await self._registration.aclose()

    def _service_data(self) -> dict[str, Variant]:
        uuid, data = self._service.advertised
        return {"ServiceData": Variant("a{sv}", {uuid: Variant("ay", data)})}

    def _make_tree(self) -> ObjectTree[ServiceBus]:
        tree: ObjectTree[ServiceBus] = ObjectTree()
        tree.add(SERVICE_PATH, SERVICE, service_properties(self._service.uuid))
        for number, (uuid, flags) in enumerate(self._service.characteristics.items()):
            path = self._paths[uuid] = f"{SERVICE_PATH}/char{number}"
            tree.add(path, CHARACTERISTIC, characteristic_properties(uuid, *flags))
            tree.add_method(path, CHARACTERISTIC, "ReadValue", "a{sv}", self._read)
            tree.add_method(path, CHARACTERISTIC, "WriteValue", "aya{sv}", self._write)
            for name in ("StartNotify", "StopNotify"):
                tree.add_method(path, CHARACTERISTIC, name, "", _agree)
        return tree

    def _uuid(self, call: Message) -> str:
        return next(uuid for uuid, path in self._paths.items() if path == call.path)

    def _read(self, call: Message, bus: ServiceBus) -> Message:
        """Give a value, or its rest from an offset on."""
        (options,) = call.body
        offset = value_of(options, "offset") or 0
        value = self._service.read(self._uuid(call), _device(options))
        if not isinstance(offset, int) or offset > len(value):
            raise DBusError("org.bluez.Error.InvalidOffset", "there are not so many bytes")
        return Message.new_method_return(call, "ay", [value[offset:]])

    def _write(self, call: Message, bus: ServiceBus) -> Message:
        """Take what a central wrote."""
        value, options = call.body
        if value_of(options, "offset"):
            raise DBusError("org.bluez.Error.InvalidOffset", "a write has to be whole")
        if not value_of(options, "prepare-authorize"):
            central = _device(options)
            if not self._admits(central):
                raise DBusError("org.bluez.Error.InProgress", "another one is served")
            self._service.write(self._uuid(call), central, bytes(value))
        return Message.new_method_return(call)

    def _disconnect(self, central: Hashable) -> None:
        self._tasks.start_soon(self._registration.disconnect, str(central))


def _device(options: Properties) -> str:
    """The path of the central that a call is about."""
    path = value_of(options, "device")
    if not isinstance(path, str):
        raise DBusError("org.bluez.Error.NotSupported", "say which device it is")
    return path


def _agree(call: Message, bus: ServiceBus) -> Message:
    return Message.new_method_return(call)
