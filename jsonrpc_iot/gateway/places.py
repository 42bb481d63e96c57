"""The devices' own addresses: one step below those of a gateway, where each answers as itself."""

import logging

import anyio
from anyio.abc import TaskGroup

from ..channel.changes import Change
from ..errors import TransportError, UsageError
from ..protocol.about import about
from ..server.server import Server
from .device import Device
from .face import Face

CHANGED = "gateway.device"
"""Tells at a device's own address that it has come or gone, which it cannot tell itself."""

logger = logging.getLogger("jsonrpc_iot.gateway")


class OwnPlaces:
    """The devices' addresses at one server.

    Args:
        server: the gateway's.
        tasks: serve them.
        token: the gateway's.
    """

    def __init__(self, server: Server, tasks: TaskGroup, token: str) -> None:
        self._server = server
        self._tasks = tasks
        self._token = token
        self._faces: dict[Device, tuple[Face, anyio.CancelScope]] = {}
        self._taken: set[str] = set()
        self._opening: set[Device] = set()
        self._changed = Change()

    def open(self, device: Device) -> None:
        """Give a device its address, where the server has any with a path."""
        if self._server.has_places:
            scope = anyio.CancelScope()
            self._faces[device] = face, _ = Face(device, self._token), scope
            self._opening.add(device)
            self._tasks.start_soon(self._serve, device, face, scope)

    async def all_open(self) -> None:
        """Wait until each device that is to have an address has it, or cannot have it."""
        while self._opening:
            await self._changed.wait()

    def close(self, device: Device) -> None:
        """Take a device's address from it."""
        found = self._faces.pop(device, None)
        if found is not None:
            found[1].cancel()

    def tell(self, device: Device) -> None:
        """Tell those who listen at a device's address whether it is there."""
        state = device.state
        self.emit(device, CHANGED, {"online": state.online, "since": state.since})

    def emit(self, device: Device, method: str, params: object) -> None:
        """Notify those who listen at a device's address."""
        found = self._faces.get(device)
        if found is not None:
            found[0].emit(method, params, requires=device.options.requires)

    async def _serve(self, device: Device, face: Face, scope: anyio.CancelScope) -> None:
        name = device.name
        try:
            with scope:
                while name in self._taken:  # by one of that name that was removed
                    await self._changed.wait()
                self._taken.add(name)
                try:
                    async with self._server.below(name, face):
                        self._note_opened(device)
                        await anyio.sleep_forever()
                except (TransportError, UsageError) as error:
                    logger.warning(
                        "%s has no address of its own: %s", name, error, extra=about(name)
                    )
                finally:
                    self._taken.discard(name)
        finally:
            self._note_opened(device)

    def _note_opened(self, device: Device) -> None:
        self._opening.discard(device)
        self._changed.notify()
