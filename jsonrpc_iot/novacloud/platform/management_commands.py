"""The part of the management that sends commands, and what devices' responses mean to callers."""

from typing import Any

import anyio
from msgspec import UNSET, UnsetType

from jsonrpc_iot import Busy, InvalidParams, RpcError, ServerError, TooLarge, method, service

from ..errors import DeviceDisabled, NotQueued, StoreFailed, UnknownDevice, UnknownKey
from ..store.store import CommandRow
from .ingest import fits
from .management_base import CommandRows, Expiry, Limit, Outcome, Part, Wait, canonical
from .permissions import COMMAND, READ


@service("command")
class Commands(Part):
    """Telling devices what to do."""

    @method(
        requires=COMMAND,
        errors=(UnknownDevice, UnknownKey, DeviceDisabled, Busy, TooLarge, StoreFailed),
    )
    async def send(
        self,
        device_id: str,
        payload: dict[str, Any],
        wait: bool = True,
        timeout: Wait = 10.0,
        expires: Expiry = 300.0,
        response_timeout: Expiry | None = None,
    ) -> Outcome:
        """Send a command; to a device that is not there, when it comes back.

        Args:
            device_id: whom to.
            payload: values by `command_key`.
            wait: whether to wait for the final status.
            timeout: seconds to wait; then the present status is the answer.
            expires: seconds that the command may wait for the device.
            response_timeout: seconds that the device may be silent about it: `pending` begins them
                anew. 60 by default, or what the platform is set to.
        """
        chosen = canonical(device_id)
        await self._check(chosen, payload)
        commands = self._platform.commands
        command = commands.make(chosen, payload, expires, response_timeout=response_timeout)
        await commands.send([command])
        if wait:
            with anyio.move_on_after(timeout):
                await command.finished.wait()
        row = command.row
        return Outcome(row.command_id, row.status, row.payload)

    @method(requires=COMMAND, errors=(NotQueued, StoreFailed))
    async def cancel(self, command_id: str) -> Outcome:
        """Take back a command that is queued; its device never gets it.

        Raises:
            NotQueued: it has been sent, or is not known.
        """
        row = self._platform.commands.cancel(command_id)
        if row is None:
            found = await self.get(command_id)
            status = None if found is None else found.status
            raise NotQueued(data={"command_id": command_id, "status": status})
        return Outcome(row.command_id, row.status, row.payload)

    @method(requires=READ, idempotent=True, errors=(StoreFailed,))
    async def get(self, command_id: str) -> CommandRow | None:
        """A command and what became of it, `None` for one that is not known."""
        present = self._platform.commands.find(command_id)
        return await self._store.command(command_id) if present is None else present

    @method(requires=READ, idempotent=True, errors=(UnknownDevice, StoreFailed))
    async def list(self, device_id: str | None = None, limit: Limit = 100) -> CommandRows:
        """Commands, the newest first."""
        chosen = None if device_id is None else (await self._known(device_id)).row.device_id
        rows = await self._store.commands(chosen, limit=limit)
        return [self._platform.commands.find(row.command_id) or row for row in rows]

    async def _check(self, device_id: str, payload: dict[str, Any]) -> None:
        session = self._presence.sessions.get(device_id)
        if session is None:
            known = await self._store.device(device_id)
            if not known.row.enabled:
                raise DeviceDisabled
            actuators = known.actuators
        else:
            actuators = session.actuators
        if not payload:
            raise InvalidParams(data={"path": "$.payload", "message": "Expected a command key"})
        types = {actuator.command_key: actuator.type for actuator in actuators}
        for key, value in payload.items():
            if key not in types:
                raise UnknownKey(data={"command_key": key})
            kind = types[key]
            if kind is not None and not fits(kind, value):
                message = f"Expected a {kind}"
                raise InvalidParams(data={"path": f"$.payload.{key}", "message": message})


def _member(payload: Any, name: str, key: str) -> Any:
    """`payload[name][key]`, `UNSET` where there is none."""
    group = payload.get(name) if isinstance(payload, dict) else None
    return group.get(key, UNSET) if isinstance(group, dict) else UNSET


def result_of(method: str, payload: Any) -> Any:
    """What a device's payload says of one key; the whole where it names no keys."""
    result = _member(payload, "results", method)
    if not isinstance(result, UnsetType):
        return result
    if isinstance(payload, dict) and method in payload:
        return payload[method]
    return payload


def error_of(method: str, payload: Any) -> RpcError:
    """The error that a device's payload tells of one key."""
    error = _member(payload, "errors", method)
    if isinstance(error, UnsetType):
        error = payload.get("error") if isinstance(payload, dict) else payload
    if isinstance(error, dict):
        code, message = error.get("code"), error.get("message")
        if type(code) is int and isinstance(message, str):
            return RpcError(code, message, error.get("data"))
    if isinstance(error, str):
        return ServerError(error[:1000])
    return ServerError("the device failed", payload)
