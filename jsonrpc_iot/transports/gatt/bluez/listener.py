"""The service as bluetoothd sees it: registered, advertised, and registered again when it restarts.

Source: BlueZ, doc/org.bluez.GattManager.rst and doc/org.bluez.LEAdvertisingManager.rst.
"""

import asyncio
import logging
import socket
from collections.abc import Mapping, Sequence
from functools import partial

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup
from dbus_fast import DBusError, Message, MessageType, Variant

from ....channel.contract import Serve
from ....channel.url import Url
from ....errors import BindFailed
from ....protocol.about import about
from ....protocol.backoff import Backoff
from ...dbus import BusError, Objects, ServiceBus, open_bus
from .._options import SMALLEST_MTU, BluezOptions
from .._peripheral import PeripheralListener
from .bus import ADAPTER, ADVERTISING_MANAGER, BLUEZ, DEVICE, GATT_MANAGER, SIGNALS, advice
from .central import BluezCentral
from .objects import ObjectTree

logger = logging.getLogger("jsonrpc_iot.transports")

ROOT = "/jsonrpc_iot"
SERVICE_PATH = f"{ROOT}/service"
TX_PATH = f"{SERVICE_PATH}/tx"
RX_PATH = f"{SERVICE_PATH}/rx"
ADVERTISEMENT_PATH = "/jsonrpc_iot_advertisement"

_SERVICE = "org.bluez.GattService1"
_CHARACTERISTIC = "org.bluez.GattCharacteristic1"
_ADVERTISEMENT = "org.bluez.LEAdvertisement1"

_ADVERTISEMENT_HELD = (ADVERTISING_MANAGER, "UnregisterAdvertisement", ADVERTISEMENT_PATH)
_SERVICE_HELD = (GATT_MANAGER, "UnregisterApplication", ROOT)

Options = Mapping[str, Variant]

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 8.0
_CLOSE_SECONDS = 2.0
_SUBSCRIBE_AGAIN_SECONDS = 1.0


class BluezListener(PeripheralListener):
    """Serves the centrals that reach one adapter.

    Args:
        url: what was asked for.
        options: those of the URL.
        address: the URL that reaches the device.
        max_centrals: those that are served at once; others are disconnected.
    """

    def __init__(self, url: Url, options: BluezOptions, address: str, max_centrals: int) -> None:
        super().__init__(options, address, max_centrals)
        self._url = url
        self._adapter = f"/org/bluez/{options.adapter}"
        self._name = options.adapter
        self._tree = self._make_tree(options)
        self._bus: ServiceBus | None = None
        self._centrals: dict[str, BluezCentral] = {}
        self._strangers: set[str] = set()
        self._is_registered = False
        self._held: set[tuple[str, str, str]] = set()  # what bluetoothd has of us
        self._news = asyncio.Event()
        self._backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)

    async def start(self) -> None:
        """Register and advertise.

        Raises:
            BindFailed: that cannot be; the text says why and what to do.
        """
        try:
            await self._register()
        except BaseException:
            await self._close_bus()
            await super().aclose()
            raise

    async def serve(self, handler: Serve, task_group: TaskGroup) -> None:
        """Serve until cancelled; see `Listener.serve`."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(super().serve, handler, task_group)
            await self._until_lost()
            while True:
                await self._register_again()
                begin = anyio.current_time()
                await self._until_lost()
                self._backoff.connection_ended(anyio.current_time() - begin)
                await self._pause()

    async def aclose(self) -> None:
        """Stop advertising, end all links, and take the service back."""
        with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
            await self._forget(_ADVERTISEMENT_HELD)
        await super().aclose()
        with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
            await self._forget(_SERVICE_HELD)
        await self._close_bus()
        self._all_left()
        await anyio.lowlevel.checkpoint()

    def _make_tree(self, options: BluezOptions) -> ObjectTree[ServiceBus]:
        tree: ObjectTree[ServiceBus] = ObjectTree()
        for path, (interface, properties) in _objects(options).items():
            tree.add(path, interface, properties)
        tree.add_method(TX_PATH, _CHARACTERISTIC, "WriteValue", "aya{sv}", self._write)
        tree.add_method(RX_PATH, _CHARACTERISTIC, "AcquireNotify", "a{sv}", self._acquire)
        tree.add_method(ADVERTISEMENT_PATH, _ADVERTISEMENT, "Release", "", self._release)
        return tree

    async def _until_lost(self) -> None:
        """Wait until bluetoothd, the adapter or D-Bus is gone."""
        while self._is_registered and self._bus is not None and not self._bus.closed.is_set():
            self._news.clear()
            await self._news.wait()
        self._is_registered = False
        self._all_left()
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
            self._strangers = {
                path
                for path, interfaces in objects.items()
                if interfaces.get(DEVICE, {}).get("Connected")
            }
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
                    self._left(removed)
                if removed == self._adapter and GATT_MANAGER in interfaces:
                    self._held.clear()
                    self._lose()
            case "PropertiesChanged", [str(interface), dict(changed), *_]:
                if interface == DEVICE and "Connected" in changed:
                    if not _value(changed, "Connected"):
                        self._left(path)
                elif interface == ADAPTER and path == self._adapter and "Powered" in changed:
                    self._news.set()

    def _lose(self) -> None:
        """What was registered is gone."""
        self._is_registered = False
        self._all_left()
        self._news.set()

    def _all_left(self) -> None:
        for path in tuple(self._centrals):
            self._left(path)

    def _left(self, path: str) -> None:
        self._strangers.discard(path)
        central = self._centrals.pop(path, None)
        if central is not None:
            central.leave()
            self.left(central)

    def _central(self, bus: ServiceBus, options: Options) -> BluezCentral:
        """The central that a call is about."""
        path, mtu = _value(options, "device"), _value(options, "mtu")
        if not isinstance(path, str):
            raise DBusError("org.bluez.Error.NotSupported", "say which device it is")
        central = self._centrals.get(path)
        if central is None:
            central = self._centrals[path] = BluezCentral(bus, path, self._hung_up)
        central.mtu = mtu if isinstance(mtu, int) else max(central.mtu, SMALLEST_MTU)
        return central

    def _write(self, call: Message, bus: ServiceBus) -> Message:
        """Take what a central wrote."""
        value, options = call.body
        if _value(options, "offset"):
            raise DBusError("org.bluez.Error.InvalidOffset", "a write has to be whole")
        if not _value(options, "prepare-authorize"):
            central = self._central(bus, options)
            if not self._is_deaf(central):
                acknowledged = _value(options, "type") != "command"
                if not self.written(central, bytes(value), acknowledged=acknowledged):
                    # ATT error 0xFE: the central may try again.
                    raise DBusError("org.bluez.Error.InProgress", "there is too much to do")
        return Message.new_method_return(call)

    def _is_deaf(self, central: BluezCentral) -> bool:
        """Whether a central believes in a subscription of an earlier time, and has to come anew.

        When a program that serves ends, bluetoothd keeps the links to its centrals.
        """
        is_deaf = central.path in self._strangers and not central.is_subscribed
        if is_deaf:
            logger.info("gatt://%s was here before us; it has to reconnect", central.address)
            self.do_soon(central.disconnect)
        return is_deaf

    def _acquire(self, call: Message, bus: ServiceBus) -> bool:
        """Give bluetoothd the socket that notifies a central."""
        (options,) = call.body
        central = self._central(bus, options)
        self._strangers.discard(central.path)
        theirs = central.subscribe()
        reply = Message.new_method_return(call, "hq", [0, central.mtu], [theirs.fileno()])
        bus.send(reply).add_done_callback(partial(_close, theirs))
        self.subscribed(central)
        return True

    def _release(self, call: Message, bus: ServiceBus) -> Message:
        """The adapter advertises us no more."""
        self._held.discard(_ADVERTISEMENT_HELD)
        self._lose()
        return Message.new_method_return(call)

    def _hung_up(self, central: BluezCentral) -> None:
        """A central has unsubscribed, or left, or bluetoothd (5.82) has closed the wrong socket.

        A central that is still there would wait for answers that cannot come: it is disconnected,
        so that it reconnects cleanly (https://github.com/bluez/bluez/issues/1452).
        """
        if central.is_there:
            self.do_soon(partial(_part_unless_subscribed, central))


async def _part_unless_subscribed(central: BluezCentral) -> None:
    if not await central.subscribes(_SUBSCRIBE_AGAIN_SECONDS):
        await central.disconnect()


def _close(end: socket.socket, sent: "asyncio.Future[None]") -> None:
    end.close()
    if not sent.cancelled() and sent.exception():
        logger.debug("a socket did not reach bluetoothd: %s", sent.exception())


def _value(properties: Options, name: str) -> object:
    """What a D-Bus dictionary has there; `None` for nothing."""
    variant = properties.get(name)
    return variant.value if variant is not None else None


def _objects(options: BluezOptions) -> dict[str, tuple[str, Options]]:
    """The objects that bluetoothd looks at: interface and properties by path."""
    return {
        SERVICE_PATH: (
            _SERVICE,
            {"UUID": Variant("s", options.service), "Primary": Variant("b", True)},
        ),
        TX_PATH: (
            _CHARACTERISTIC,
            {
                "UUID": Variant("s", options.tx),
                "Service": Variant("o", SERVICE_PATH),
                "Flags": Variant("as", ["write", "write-without-response"]),
            },
        ),
        RX_PATH: (
            _CHARACTERISTIC,
            {
                "UUID": Variant("s", options.rx),
                "Service": Variant("o", SERVICE_PATH),
                "Flags": Variant("as", ["notify"]),
                "NotifyAcquired": Variant("b", False),  # that it is there asks for AcquireNotify
            },
        ),
        ADVERTISEMENT_PATH: (
            _ADVERTISEMENT,
            {
                "Type": Variant("s", "peripheral"),
                "ServiceUUIDs": Variant("as", [options.service]),
                "LocalName": Variant("s", options.name),
                "Discoverable": Variant("b", True),
            },
        ),
    }
