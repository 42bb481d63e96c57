"""A connection to bluetoothd over the system's D-Bus, and what to do where there is none.

Source: BlueZ, doc/org.bluez.*.rst; for errors, the D-Bus specification and BlueZ's `src/error.c`.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import anyio
from anyio.abc import AsyncResource
from dbus_fast import (
    AuthError,
    BusType,
    DBusError,
    InvalidAddressError,
    Message,
    MessageType,
    unpack_variants,
)
from dbus_fast.aio import MessageBus

from .objects import OBJECT_MANAGER

BLUEZ = "org.bluez"
ADAPTER = "org.bluez.Adapter1"
DEVICE = "org.bluez.Device1"
GATT_MANAGER = "org.bluez.GattManager1"
ADVERTISING_MANAGER = "org.bluez.LEAdvertisingManager1"

DBUS = "org.freedesktop.DBus"

Handler = Callable[[Message, "BluezBus"], Message | bool]
Objects = dict[str, dict[str, dict[str, Any]]]
"""Properties by the path of their object and their interface."""

logger = logging.getLogger("jsonrpc_iot.transports")

_CALL_SECONDS = 15.0
_CLOSE_SECONDS = 2.0
_SIGNALS = (
    f"type='signal',sender='{DBUS}',member='NameOwnerChanged',arg0='{BLUEZ}'",
    f"type='signal',sender='{BLUEZ}',member='PropertiesChanged',arg0='{DEVICE}'",
    f"type='signal',sender='{BLUEZ}',member='PropertiesChanged',arg0='{ADAPTER}'",
    f"type='signal',sender='{BLUEZ}',interface='{OBJECT_MANAGER}'",
)
_ABSENT = {
    f"{DBUS}.Error.ServiceUnknown",
    f"{DBUS}.Error.NameHasNoOwner",
    f"{DBUS}.Error.NoReply",
    f"{DBUS}.Error.Disconnected",
    f"{DBUS}.Error.TimedOut",
}
_DENIED = {f"{DBUS}.Error.AccessDenied", f"{DBUS}.Error.AuthFailed"}


class BluezError(Exception):
    """A call of bluetoothd failed.

    Args:
        name: what D-Bus calls the error.
        text: what bluetoothd says of it.
    """

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{text} ({name})" if text else name)
        self.name = name

    def advice(self) -> str:
        """What is wrong, and what to do."""
        if self.name in _DENIED:
            return (
                f"no permission to use bluetoothd: {self}; run as root, or as a user whom "
                "/etc/dbus-1/system.d/bluetooth.conf allows it, often the group bluetooth"
            )
        if self.name in _ABSENT or self.name.startswith(f"{DBUS}.Error.Spawn."):
            return (
                f"bluetoothd does not answer: {self}; install BlueZ (the package bluez) and start "
                "it: systemctl start bluetooth"
            )
        return f"bluetoothd refuses: {self}"


class BluezBus(AsyncResource):
    """An open connection; `open_bus` makes one.

    Args:
        bus: the connection.
        handler: is shown each message, and answers it or raises `DBusError`.
        on_closed: is called when the connection is gone.

    Attributes:
        closed: is set when the connection is gone.
    """

    def __init__(self, bus: MessageBus, handler: Handler, on_closed: Callable[[], object]) -> None:
        self.closed = asyncio.Event()
        self._bus = bus
        self._handler = handler
        self._on_closed = on_closed
        self._calls: dict[int, asyncio.Future[Message]] = {}
        bus.add_message_handler(self._handle)
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    async def call(
        self, path: str, interface: str, member: str, signature: str = "", *body: object
    ) -> list[Any]:
        """Call bluetoothd.

        Raises:
            BluezError: it failed, or there is no bluetoothd.
        """
        return await self._call(BLUEZ, path, interface, member, signature, *body)

    async def objects(self) -> Objects:
        """All objects of bluetoothd.

        Raises:
            BluezError: there is no bluetoothd.
        """
        (objects,) = await self.call("/", OBJECT_MANAGER, "GetManagedObjects")
        return cast(Objects, unpack_variants(objects))

    def send(self, message: Message) -> "asyncio.Future[None]":
        """Send a message at once; the future is done when the system has it."""
        try:
            return self._bus.send(message)
        except (OSError, ValueError) as error:  # dbus-fast (5.2) trips over what has just died
            failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            failed.set_exception(OSError(str(error)))
            return failed

    async def aclose(self) -> None:
        """Disconnect, which takes back all that was registered."""
        self._bus.disconnect()
        with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
            await self.closed.wait()

    async def watch_signals(self) -> None:
        """Hear from here on of bluetoothd, its adapters and devices.

        Raises:
            BluezError: D-Bus does not let us.
        """
        for rule in _SIGNALS:
            await self._call(DBUS, "/org/freedesktop/DBus", DBUS, "AddMatch", "s", rule)

    async def _call(
        self,
        destination: str,
        path: str,
        interface: str,
        member: str,
        signature: str,
        *body: object,
    ) -> list[Any]:
        if self.closed.is_set():
            raise BluezError(f"{DBUS}.Error.Disconnected", "the D-Bus system bus is gone")
        message = Message(
            destination=destination,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=list(body),
        )
        try:
            with anyio.fail_after(_CALL_SECONDS):
                reply = await self._ask(message)
        except TimeoutError:
            raise BluezError(f"{DBUS}.Error.TimedOut", f"no answer to {member}") from None
        except (OSError, EOFError) as error:
            raise BluezError(f"{DBUS}.Error.Disconnected", str(error)) from error
        if reply.message_type is MessageType.ERROR:
            text = reply.body[0] if reply.body and isinstance(reply.body[0], str) else ""
            raise BluezError(str(reply.error_name), text)
        return reply.body

    async def _ask(self, message: Message) -> Message:
        """Send a call and wait for its reply.

        dbus-fast (5.2) has a method for that, which loses the error of a send that fails.
        """
        reply: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        message.serial = self._bus.next_serial()
        self._calls[message.serial] = reply
        try:
            self.send(message).add_done_callback(partial(_fail, reply))
            return await reply
        finally:
            del self._calls[message.serial]

    def _handle(self, message: Message) -> Message | bool:
        is_reply = message.message_type in {MessageType.METHOD_RETURN, MessageType.ERROR}
        waiting = self._calls.get(message.reply_serial or 0) if is_reply else None
        if waiting is None:
            return self._handler(message, self)
        if not waiting.done():
            waiting.set_result(message)
        return True

    async def _watch(self) -> None:
        try:
            await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
        except (OSError, EOFError, DBusError) as error:
            logger.info("the D-Bus system bus is gone: %s", error)
        finally:
            self.closed.set()
            for waiting in self._calls.values():
                if not waiting.done():
                    waiting.set_exception(EOFError("the D-Bus system bus is gone"))
            self._on_closed()


def _fail(reply: "asyncio.Future[Message]", sent: "asyncio.Future[None]") -> None:
    """Fail a call that could not be sent."""
    error = None if sent.cancelled() else sent.exception()
    if error is not None and not reply.done():
        reply.set_exception(error)


async def open_bus(handler: Handler, on_closed: Callable[[], object]) -> BluezBus:
    """Connect to the system's D-Bus.

    Args:
        handler: is shown each message, and answers it or raises `DBusError`.
        on_closed: is called when the connection is gone.

    Raises:
        OSError: there is no D-Bus, or it does not let us in; the text says what to do.
    """
    try:
        bus = MessageBus(
            bus_type=BusType.SYSTEM, negotiate_unix_fd=True, auth_timeout=_CALL_SECONDS
        )
        await bus.connect()
    except (OSError, EOFError, InvalidAddressError, AuthError) as error:
        raise OSError(without_bus(error)) from error
    return BluezBus(bus, handler, on_closed)


def without_bus(error: Exception) -> str:
    """What to do where there is no D-Bus to connect to."""
    return (
        f"there is no D-Bus system bus: {str(error) or type(error).__name__}; start it (the "
        "package dbus), or name it in DBUS_SYSTEM_BUS_ADDRESS, as in a container"
    )
