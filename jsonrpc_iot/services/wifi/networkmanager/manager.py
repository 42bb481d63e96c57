"""NetworkManager as it is at present: its objects, calls of it, and whether it is there at all."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import anyio
from dbus_fast import Message, MessageType

from jsonrpc_iot import Forbidden
from jsonrpc_iot.transports.dbus import OBJECT_MANAGER, BusError, Objects, ServiceBus, open_bus

from ..interface import NoWifiHardware, WifiError
from .mirror import Mirror
from .names import ACTIVE, DEVICE, ROOT, SERVICE

logger = logging.getLogger("jsonrpc_iot.wifi")

Listener = Callable[[str, str, Sequence[Any]], object]
"""Gets the path, member and body of a signal, `NameOwnerChanged` among them."""

_SIGNALS = (
    f"path='{ROOT}',interface='{OBJECT_MANAGER}'",
    f"path_namespace='{ROOT}',interface='org.freedesktop.DBus.Properties'",
    f"path_namespace='{ROOT}',interface='{DEVICE}',member='StateChanged'",
    f"path_namespace='{ROOT}',interface='{ACTIVE}',member='StateChanged'",
)
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 8.0
_NOT_RUNNING = (
    "NetworkManager does not run; install it (the package network-manager) and start it: "
    "systemctl start NetworkManager"
)
_NO_PERMISSION = (
    "NetworkManager does not let this program do that: {}; run it as root, or have polkit allow it "
    '(the package polkitd, and a rule as in docs/wifi.md, "Permissions")'
)


class Refused(WifiError):
    """NetworkManager has refused a call, or its object is gone.

    Its `kind` is the last part of what D-Bus calls the error.
    """

    message = "NetworkManager refuses"
    kind = ""


class Manager:
    """NetworkManager, followed while `run` runs.

    Args:
        on_change: is called whenever something of its objects has changed.

    Attributes:
        mirror: its objects, none while it is away.
    """

    def __init__(self, on_change: Callable[[], object]) -> None:
        self.mirror = Mirror()
        self._on_change = on_change
        self._bus: ServiceBus | None = None
        self._problem = "NetworkManager is followed in an async with block of the service alone"
        self._is_current = False
        self._listeners: list[Listener] = []
        self._news = anyio.Event()

    async def run(self, on_looked: Callable[[], object]) -> None:
        """Keep a connection to D-Bus and follow NetworkManager there, until cancelled.

        Args:
            on_looked: is called once it is known whether there is a NetworkManager, and again.
        """
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                async with await open_bus(SERVICE, self._handle, self._changed) as self._bus:
                    await self._bus.watch(*_SIGNALS)
                    pause = _FIRST_PAUSE_SECONDS
                    await self._follow(self._bus, on_looked)
            except (BusError, OSError) as error:
                self._lose(str(error))
            on_looked()
            await anyio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _follow(self, bus: ServiceBus, on_looked: Callable[[], object]) -> None:
        """Have all objects of each NetworkManager that comes, until the connection is gone."""
        while not bus.closed.is_set():
            owner = bus.owner
            if not owner:
                self._lose(_NOT_RUNNING)
            else:
                try:
                    await bus.objects(ROOT, self._take)
                except BusError as error:
                    if bus.owner == owner:  # it is there, and does not answer
                        self._lose(self._refusal(error).message)
            on_looked()
            await self.until(lambda: bus.closed.is_set() or bus.owner != owner)  # noqa: B023
            self._is_current = False
        self._lose("the D-Bus system bus is gone")

    async def call(
        self,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        *body: object,
        gives: str | None = None,
    ) -> list[Any]:
        """Call a method of one of its objects.

        Args:
            path: of the object.
            interface: of the method.
            member: the method.
            signature: of its arguments.
            body: its arguments.
            gives: the signature that the answer must have.

        Raises:
            Forbidden: D-Bus or polkit does not let us; the text says what to do.
            NoWifiHardware: there is no NetworkManager.
            Refused: it refuses, or the object is gone.
        """
        if self._bus is None or not self._is_current:
            raise NoWifiHardware(self._problem)
        try:
            return await self._bus.call(path, interface, member, signature, *body, gives=gives)
        except BusError as error:
            raise self._refusal(error) from error

    def _refusal(self, error: BusError) -> WifiError | Forbidden:
        kind = error.name.rpartition(".")[2]
        if error.is_denied or kind in {"PermissionDenied", "NotAuthorized"}:
            return Forbidden(_NO_PERMISSION.format(error))
        if error.is_absence:
            return NoWifiHardware(f"{_NOT_RUNNING} ({error})")
        refused = Refused(f"NetworkManager refuses: {error}")
        refused.kind = kind
        return refused

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something holds that depends on its objects."""
        while not condition():
            await self._news.wait()

    @contextmanager
    def heard_by(self, listener: Listener) -> Iterator[None]:
        """Tell of each signal, after the mirror shows what it says."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    def need(self) -> None:
        """Raises `NoWifiHardware` where there is no NetworkManager; the text says what to do."""
        if not self._is_current:
            raise NoWifiHardware(self._problem)

    def _handle(self, message: Message, bus: ServiceBus) -> bool:
        if message.message_type is not MessageType.SIGNAL:
            return False
        path, member, body = message.path or "", message.member or "", message.body
        if member == "NameOwnerChanged":
            if body[1]:
                self._lose(_NOT_RUNNING)
            self._tell(path, member, body)
        elif self._is_current and (
            self.mirror.hear(path, member, body) or member == "StateChanged"
        ):
            self._tell(path, member, body)
        return False

    def _take(self, objects: Objects) -> None:
        self._is_current = True
        self.mirror.replace(objects)
        self._changed()

    def _lose(self, problem: str) -> None:
        """There is no NetworkManager any more."""
        if self._is_current or problem != self._problem:
            logger.warning("wifi: %s", problem)
        self._is_current = False
        self._problem = problem
        self.mirror.replace({})
        self._changed()

    def _tell(self, path: str, member: str, body: Sequence[Any]) -> None:
        for listener in list(self._listeners):
            listener(path, member, body)
        self._changed()

    def _changed(self) -> None:
        self._news.set()
        self._news = anyio.Event()
        self._on_change()
