"""A connection to one service on the system's D-Bus, as bluetoothd and NetworkManager are.

Only that service is heard: any program on the bus may send signals that look like its own.

Source: the D-Bus specification, "Message Bus Messages" and "Standard Interfaces".
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import anyio
from anyio.abc import AsyncResource
from dbus_fast import (
    AuthError,
    BusType,
    DBusError,
    InvalidAddressError,
    Message,
    MessageType,
    Variant,
    unpack_variants,
)
from dbus_fast.aio import MessageBus

DBUS = "org.freedesktop.DBus"
OBJECT_MANAGER = f"{DBUS}.ObjectManager"
PROPERTIES = f"{DBUS}.Properties"

Handler = Callable[[Message, "ServiceBus"], Message | bool]
Objects = dict[str, dict[str, dict[str, Any]]]
"""Properties by the path of their object and their interface."""
Take = Callable[[Message], object]

logger = logging.getLogger("jsonrpc_iot.transports")

_CALL_SECONDS = 15.0
_CLOSE_SECONDS = 2.0
_OBJECTS = "a{oa{sa{sv}}}"
_WRONG_ANSWER = f"{DBUS}.Error.InvalidSignature"
_ABSENT = {
    f"{DBUS}.Error.ServiceUnknown",
    f"{DBUS}.Error.NameHasNoOwner",
    f"{DBUS}.Error.NoReply",
    f"{DBUS}.Error.Disconnected",
    f"{DBUS}.Error.TimedOut",
}
_DENIED = {f"{DBUS}.Error.AccessDenied", f"{DBUS}.Error.AuthFailed"}


class BusError(Exception):
    """A call of a service failed.

    Args:
        name: what D-Bus calls the error.
        text: what the service says of it.
    """

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{text} ({name})" if text else name)
        self.name = name

    @property
    def is_denied(self) -> bool:
        """D-Bus itself does not let us call the service."""
        return self.name in _DENIED

    @property
    def is_absence(self) -> bool:
        """The service does not answer, or cannot be started."""
        return self.name in _ABSENT or self.name.startswith(f"{DBUS}.Error.Spawn.")


class ServiceBus(AsyncResource):
    """An open connection; `open_bus` makes one.

    Args:
        bus: the connection.
        service: the well-known name of the service.
        handler: is shown each call, and after `watch` the service's signals and `NameOwnerChanged`;
            it answers or raises `DBusError`.
        on_closed: is called when the connection is gone.

    Attributes:
        closed: is set when the connection is gone.
        owner: who the service is at present, `""` where there is none; kept after `watch`.
    """

    def __init__(
        self, bus: MessageBus, service: str, handler: Handler, on_closed: Callable[[], object]
    ) -> None:
        self.closed = asyncio.Event()
        self.owner = ""
        self._bus = bus
        self._service = service
        self._handler = handler
        self._on_closed = on_closed
        self._calls: dict[int, tuple[asyncio.Future[Message], Take]] = {}
        bus.add_message_handler(self._handle)
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    async def call(
        self,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        *body: object,
        gives: str | None = None,
    ) -> list[Any]:
        """Call the service.

        Args:
            path: of the object.
            interface: of the method.
            member: the method.
            signature: of its arguments.
            body: its arguments.
            gives: the signature that the answer must have; any where it is left out.

        Raises:
            BusError: it failed, or there is no such service.
        """
        reply = await self._call(self._service, path, interface, member, signature, *body)
        if gives is not None and reply.signature != gives:
            raise BusError(_WRONG_ANSWER, f"{member} gives something else than {gives}")
        return reply.body

    async def objects(
        self, root: str = "/", take: Callable[[Objects], object] | None = None
    ) -> Objects:
        """All objects of the service.

        Args:
            root: the path of its object manager.
            take: is given them before the handler hears any signal that is newer.

        Raises:
            BusError: there is no such service.
        """
        objects: Objects = {}

        def read(reply: Message) -> None:
            if reply.signature == _OBJECTS:
                objects.update(unpack_variants(reply.body[0]))
                if take is not None:
                    take(objects)

        arguments = (self._service, root, OBJECT_MANAGER, "GetManagedObjects", "")
        reply = await self._call(*arguments, take=read)
        if reply.signature != _OBJECTS:
            raise BusError(_WRONG_ANSWER, "GetManagedObjects gives no objects")
        return objects

    def send(self, message: Message) -> "asyncio.Future[None]":
        """Send a message at once; the future is done when the system has it."""
        try:
            return self._bus.send(message)
        except (OSError, ValueError) as error:  # dbus-fast (5.2) trips over what has just died
            failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            failed.set_exception(OSError(str(error)))
            return failed

    def tell_changes(self, path: str, interface: str, changed: Mapping[str, Variant]) -> None:
        """Tell the service alone that properties of an object of ours have changed."""
        signal = Message.new_signal(
            path, PROPERTIES, "PropertiesChanged", "sa{sv}as", [interface, dict(changed), []]
        )
        signal.destination = self._service
        self.send(signal).add_done_callback(_note)

    async def aclose(self) -> None:
        """Disconnect, which takes back all that was registered."""
        self._bus.disconnect()
        with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
            await self.closed.wait()

    async def watch(self, *signals: str) -> None:
        """Hear from here on who the service is, and signals of it.

        Args:
            signals: match rules, without their sender.

        Raises:
            BusError: D-Bus does not let us.
        """
        rules = [f"type='signal',sender='{self._service}',{signal}" for signal in signals]
        rules.append(
            f"type='signal',sender='{DBUS}',member='NameOwnerChanged',arg0='{self._service}'"
        )
        for rule in rules:
            await self._ask_bus("AddMatch", rule)
        try:
            self.owner = str((await self._ask_bus("GetNameOwner", self._service)).body[0])
        except BusError as error:
            if not error.is_absence:
                raise

    async def _ask_bus(self, member: str, argument: str) -> Message:
        return await self._call(DBUS, "/org/freedesktop/DBus", DBUS, member, "s", argument)

    async def _call(
        self,
        destination: str,
        path: str,
        interface: str,
        member: str,
        signature: str,
        *body: object,
        take: Take = bool,
    ) -> Message:
        if self.closed.is_set():
            raise BusError(f"{DBUS}.Error.Disconnected", "the D-Bus system bus is gone")
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
                reply = await self._ask(message, take)
        except TimeoutError:
            raise BusError(f"{DBUS}.Error.TimedOut", f"no answer to {member}") from None
        except (OSError, EOFError) as error:
            raise BusError(f"{DBUS}.Error.Disconnected", str(error)) from error
        if reply.message_type is MessageType.ERROR:
            text = reply.body[0] if reply.body and isinstance(reply.body[0], str) else ""
            raise BusError(str(reply.error_name), text)
        return reply

    async def _ask(self, message: Message, take: Take) -> Message:
        """Send a call and wait for its reply.

        dbus-fast (5.2) has a method for that, which loses the error of a send that fails.
        """
        reply: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        message.serial = self._bus.next_serial()
        self._calls[message.serial] = reply, take
        try:
            self.send(message).add_done_callback(partial(_fail, reply))
            return await reply
        finally:
            del self._calls[message.serial]

    def _handle(self, message: Message) -> Message | bool:
        is_reply = message.message_type in {MessageType.METHOD_RETURN, MessageType.ERROR}
        waiting = self._calls.get(message.reply_serial or 0) if is_reply else None
        if waiting is None:
            return self._is_meant(message) and self._handler(message, self)
        reply, take = waiting
        if not reply.done():
            take(message)
            reply.set_result(message)
        return True

    def _is_meant(self, message: Message) -> bool:
        """Whether a message is for the handler; notes who the service is."""
        if message.message_type is not MessageType.SIGNAL:
            return True
        if message.sender != DBUS:
            return bool(self.owner) and message.sender == self.owner
        if message.member != "NameOwnerChanged" or message.body[0] != self._service:
            return False
        self.owner = message.body[2]
        return True

    async def _watch(self) -> None:
        try:
            await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
        except (OSError, EOFError, DBusError) as error:
            logger.info("the D-Bus system bus is gone: %s", error)
        finally:
            self.closed.set()
            for reply, _ in self._calls.values():
                if not reply.done():
                    reply.set_exception(EOFError("the D-Bus system bus is gone"))
            self._on_closed()


def _note(sent: "asyncio.Future[None]") -> None:
    if not sent.cancelled() and (error := sent.exception()):
        logger.debug("a signal did not reach D-Bus: %s", error)


def _fail(reply: "asyncio.Future[Message]", sent: "asyncio.Future[None]") -> None:
    """Fail a call that could not be sent."""
    error = None if sent.cancelled() else sent.exception()
    if error is not None and not reply.done():
        reply.set_exception(error)


async def open_bus(service: str, handler: Handler, on_closed: Callable[[], object]) -> ServiceBus:
    """Connect to the system's D-Bus.

    Args:
        service: the well-known name of the one service that is spoken to.
        handler: see `ServiceBus`.
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
    return ServiceBus(bus, service, handler, on_closed)


def without_bus(error: Exception) -> str:
    """What to do where there is no D-Bus to connect to."""
    return (
        f"there is no D-Bus system bus: {str(error) or type(error).__name__}; start it (the "
        "package dbus), or name it in DBUS_SYSTEM_BUS_ADDRESS, as in a container"
    )
