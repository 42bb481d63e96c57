"""Shapes of the management's answers, and what a device's response means to who called it."""

from typing import Any

from msgspec import UNSET, Struct, UnsetType

from jsonrpc_iot import RpcError, ServerError

from ..store.store import CommandStatus, SensorType


class NewDevice(Struct, frozen=True):
    """A device and its key, which is shown this once."""

    device_id: str
    device_key: str
    name: str


class NewKey(Struct, frozen=True):
    """The key of a device, which is shown this once."""

    device_id: str
    device_key: str


class DeviceInfo(Struct, frozen=True):
    """A device. Times are Unix seconds; `last_seen` is `None` until its first message."""

    device_id: str
    name: str
    enabled: bool
    online: bool
    last_seen: float | None
    created: float


class SensorInfo(Struct, frozen=True):
    """A sensor of a device."""

    value_key: str
    type: SensorType
    unit: str | None = None


class Outcome(Struct, frozen=True):
    """Where a command is; `payload` is that of the device's last response."""

    command_id: str
    status: CommandStatus
    payload: Any = None


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
        return ServerError(error[:1000] or None)
    return ServerError("the device failed", payload)
