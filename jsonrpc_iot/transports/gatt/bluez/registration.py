"""What a program is to bluetoothd: objects that are registered, advertised, and registered again.

bluetoothd may be restarted, and adapters come and go; what the objects do is left to others.

Source: BlueZ, doc/org.bluez.GattManager.rst and doc/org.bluez.LEAdvertisingManager.rst.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import anyio
from dbus_fast import Message, MessageType, Variant

from ....channel.url import Url
from ....errors import BindFailed
from ....protocol.about import about
from ....protocol.backoff import Backoff
from ...dbus import BusError, Objects, ServiceBus, open_bus
from .bus import ADAPTER, ADVERTISING_MANAGER, BLUEZ, DEVICE, GATT_MANAGER, SIGNALS, advice
from .objects import ObjectTree

logger = logging.getLogger("jsonrpc_iot.transports")

ROOT = "/jsonrpc_iot"
SERVICE_PATH = f"{ROOT}/service"
ADVERTISEMENT_PATH = "/jsonrpc_iot_advertisement"

SERVICE = "org.bluez.GattService1"
CHARACTERISTIC = "org.bluez.GattCharacteristic1"
ADVERTISEMENT = "org.bluez.LEAdvertisement1"

Properties = Mapping[str, Variant]

_ADVERTISEMENT_HELD = (ADVERTISING_MANAGER, "UnregisterAdvertisement", ADVERTISEMENT_PATH)
_SERVICE_HELD = (GATT_MANAGER, "UnregisterApplication", ROOT)

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 8.0
_CLOSE_SECONDS = 2.0


class Application(ABC):
    """Who has objects registered."""

    @abstractmethod
    def device_left(self, path: str) -> None:
        """A device is not connected any more."""

    @abstractmethod
    def all_left(self) -> None:
        """No device is: what was registered is gone."""

    @abstractmethod
    def will_register(self, objects: Objects) -> None:
        """The objects are registered next; `objects` is what bluetoothd has."""


class Registration:
    """Objects below `ROOT` at one adapter, and the advertisement that tells of them.

    Args:
        url: what was asked for.
        adapter: as BlueZ calls it.
        application: whose they are.
        tree: the objects.
        advertised: properties of the advertisement.
    """

    def __init__(
        self,
        url: Url,
        adapter: str,
        application: Application,
        tree: ObjectTree[ServiceBus],
        advertised: Properties,
    ) -> None:
        self._url = url
        self._name = adapter
        self._adapter = f"/org/bluez/{adapter}"
        self._application = application
        self._tree = tree
        self._bus: ServiceBus | None = None
        self._is_registered = False
        self._held: set[tuple[str, str, str]] = set()  # what bluetoothd has of us
        self._news = asyncio.Event()
        self._backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        tree.add(ADVERTISEMENT_PATH, ADVERTISEMENT, advertised)
        tree.add_method(ADVERTISEMENT_PATH, ADVERTISEMENT, "Release", "", self._release)

    async def start(self) -> None:
        """Register and advertise.

        Raises:
            BindFailed: that cannot be; the text says why and what to do.
        """
        try:
            await self._register()
        except BaseException:
            await self._close_bus()
            raise

    async def keep(self) -> None:
        """Register again whenever it is lost, until cancelled."""
        await self._until_lost()
        while True:
            await self._register_again()
            begin = anyio.current_time()
            await self._until_lost()
            self._backoff.connection_ended(anyio.current_time() - begin)
            await self._pause()

    async def stop_advertising(self) -> None:
        """Be found by nobody any more."""
        with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
            await self._forget(_ADVERTISEMENT_HELD)

    async def aclose(self) -> None:
        """Take all back."""
        await self.stop_advertising()
        with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
            await self._forget(_SERVICE_HELD)
        await self._close_bus()
        self._application.all_left()

    def change(self, path: str, interface: str, changed: Properties) -> None:
        """Have properties of an object changed, and tell bluetoothd, where it is there."""
        self._tree.change(path, interface, changed)
        if self._is_registered and self._bus is not None:
            self._bus.tell_changes(path, interface, changed)

    async def disconnect(self, path: str) -> None:
        """End the link of a device, if it is still there."""
        try:
            if self._bus is not None:
                await self._bus.call(path, DEVICE, "Disconnect")
        except BusError as error:  # mostly because it has left meanwhile
            logger.debug("%s: not disconnected: %s", self._url, error, extra=about(self._url))

    async def _until_lost(self) -> None:
        """Wait until bluetoothd, the adapter or D-Bus is gone."""
        while self._is_registered and self._bus is not None and not self._bus.closed.is_set():
            self._news.clear()
            await self._news.wait()
        self._is_registered = False
        self._application.all_left()
        self._news.clear()

    async def _pause(self) -> None:
        """Wait a while, or until there is news of bluetoothd."""
        with anyio.move_on_after(self._backoff.next_pause()):
            await self._news.wait()

    async def _register_again(self) -> None:
        """Try until the service is registered."""
        logger.warning(
            "%s: bluetoothd or its adapter is gone; waiting for it",
            self._url,
            extra=about(self._url),
        )
        while True:
            self._news.clear()
            try:
                await self._register()
            except BindFailed as error:
                logger.info("%s; trying again", error)
            else:
                logger.info("%s: registered again", self._url, extra=about(self._url))
                return
            await self._pause()

    async def _register(self) -> None:
        try:
            bus = await self._open_bus()
            objects = await bus.objects()
            self._check_adapter(objects)
            self._application.will_register(objects)
            # What is left of an earlier time, where bluetoothd itself took back only a part of it.
            await self._forget(_ADVERTISEMENT_HELD)
            await self._forget(_SERVICE_HELD)
            self._is_registered = True
            self._held.add(_SERVICE_HELD)
            await self._call(GATT_MANAGER, "RegisterApplication", "oa{sv}", ROOT, {})
            self._held.add(_ADVERTISEMENT_HELD)
            await self._call(
                ADVERTISING_MANAGER, "RegisterAdvertisement", "oa{sv}", ADVERTISEMENT_PATH, {}
            )
        except BusError as error:
            self._is_registered = False
            raise BindFailed(f"{self._url}: {advice(error)}") from error
        except OSError as error:
            raise BindFailed(f"{self._url}: {error}") from error

    async def _open_bus(self) -> ServiceBus:
        if self._bus is None or self._bus.closed.is_set():
            await self._close_bus()
            self._held.clear()
            self._bus = await open_bus(BLUEZ, self._handle, self._news.set)
            await self._bus.watch(*SIGNALS)
        return self._bus

    async def _close_bus(self) -> None:
        if self._bus is not None:
            await self._bus.aclose()

    def _check_adapter(self, objects: Objects) -> None:
        """Refuse an adapter that is not there, is off, or cannot be a peripheral."""
        adapters = sorted(
            path.rpartition("/")[2] for path, interfaces in objects.items() if ADAPTER in interfaces
        )
        adapter = objects.get(self._adapter, {})
        problem = ""
        if not adapters:
            problem = (
                "there is no Bluetooth adapter; is it plugged in? `bluetoothctl list` shows it"
            )
        elif ADAPTER not in adapter:
            problem = f"there is no adapter {self._name}; there are {', '.join(adapters)}"
        elif not adapter[ADAPTER].get("Powered"):
            problem = (
                f"the adapter {self._name} is off; turn it on: bluetoothctl power on "
                "(if that fails: rfkill unblock bluetooth)"
            )
        elif GATT_MANAGER not in adapter or ADVERTISING_MANAGER not in adapter:
            problem = f"the adapter {self._name} cannot be a peripheral of Bluetooth LE"
        if problem:
            raise BindFailed(f"{self._url}: {problem}")

    async def _call(self, interface: str, member: str, signature: str, *body: object) -> None:
        if self._bus is not None:
            await self._bus.call(self._adapter, interface, member, signature, *body)

    async def _forget(self, held: tuple[str, str, str]) -> None:
        """Take back what was registered, if it was."""
        if held not in self._held:
            return
        self._held.remove(held)
        interface, member, path = held
        try:
            await self._call(interface, member, "o", path)
        except BusError as error:
            logger.debug("%s: %s: %s", self._url, member, error, extra=about(self._url))

    def _handle(self, message: Message, bus: ServiceBus) -> Message | bool:
        """Answer a call, or hear of bluetoothd; both at once."""
        if message.message_type is MessageType.SIGNAL:
            self._hear(message.path or "", message.member or "", message.body)
            return False
        return self._tree.answer(message, bus)

    def _hear(self, path: str, member: str, body: Sequence[object]) -> None:
        match member, body:
            case "NameOwnerChanged", [str(name), old, _] if name == BLUEZ:
                if old:
                    self._held.clear()
                    self._lose()
                self._news.set()
            case "InterfacesAdded", [str(added), dict()] if added == self._adapter:
                self._news.set()
            case "InterfacesRemoved", [str(removed), list(interfaces)]:
                if DEVICE in interfaces:
                    self._application.device_left(removed)
                if removed == self._adapter and GATT_MANAGER in interfaces:
                    self._held.clear()
                    self._lose()
            case "PropertiesChanged", [str(interface), dict(changed), *_]:
                if interface == DEVICE and "Connected" in changed:
                    if not value_of(changed, "Connected"):
                        self._application.device_left(path)
                elif interface == ADAPTER and path == self._adapter and "Powered" in changed:
                    self._news.set()

    def _lose(self) -> None:
        """What was registered is gone."""
        self._is_registered = False
        self._application.all_left()
        self._news.set()

    def _release(self, call: Message, bus: ServiceBus) -> Message:
        """The adapter advertises us no more."""
        self._held.discard(_ADVERTISEMENT_HELD)
        self._lose()
        return Message.new_method_return(call)


def value_of(properties: Properties, name: str) -> object:
    """What a D-Bus dictionary has there; `None` for nothing."""
    variant = properties.get(name)
    return variant.value if variant is not None else None


def service_properties(uuid: str) -> Properties:
    """Those of the object of a service."""
    return {"UUID": Variant("s", uuid), "Primary": Variant("b", True)}


def characteristic_properties(uuid: str, *flags: str) -> dict[str, Variant]:
    """Those of the object of a characteristic of the service at `SERVICE_PATH`."""
    return {
        "UUID": Variant("s", uuid),
        "Service": Variant("o", SERVICE_PATH),
        "Flags": Variant("as", list(flags)),
    }


def advertised_properties(service: str, name: str) -> dict[str, Variant]:
    """Those of the object of an advertisement."""
    return {
        "Type": Variant("s", "peripheral"),
        "ServiceUUIDs": Variant("as", [service]),
        "LocalName": Variant("s", name),
        "Discoverable": Variant("b", True),
    }
