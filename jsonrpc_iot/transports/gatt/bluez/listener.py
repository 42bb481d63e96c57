"""The service as bluetoothd sees it: what centrals write, and how they are notified."""

import asyncio
import logging
import socket
from functools import partial

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup
from dbus_fast import DBusError, Message, Variant

from ....channel.contract import Serve
from ....channel.url import Url
from ...dbus import Objects, ServiceBus
from .._options import SMALLEST_MTU, BluezOptions
from .._peripheral import PeripheralListener
from .bus import DEVICE
from .central import BluezCentral
from .objects import ObjectTree
from .registration import (
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

logger = logging.getLogger("jsonrpc_iot.transports")

TX_PATH = f"{SERVICE_PATH}/tx"
RX_PATH = f"{SERVICE_PATH}/rx"

_SUBSCRIBE_AGAIN_SECONDS = 1.0


class BluezListener(PeripheralListener, Application):
    """Serves the centrals that reach one adapter.

    Args:
        url: what was asked for.
        options: those of the URL.
        address: the URL that reaches the device.
        max_centrals: those that are served at once; others are disconnected.
    """

    def __init__(self, url: Url, options: BluezOptions, address: str, max_centrals: int) -> None:
        super().__init__(options, address, max_centrals)
        self._centrals: dict[str, BluezCentral] = {}
        self._strangers: set[str] = set()
        advertised = advertised_properties(options.service, options.name)
        self._registration = Registration(
            url, options.adapter, self, self._make_tree(options), advertised
        )

    async def start(self) -> None:
        """Register and advertise.

        Raises:
            BindFailed: that cannot be; the text says why and what to do.
        """
        try:
            await self._registration.start()
        except BaseException:
            await super().aclose()
            raise

    async def serve(self, handler: Serve, task_group: TaskGroup) -> None:
        """Serve until cancelled; see `Listener.serve`."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(super().serve, handler, task_group)
            await self._registration.keep()

    async def aclose(self) -> None:
        """Stop advertising, end all links, and take the service back."""
        await self._registration.stop_advertising()
        await super().aclose()
        await self._registration.aclose()
        await anyio.lowlevel.checkpoint()

    def will_register(self, objects: Objects) -> None:
        """See `Application.will_register`."""
        self._strangers = {
            path
            for path, interfaces in objects.items()
            if interfaces.get(DEVICE, {}).get("Connected")
        }

    def all_left(self) -> None:
        """See `Application.all_left`."""
        for path in tuple(self._centrals):
            self.device_left(path)

    def device_left(self, path: str) -> None:
        """See `Application.device_left`."""
        self._strangers.discard(path)
        central = self._centrals.pop(path, None)
        if central is not None:
            central.leave()
            self.left(central)

    def _make_tree(self, options: BluezOptions) -> ObjectTree[ServiceBus]:
        tree: ObjectTree[ServiceBus] = ObjectTree()
        tx = characteristic_properties(options.tx, "write", "write-without-response")
        rx = characteristic_properties(options.rx, "notify")
        rx["NotifyAcquired"] = Variant("b", False)  # that it is there asks for AcquireNotify
        tree.add(SERVICE_PATH, SERVICE, service_properties(options.service))
        tree.add(TX_PATH, CHARACTERISTIC, tx)
        tree.add(RX_PATH, CHARACTERISTIC, rx)
        tree.add_method(TX_PATH, CHARACTERISTIC, "WriteValue", "aya{sv}", self._write)
        tree.add_method(RX_PATH, CHARACTERISTIC, "AcquireNotify", "a{sv}", self._acquire)
        return tree

    def _central(self, bus: ServiceBus, options: Properties) -> BluezCentral:
        """The central that a call is about."""
        path, mtu = value_of(options, "device"), value_of(options, "mtu")
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
        if value_of(options, "offset"):
            raise DBusError("org.bluez.Error.InvalidOffset", "a write has to be whole")
        if not value_of(options, "prepare-authorize"):
            central = self._central(bus, options)
            if not self._is_deaf(central):
                acknowledged = value_of(options, "type") != "command"
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
