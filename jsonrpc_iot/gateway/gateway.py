"""`Gateway`: a dispatcher whose methods are those of many devices, under their names."""

import re
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Self

import anyio
from anyio.abc import TaskGroup
from msgspec import structs

from ..channel.tasks import task_group
from ..client.client import Client
from ..dispatch.declare.event import BoundEvent, Event
from ..dispatch.declare.service import method, service
from ..dispatch.declare.target import CALL_SECONDS
from ..dispatch.dispatcher import Dispatcher
from ..errors import UsageError
from ..protocol.limits import DEFAULT_LIMITS, Limits
from ..server.server import Server
from .device import Device
from .places import OwnPlaces
from .state import DeviceChange, DeviceState
from .ways import Where, ways_to

_NAME = re.compile(r"[^\s./\\+#?%&=\x00-\x1f\x7f]{1,64}")
_TAKEN = ("gateway", "online", "response", "rpc", "ticket")  # names and places beside devices


@service("gateway")
class _Management:
    """What a gateway tells of its devices."""

    changed = Event[DeviceChange]()

    def __init__(self, gateway: "Gateway") -> None:
        self._gateway = gateway

    @method(idempotent=True, effect="read")
    def devices(self) -> list[DeviceState]:
        """List the devices, sorted by name, and whether they are there."""
        return self._gateway.devices()


class Gateway(Dispatcher, anyio.AsyncContextManagerMixin):
    """Many devices behind one address.

    A method `set` of the device `lamp` is `lamp.set` here, and so are notifications, both ways.
    Where the gateway is served at addresses with a path, over HTTP, WebSockets and MQTT, each
    device has an address of its own as well, one step below, where it answers as if it were there
    itself.

    The connections to the devices live as long as the gateway's `async with` block, which may be
    entered again once it has ended.

    Args:
        debug: as for a `Dispatcher`.
        limits: bounds on the messages that it takes, from callers and from devices.
        title: what its description calls it.
        version: that of its software, for its description; this package's own by default.
        description: more about it.

    Raises:
        RuntimeError: on entering the block: the gateway runs already.

    Attributes:
        changed: emits the state of each device that comes, goes, is added or removed.
    """

    def __init__(
        self,
        *,
        debug: bool = False,
        limits: Limits = DEFAULT_LIMITS,
        title: str = "Gateway",
        version: str | None = None,
        description: str | None = None,
    ) -> None:
        super().__init__(
            debug=debug, limits=limits, title=title, version=version, description=description
        )
        management = _Management(self)
        self.changed: BoundEvent[DeviceChange] = management.changed
        self.include(management)
        self._devices: dict[str, Device] = {}
        self._scopes: dict[str, anyio.CancelScope] = {}
        self._tasks: TaskGroup | None = None
        self._answers = Dispatcher(limits=limits)
        self._token = secrets.token_hex(8)
        self._places: list[OwnPlaces] = []

    def add(
        self,
        name: str,
        where: Where | Sequence[Where] | Client,
        *,
        wait: float = 0.0,
        allow: Iterable[str] = (),
        deny: Iterable[str] = (),
        timeout: float | None = CALL_SECONDS,
        requires: str | None = None,
    ) -> None:
        """Have a device answer under a name, also while the gateway runs.

        Args:
            name: of the device here: without dots, slashes and spaces, as it is part of names of
                methods, of paths and topics.
            where: its URL; or several, the best one first, as for `connect`; or a dispatcher of
                this program; or an open client, which somebody else keeps connected.
            wait: seconds that a call waits for the device where it is away.
            allow: names that may be used there, and beginnings of names as in `lamp.*`: of methods
                and notifications, both ways. All by default.
            deny: those that may not.
            timeout: seconds that the device may take for a call whose caller does not say; `None`
                for any time.
            requires: the permission that a caller needs for anything there.

        Raises:
            UsageError: the name is taken, or can be none; or an option makes no sense.
            ValueError: the name is a method's.
            InvalidUrl: a URL makes no sense.
        """
        check_name(name)
        if name in self._devices:
            raise UsageError(f"there is a device {name!r} already")
        if isinstance(allow, str) or isinstance(deny, str):
            raise UsageError(f"{name!r}: allow and deny take lists of names, as in ['lamp.*']")
        if wait < 0 or (timeout is not None and timeout <= 0):
            raise UsageError(f"{name!r}: wait has to be 0 s or more, and timeout more than 0 s")
        device = Device(
            name,
            where if isinstance(where, Client) else ways_to(where, self.limits),
            self._answers,
            wait=wait,
            allow=allow,
            deny=deny,
            timeout=timeout,
            requires=requires,
            token=self._token,
        )
        self._forward(name, device)
        self._devices[name] = device
        device.on_change = lambda: self._tell(device)
        device.on_notification = lambda method, params: self._hear(device, method, params)
        if self._tasks is not None:
            self._tasks.start_soon(self._run, device, self._tasks)
        for places in self._places:
            places.open(device)
        self._tell(device)

    def remove(self, name: str) -> None:
        """Part with a device, also while the gateway runs. What it has not answered yet fails.

        Args:
            name: of the device here.

        Raises:
            ValueError: no device has that name.
        """
        if name not in self._devices:
            raise UsageError(f"no device is called {name!r}")
        self._table.withdraw(name)
        device = self._devices.pop(name)
        device.is_watched = False
        scope = self._scopes.pop(name, None)
        if scope is not None:
            scope.cancel()
        for places in self._places:
            places.close(device)
        change = DeviceChange(*structs.astuple(device.state))
        self.changed.emit(structs.replace(change, online=False, since=time.time(), removed=True))

    def devices(self) -> list[DeviceState]:
        """The devices, sorted by name, and whether they are there."""
        return [self._devices[name].state for name in sorted(self._devices)]

    @asynccontextmanager
    async def __asynccontextmanager__(self) -> AsyncGenerator[Self, None]:
        """Connect to the devices, and keep the connections until the block ends."""
        async with task_group() as tasks:
            self._tasks = tasks
            for device in self._devices.values():
                tasks.start_soon(self._run, device, tasks)
            try:
                yield self
            finally:
                self._tasks = None
                for device in self._devices.values():
                    device.is_watched = False
                tasks.cancel_scope.cancel()

    @asynccontextmanager
    async def while_served(self, server: Server) -> AsyncIterator[None]:
        """Give each device an address of its own below those of a server; see `Dispatcher`."""
        async with task_group() as tasks:
            places = OwnPlaces(server, tasks, self._token)
            for device in self._devices.values():
                places.open(device)
            self._places.append(places)
            try:
                await places.all_open()
                yield
            finally:
                self._places.remove(places)
                tasks.cancel_scope.cancel()

    async def _run(self, device: Device, tasks: TaskGroup) -> None:
        with anyio.CancelScope() as scope:
            if self._devices.get(device.name) is device:
                self._scopes[device.name] = scope
                await device.run(tasks)

    def _tell(self, device: Device) -> None:
        self.changed.emit(DeviceChange(*structs.astuple(device.state)))
        for places in self._places:
            places.tell(device)

    def _hear(self, device: Device, method: str, params: object) -> None:
        requires = device.options.requires
        self.emit(f"{device.name}.{method}", params, requires=requires)
        for places in self._places:
            places.emit(device, method, params)


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a device, as it is part of paths, topics and methods.

    Raises:
        UsageError: it cannot.
    """
    problem = ""
    if name in _TAKEN:
        problem = "the gateway has that itself"
    elif not _NAME.fullmatch(name):
        problem = "it takes 1 to 64 characters, without spaces and . / \\ + # ? % & ="
    if problem:
        raise UsageError(f"{name!r} cannot be the name of a device: {problem}")
