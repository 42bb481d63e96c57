"""A loopback `org.bluez` on a private D-Bus: no radio, no bluetoothd, no kernel support.

What a program registers as a peripheral shows up as devices, one for each central that may connect:
a central here sees the peripheral under a path that is also the path of the central for the
peripheral. bleak's real backend connects to the devices; tests may drive a `Link` as well.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from dbus_fast import BusType, DBusError, Message, MessageType, Variant, unpack_variants
from dbus_fast.aio import MessageBus

from tests._system import require_command
from tests.waiting import SECONDS

from .fake_link import ADAPTER, CHARACTERISTIC, DEVICE, Link

DBUS = "org.freedesktop.DBus"
OBJECT_MANAGER = f"{DBUS}.ObjectManager"
PROPERTIES = f"{DBUS}.Properties"
SERVICE = "org.bluez.GattService1"
ADVERTISEMENT = "org.bluez.LEAdvertisement1"
MANAGERS = ("org.bluez.GattManager1", "org.bluez.LEAdvertisingManager1")

BUS_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/>
<allow own="*"/>{more}</policy></busconfig>"""


@asynccontextmanager
async def dbus_daemon(folder: Path, more_policy: str = "") -> AsyncIterator[str]:
    """A system bus of our own; gives its address."""
    path = folder / "bus"
    config = folder / "bus.conf"
    config.write_text(BUS_CONFIG.format(path=path, more=more_policy))
    command = [
        require_command("dbus-daemon"),
        f"--config-file={config}",
        "--print-address",
        "--nofork",
    ]
    async with await anyio.open_process(command) as process:
        try:
            assert process.stdout
            await process.stdout.receive()
            yield f"unix:path={path}"
        finally:
            process.kill()
            await process.wait()


class FakeBluez:
    """The `org.bluez`; use it in an `async with` block.

    Args:
        centrals: that may connect at once.
        mtu: of their links.
    """

    def __init__(self, centrals: int = 1, mtu: int = 247) -> None:
        self.mtu = mtu
        self.apps: dict[str, dict[str, Any]] = {}  # by the bus name of the program
        self.advertisements: dict[tuple[str, str], dict[str, Any]] = {}  # by that and their path
        self.calls: list[str] = []
        self._origins: dict[str, tuple[str, str]] = {}  # of what is shown, as names and paths
        self._scanning: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = (
            set()
        )  # no group, so that a test may stop it anywhere
        self.errors: dict[str, DBusError] = {}
        self.unanswered: set[str] = set()
        self.news = asyncio.Event()
        self.links = [Link(self, number) for number in range(1, centrals + 1)]
        self.objects: dict[str, dict[str, dict[str, Variant]]] = {
            ADAPTER: {
                "org.bluez.Adapter1": {
                    "Address": Variant("s", "00:FA:CE:00:00:01"),
                    "Name": Variant("s", "fake"),
                    "Alias": Variant("s", "fake"),
                    "Powered": Variant("b", True),
                    "Discovering": Variant("b", False),
                    "Roles": Variant("as", ["central", "peripheral"]),
                    "UUIDs": Variant("as", []),
                },
                **{name: {} for name in MANAGERS},
            }
        }

    @asynccontextmanager
    async def running(self) -> AsyncIterator["FakeBluez"]:
        """Own the name `org.bluez` while the block runs."""
        self.bus = MessageBus(bus_type=BusType.SYSTEM, negotiate_unix_fd=True)
        await self.bus.connect()
        self.bus.add_message_handler(self._handle)
        await self.bus.request_name("org.bluez")
        try:
            yield self
        finally:
            for link in self.links:
                link.hang_up()
            for task in self._tasks:
                task.cancel()
            self.bus.disconnect()
            with contextlib.suppress(OSError, EOFError):  # D-Bus may be gone already
                await self.bus.wait_for_disconnect()  # type: ignore[no-untyped-call]

    @property
    def app(self) -> tuple[str, dict[str, Any]] | None:
        """The first program that has registered."""
        return next(iter(self.apps.items()), None)

    @property
    def advertised(self) -> dict[str, Any] | None:
        """What is advertised first."""
        return next(iter(self.advertisements.values()), None)

    async def until_advertised(self) -> dict[str, Any]:
        """What the peripheral advertises, once it does."""
        with anyio.fail_after(SECONDS):
            while self.advertised is None:
                self.news.clear()
                await self.news.wait()
        return self.advertised

    async def until_called(self, member: str) -> None:
        """Wait for a call that is yet to come."""
        before = self.calls.count(member)
        with anyio.fail_after(SECONDS):
            while self.calls.count(member) == before:
                self.news.clear()
                await self.news.wait()

    async def until_app_left(self) -> None:
        with anyio.fail_after(SECONDS):
            while self.app is not None:
                self.news.clear()
                await self.news.wait()

    def unplug(self) -> dict[str, dict[str, Variant]]:
        """Take the adapter away; gives what it was."""
        for link in self.links:
            link.drop()
        self.apps.clear()
        self.advertisements.clear()
        self._hide_devices()
        interfaces = self.objects[ADAPTER]
        self._remove(ADAPTER)
        return interfaces

    def plug(self, interfaces: dict[str, dict[str, Variant]]) -> None:
        """Give an adapter."""
        self.objects[ADAPTER] = interfaces
        self._signal("/", OBJECT_MANAGER, "InterfacesAdded", "oa{sa{sv}}", ADAPTER, interfaces)

    async def release(self) -> None:
        """Stop advertising, and say so."""
        (name, path), _ = self.advertisements.popitem()
        self._hide_devices()
        await self._call(name, path, ADVERTISEMENT, "Release")

    async def get_property(self, path: str, name: str, interface: str = CHARACTERISTIC) -> object:
        """A property of one of the peripheral's objects."""
        assert self.app
        reply = await self._call(self.app[0], path, PROPERTIES, "Get", "ss", interface, name)
        return reply.body[0].value

    async def set_property(self, path: str, name: str, value: Variant) -> None:
        assert self.app
        await self._call(self.app[0], path, PROPERTIES, "Set", "ssv", CHARACTERISTIC, name, value)

    def characteristic(self, flag: str) -> tuple[str, dict[str, Any]]:
        """Path and properties of the characteristic that has a flag."""
        assert self.app, "no peripheral is registered"
        for path, interfaces in self.app[1].items():
            properties = interfaces.get(CHARACTERISTIC)
            if properties and flag in properties["Flags"]:
                return path, properties
        raise AssertionError(f"no characteristic has {flag}")

    def acquired(self) -> tuple[str, str]:
        """The characteristic that is notified by a socket: the name of its program, its path."""
        return next(
            (name, path)
            for name, objects in self.apps.items()
            for path, interfaces in objects.items()
            if "NotifyAcquired" in interfaces.get(CHARACTERISTIC, ())
        )

    async def call_app(self, path: str, member: str, signature: str, *body: object) -> Message:
        """Call the peripheral's characteristic."""
        assert self.app, "no peripheral is registered"
        return await self._call(self.app[0], path, CHARACTERISTIC, member, signature, *body)

    def change(self, path: str, interface: str, **changed: Variant) -> None:
        """Change properties, and say so."""
        if path in self.objects:
            self.objects[path][interface].update(changed)
            self._signal(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", interface, changed, [])

    def show_value(self, link: Link, value: bytes, origin: tuple[str, str] | None = None) -> None:
        """Let bleak hear a notification, of the characteristic that is notified by a socket."""
        origin = origin or self.acquired()
        for path, interfaces in self.objects.items():
            properties = interfaces.get(CHARACTERISTIC)
            if not properties or not path.startswith(link.path):
                continue
            if properties["Notifying"].value and self._origins[path] == origin:
                self.change(path, CHARACTERISTIC, Value=Variant("ay", value))

    def hide_services(self, link: Link) -> None:
        for path in [each for each in self.objects if each.startswith(f"{link.path}/")]:
            self._remove(path)

    def _show_services(self, link: Link) -> None:
        """Show a central what the peripheral has."""
        everything = [
            (name, path, interfaces)
            for name, objects in self.apps.items()
            for path, interfaces in sorted(objects.items())
        ]
        paths: dict[str, str] = {}
        for handle, (name, path, interfaces) in enumerate(everything, 0x10):
            if SERVICE in interfaces:
                paths[path] = f"{link.path}/service{handle:04x}"
                uuid = Variant("s", interfaces[SERVICE]["UUID"])
                shown = {
                    "UUID": uuid,
                    "Primary": Variant("b", True),
                    "Device": Variant("o", link.path),
                }
                self._add(paths[path], SERVICE, shown)
            elif CHARACTERISTIC in interfaces:
                properties = interfaces[CHARACTERISTIC]
                service = paths[properties["Service"]]
                shown = {
                    "UUID": Variant("s", properties["UUID"]),
                    "Service": Variant("o", service),
                    "Flags": Variant("as", properties["Flags"]),
                    "MTU": Variant("q", link.mtu),
                    "Notifying": Variant("b", False),
                    "Value": Variant("ay", b""),
                }
                self._origins[f"{service}/char{handle:04x}"] = name, path
                self._add(f"{service}/char{handle:04x}", CHARACTERISTIC, shown)

    def _handle(self, message: Message) -> Message | bool:
        if message.message_type is MessageType.SIGNAL:
            if message.member == "NameOwnerChanged" and message.body[0] in self.apps:
                self._app_left(message.body[0])
            elif message.member == "PropertiesChanged" and message.sender in self.apps:
                self._app_changed(message.sender, str(message.path), *message.body[:2])
            return False
        if message.message_type is not MessageType.METHOD_CALL or not message.path:
            return False
        if message.member == "GetManagedObjects":
            self.calls.append(message.member)
            self.news.set()
            return Message.new_method_return(message, "a{oa{sa{sv}}}", [self.objects])
        if message.interface == PROPERTIES:
            properties = self.objects[message.path][message.body[0]]
            return Message.new_method_return(message, "a{sv}", [properties])
        if message.interface == f"{DBUS}.Introspectable":
            return False
        self._start(self._answer(message))
        return True

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, call: Message) -> None:
        self.calls.append(str(call.member))
        self.news.set()
        if call.member in self.unanswered:
            return
        body: list[Any] = []
        try:
            if error := self.errors.get(str(call.member)):
                raise error
            if call.interface in MANAGERS:
                await self._manage(call)
            elif call.path not in self.objects:
                raise DBusError(f"{DBUS}.Error.UnknownObject", f"no object {call.path}")
            elif call.interface == DEVICE:
                await self._answer_device(call)
            elif call.interface == CHARACTERISTIC:
                body = await self._answer_characteristic(call)
            elif call.member == "StartDiscovery":
                if call.sender in self._scanning:
                    raise DBusError("org.bluez.Error.InProgress", "Operation already in progress")
                self._scanning.add(str(call.sender))
                if len(self._scanning) == 1:
                    self._start(self._beacon())
            elif call.member == "StopDiscovery":
                self._scanning.discard(str(call.sender))
            reply = Message.new_method_return(call, "ay" if body else "", body)
        except DBusError as error:
            reply = Message.new_error(call, error.type, error.text)
        await self.bus.send(reply)

    async def _manage(self, call: Message) -> None:
        """Take or give back a service or an advertisement."""
        assert call.sender
        path = call.body[0]
        if call.member == "RegisterApplication":
            reply = await self._call(call.sender, path, OBJECT_MANAGER, "GetManagedObjects")
            await self._watch(call.sender)
            self.apps[call.sender] = unpack_variants(reply.body[0])
        elif call.member == "RegisterAdvertisement":
            reply = await self._call(call.sender, path, PROPERTIES, "GetAll", "s", ADVERTISEMENT)
            advertised = unpack_variants(reply.body[0])
            self.advertisements[call.sender, path] = advertised
            for link in self.links:
                self.show_device(link, advertised)
        elif call.member == "UnregisterAdvertisement":
            if self.advertisements.pop((call.sender, path), None) is None:
                raise DBusError("org.bluez.Error.DoesNotExist", "Does Not Exist")
            self._hide_devices()
        elif self.apps.pop(call.sender, None) is None:
            raise DBusError("org.bluez.Error.DoesNotExist", "Does Not Exist")
        self.news.set()

    def show_device(self, link: Link, advertised: dict[str, Any]) -> None:
        if link.path in self.objects:
            known = self.objects[link.path][DEVICE]["UUIDs"].value
            uuids = list(dict.fromkeys([*known, *advertised["ServiceUUIDs"]]))
            self.change(link.path, DEVICE, UUIDs=Variant("as", uuids))
            return
        shown = {
            "Address": Variant("s", link.address),
            "AddressType": Variant("s", "random"),
            "Name": Variant("s", advertised["LocalName"]),
            "Alias": Variant("s", advertised["LocalName"]),
            "Adapter": Variant("o", ADAPTER),
            "UUIDs": Variant("as", advertised["ServiceUUIDs"]),
            "RSSI": Variant("n", -50),
            "Paired": Variant("b", False),
            "Connected": Variant("b", link.is_connected),
            "ServicesResolved": Variant("b", False),
        }
        self._add(link.path, DEVICE, shown)

    def _app_left(self, name: str) -> None:
        """The program has ended; as in BlueZ, the links to its centrals stay up."""
        del self.apps[name]
        for link in self.links:
            link.hang_up()
        for each in [each for each in self.advertisements if each[0] == name]:
            del self.advertisements[each]
        self._hide_devices()
        self.news.set()

    def _app_changed(
        self, name: str, path: str, interface: str, changed: dict[str, Variant]
    ) -> None:
        """Notify of a value, or advertise anew."""
        if interface == CHARACTERISTIC:
            for link in self.links:
                self.show_value(link, changed["Value"].value[: link.mtu - 3], (name, path))
        elif interface == ADVERTISEMENT:
            self.advertisements[name, path].update(unpack_variants(changed))
            self.news.set()

    def _hide_devices(self) -> None:
        if self.advertisements:
            return
        for link in self.links:
            if not link.is_connected and link.path in self.objects:
                self._remove(link.path)

    async def _answer_device(self, call: Message) -> None:
        link = self._link(call)
        if call.member == "Disconnect":
            if not link.is_connected:
                raise DBusError("org.bluez.Error.NotConnected", "Not Connected")
            link.drop()
        elif call.member == "Connect":
            if not self.app:
                raise DBusError("org.bluez.Error.Failed", "le-connection-abort-by-local")
            await link.connect()
            self._show_services(link)
            self.change(link.path, DEVICE, ServicesResolved=Variant("b", True))

    async def _answer_characteristic(self, call: Message) -> list[Any]:
        """What is read, as a body."""
        link, path = self._link(call), str(call.path)
        if call.member == "WriteValue":
            value, options = call.body
            kind = options["type"].value if "type" in options else "request"
            if len(value) > (link.mtu - 3 if kind == "command" else 512):
                raise DBusError("org.bluez.Error.InvalidArguments", "Invalid Length")
            await link.write(value, kind, to=self._origins[path])
        elif call.member == "StartNotify":
            self.change(path, CHARACTERISTIC, Notifying=Variant("b", True))
            name, origin = self._origins[path]
            if "NotifyAcquired" in self.apps[name][origin][CHARACTERISTIC]:
                await link.subscribe()
            else:
                await self._call(name, origin, CHARACTERISTIC, "StartNotify")
        elif call.member == "StopNotify":
            self.change(path, CHARACTERISTIC, Notifying=Variant("b", False))
            link.hang_up()
        elif call.member == "ReadValue":
            name, origin = self._origins[path]
            return [await link.read(name, origin)]
        return []

    def _link(self, call: Message) -> Link:
        return next(each for each in self.links if str(call.path).startswith(each.path))

    async def _beacon(self) -> None:
        """Let whoever scans hear the peripheral again and again."""
        rssi = -50
        while self._scanning:
            rssi = -101 - rssi
            for link in self.links:
                if not link.is_connected:
                    self.change(link.path, DEVICE, RSSI=Variant("n", rssi))
            await anyio.sleep(0.02)

    def _add(self, path: str, interface: str, properties: dict[str, Variant]) -> None:
        self.objects[path] = {interface: properties}
        added = self.objects[path]
        self._signal("/", OBJECT_MANAGER, "InterfacesAdded", "oa{sa{sv}}", path, added)

    def _remove(self, path: str) -> None:
        interfaces = list(self.objects.pop(path))
        self._signal("/", OBJECT_MANAGER, "InterfacesRemoved", "oas", path, interfaces)

    def _signal(
        self, path: str, interface: str, member: str, signature: str, *body: object
    ) -> None:
        sent = self.bus.send(Message.new_signal(path, interface, member, signature, list(body)))
        sent.add_done_callback(lambda sent: sent.cancelled() or sent.exception())

    async def _watch(self, name: str) -> None:
        rule = f"type='signal',member='NameOwnerChanged',arg0='{name}'"
        await self._call(DBUS, "/org/freedesktop/DBus", DBUS, "AddMatch", "s", rule)

    async def call(self, name: str, path: str, member: str, signature: str, *body: object) -> Any:
        """Call a characteristic of a program."""
        return await self._call(name, path, CHARACTERISTIC, member, signature, *body)

    async def _call(
        self,
        destination: str,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        *body: object,
    ) -> Message:
        reply = await self.bus.call(
            Message(destination, path, interface, member, signature=signature, body=list(body))
        )
        if reply.message_type is MessageType.ERROR:
            raise DBusError(str(reply.error_name), str(reply.body[0]) if reply.body else "")
        return reply
