"""The part of the management that sends commands, and what devices' responses mean to callers."""

from collections.abc import Mapping
from typing import Any

import anyio
from msgspec import UNSET, UnsetType

from jsonrpc_iot import (
    Busy,
    DeadlineExceeded,
    InvalidParams,
    RpcError,
    ServerError,
    TooLarge,
    method,
)

from ..errors import DeviceDisabled, NotQueued, StoreFailed, UnknownDevice, UnknownKey
from ..store.command_log import CommandRow, CommandStatus
from ..store.registry import SensorType
from .ingest import fits
from .management_base import Expiry, Key, Limit, Outcome, Part, Wait, canonical
from .permissions import COMMAND, READ


class CommandMethods(Part):
    """Telling devices what to do."""

    @method(
        "device.call",
        requires=COMMAND,
        effect="change",
        errors=(UnknownDevice, UnknownKey, DeviceDisabled, DeadlineExceeded, StoreFailed),
    )
    async def device_call(
        self, device_id: str, method: Key, params: Any = None, timeout: Wait = 10.0
    ) -> Any:
        """Send a command with one key and return what the device says to it.

        Args:
            device_id: whom to call.
            method: the command key.
            params: its value.
            timeout: seconds; what has not reached the device by then never does.

        Raises:
            RpcError: the device's own error.
            DeadlineExceeded: it did not answer in time.
        """
        outcome = await self.command_send(
            device_id, {method: params}, timeout=timeout, expires=max(timeout, 0.001)
        )
        if outcome.status is CommandStatus.SUCCESS:
            return result_of(method, outcome.payload)
        if outcome.status is CommandStatus.ERROR:
            raise error_of(method, outcome.payload)
        raise DeadlineExceeded(
            data={"command_id": outcome.command_id, "status": outcome.status.value}
        )

    @method(
        "command.send",
        requires=COMMAND,
        effect="change",
        errors=(UnknownDevice, UnknownKey, DeviceDisabled, Busy, TooLarge, StoreFailed),
    )
    async def command_send(
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
        command = self._new_command(chosen, payload, expires, response_timeout=response_timeout)
        await self._send(command)
        row = command.row
        if wait:
            with anyio.move_on_after(timeout):
                await self._platform.shared_commands.wait(row)
            row = await self._platform.shared_commands.present(row)
        return Outcome(row.command_id, row.status, row.payload)

    @method("command.cancel", requires=COMMAND, effect="change", errors=(NotQueued, StoreFailed))
    async def command_cancel(self, command_id: str) -> Outcome:
        """Take back a command that is queued; its device never gets it.

        Raises:
            NotQueued: it has been sent, or is not known.
        """
        row = await self._platform.shared_commands.cancel(command_id)
        if row is None:
            found = await self.command_get(command_id)
            status = None if found is None else found.status
            raise NotQueued(data={"command_id": command_id, "status": status})
        return Outcome(row.command_id, row.status, row.payload)

    @method("command.get", requires=READ, idempotent=True, effect="read", errors=(StoreFailed,))
    async def command_get(self, command_id: str) -> CommandRow | None:
        """A command and what became of it, `None` for one that is not known."""
        present = self._platform.commands.table.find(command_id)
        return await self._store.command(command_id) if present is None else present

    @method(
        "command.list",
        requires=READ,
        idempotent=True,
        effect="read",
        errors=(UnknownDevice, StoreFailed),
    )
    async def command_list(
        self, device_id: str | None = None, limit: Limit = 100
    ) -> list[CommandRow]:
        """Commands, the newest first."""
        chosen = None if device_id is None else (await self._known(device_id)).row.device_id
        rows = await self._store.commands(chosen, limit=limit)
        return [self._platform.commands.table.find(row.command_id) or row for row in rows]

    async def _check(self, device_id: str, payload: dict[str, Any]) -> None:
        session = self._presence.sessions.get(device_id)
        if session is None:
            known = await self._store.device(device_id)
            if not known.row.enabled:
                raise DeviceDisabled
            actuators = known.actuators
        else:
            actuators = session.actuators
        check(payload, {actuator.command_key: actuator.type for actuator in actuators})


def check(payload: dict[str, Any], types: Mapping[str, SensorType | None]) -> None:
    """See that a device has the actuators that a command is for.

    Raises:
        InvalidParams: the command is empty, or has a value of another type than the actuator's.
        UnknownKey: the device has no such actuator.
    """
    if not payload:
        raise InvalidParams(data={"path": "$.payload", "message": "Expected a command key"})
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
