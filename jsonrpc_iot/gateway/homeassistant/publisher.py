"""`HomeAssistant`: a gateway's devices at a broker that Home Assistant listens to.

Calls go through the gateway as those of a stranger, and what needs a permission is not shown: who
may publish at the broker has no more rights than that.
"""

import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Self

import anyio
from anyio.abc import TaskGroup

from ...channel.changes import Change
from ...channel.clock import now
from ...channel.tasks import task_group
from ...channel.url import Url
from ...errors import JsonRpcIotError, UsageError
from ...protocol.about import about
from ...protocol.backoff import Backoff
from ...transports.mqtt.topics import open_broker, read_broker
from ..gateway import Gateway
from ..state import DeviceChange
from .device import Caller, Shelf, ShownDevice
from .discovery import OFFLINE, ONLINE, Look, Topics

if TYPE_CHECKING:
    from ...transports.mqtt.topics import Arrived, Broker

logger = logging.getLogger("jsonrpc_iot.gateway.homeassistant")

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_KEPT_SECONDS = 1.0  # for the broker to tell what it has kept
_LARGEST_COMMAND = 1024


class HomeAssistant(anyio.AsyncContextManagerMixin):
    """Makes a gateway's devices known to Home Assistant, while its `async with` block runs.

    Each device is one there, with entities for what its description says of values; see the page
    about Home Assistant. All that is published is retained, so that the order in which the broker,
    Home Assistant and the gateway start does not matter. When the broker is gone it is connected to
    again.

    Args:
        gateway: has the devices.
        mqtt_url: of the broker, `mqtt://` or `mqtts://` with the options of such URLs; values are
            at topics below its path.
        prefix: the topic of Home Assistant's discovery.
        looks: how devices are shown, by name; `looks` may be changed while it runs.

    Raises:
        InvalidUrl: the URL is no broker's.
        UsageError: the prefix is no topic.
    """

    def __init__(
        self,
        gateway: Gateway,
        mqtt_url: str,
        prefix: str = "homeassistant",
        *,
        looks: Mapping[str, Look] | None = None,
    ) -> None:
        self._url = url = Url.parse(mqtt_url)
        if url.scheme not in ("mqtt", "mqtts"):
            raise url.error("Home Assistant's broker is at mqtt:// or mqtts://")
        options = read_broker(url)
        prefix = prefix.strip("/")
        if not prefix or any(each in prefix for each in "+#\0"):
            raise UsageError(f"{prefix!r} is no prefix of topics")
        base = (options.topic or url.path).strip("/") or "jsonrpc-iot"
        if any(each in base for each in "+#\0"):
            raise url.error(f"{base!r} is no topic: + and # are for subscriptions")
        self.looks: Mapping[str, Look] = looks or {}
        self._gateway = gateway
        self._topics = Topics(f"{base}/homeassistant", prefix)
        self._call = Caller(gateway)
        self._shelf = Shelf()
        self._devices: dict[str, ShownDevice] = {}
        self._tasks: TaskGroup | None = None
        self._has_kept = Change()
        self._is_told = False

    def look_again(self) -> None:
        """Have the devices shown as `looks` says now."""
        for device in self._devices.values():
            device.look = self.looks.get(device.name, Look())
            device.refresh()

    @asynccontextmanager
    async def __asynccontextmanager__(self) -> AsyncGenerator[Self, None]:
        """Connect to the broker, and stay; what cannot be had yet is waited for."""
        leave = (
            self._gateway.changed.subscribe(self._note),
            self._gateway.on_emit(self._hear),
        )
        try:
            async with task_group() as tasks:
                tasks.start_soon(self._stay_connected)
                yield self
                tasks.cancel_scope.cancel()
        finally:
            for each in leave:
                each()

    async def _stay_connected(self) -> None:
        backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        while True:
            begun = now()
            try:
                async with open_broker(self._url, (self._topics.status, OFFLINE)) as broker:
                    await self._serve(broker)
            except UsageError:
                raise  # no time heals that
            except JsonRpcIotError as error:
                logger.warning("%s: %s", self._url, error, extra=about(self._url))
            except anyio.BrokenResourceError as error:
                logger.warning(
                    "%s: the broker is gone: %s", self._url, error, extra=about(self._url)
                )
            backoff.connection_ended(now() - begun)
            await anyio.sleep(backoff.next_pause())

    async def _serve(self, broker: "Broker") -> None:
        """Show the devices as long as the connection lasts."""
        topics = self._topics
        self._is_told = False
        try:
            async with task_group() as tasks:
                tasks.start_soon(self._receive, broker)
                await broker.subscribe(topics.commands, 1)
                await broker.subscribe(topics.discoveries, 1)
                await broker.subscribe(topics.status, 1)
                # What was kept comes before what is published now, as this is to ourselves.
                broker.publish(topics.probe, b"", 1)
                with anyio.move_on_after(_KEPT_SECONDS):
                    while not self._is_told:
                        await self._has_kept.wait()
                self._shelf.begin_again()
                self._shelf.put(topics.status, ONLINE)
                self._tasks = tasks
                for state in self._gateway.devices():
                    self._meet(state.name, state.online)
                self._clear_strangers()
                await self._shelf.empty_into(broker)
        finally:
            self._tasks = None
            self._devices = {}
            broker.publish(topics.status, OFFLINE, 1, retain=True)

    def _meet(self, name: str, is_online: bool) -> ShownDevice:
        """Begin to show a device."""
        assert self._tasks is not None
        look = self.looks.get(name, Look())
        device = ShownDevice(name, look, self._topics, self._call, self._shelf)
        device.is_online = is_online
        self._devices[name] = device
        self._tasks.start_soon(self._keep, device)
        return device

    async def _keep(self, device: ShownDevice) -> None:
        async with task_group() as tasks:
            tasks.start_soon(device.obey)
            await device.show()
            if self._devices.get(device.name) is device:
                del self._devices[device.name]
            tasks.cancel_scope.cancel()

    def _note(self, change: DeviceChange) -> None:
        """Take what has become of a device of the gateway."""
        if self._tasks is None:
            return
        device = self._devices.get(change.name)
        if device is None:
            if not change.removed:
                self._meet(change.name, change.online)
            return
        device.is_online, device.is_removed = change.online, change.removed
        device.refresh()

    def _hear(self, method: str, params: object = None, requires: str | None = None) -> None:
        name, _, event = method.partition(".")
        device = self._devices.get(name)
        if device is not None and requires is None:
            device.hear(event, params)

    async def _receive(self, broker: "Broker") -> None:
        while True:
            for each in await broker.receive():
                self._take(each)

    def _take(self, arrived: "Arrived") -> None:
        topics = self._topics
        if arrived.topic == topics.probe:
            self._is_told = True
            self._has_kept.notify()
        elif arrived.topic == topics.status:
            # The will of a former connection, of which the broker learns late that it is gone.
            if arrived.data == OFFLINE and self._tasks is not None:
                self._shelf.put(topics.status, ONLINE)
        elif (node := topics.node_of_discovery(arrived.topic)) is not None:
            if arrived.is_retained:
                self._shelf.remember(node, arrived.data)
        elif not arrived.is_retained and len(arrived.data) <= _LARGEST_COMMAND:
            # A retained command would be obeyed again with each start.
            command = topics.command(arrived.topic)
            for device in self._devices.values() if command else ():
                if command and topics.node(device.name) == command[0]:
                    device.order(command[1], command[2], arrived.data.decode(errors="replace"))

    def _clear_strangers(self) -> None:
        """Remove what an earlier run has left of devices that the gateway has no more."""
        nodes = {self._topics.node(name) for name in self._devices}
        for node in self._shelf.nodes_of(self._topics.status) - nodes:
            self._shelf.clear(self._topics, node)
