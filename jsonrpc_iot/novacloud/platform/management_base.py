"""What all parts of the management share: their types in JSON, and how they find a device."""

from collections.abc import Sequence
from contextvars import ContextVar
from typing import Annotated, Any

from msgspec import Meta, Struct

from jsonrpc_iot import Busy, Context, InvalidParams

from ..errors import UnknownDevice, UnknownKey
from ..store.command_log import CommandStatus
from ..store.registry import Known, Sensor, SensorType
from .admission import canonical_id
from .counts import DeviceRecord, Refused
from .open_command import OpenCommand, new_command
from .platform import NovaPlatform

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Key = Annotated[str, Meta(min_length=1, max_length=128)]
Unit = Annotated[str, Meta(max_length=32)]
UnixTime = Annotated[float, Meta(ge=0)]
Limit = Annotated[int, Meta(ge=1, le=100_000)]
Wait = Annotated[float, Meta(ge=0, le=86_400)]
Expiry = Annotated[float, Meta(gt=0, le=31_536_000)]


GivenKey = Annotated[str, Meta(min_length=16, max_length=128)]
Tags = Annotated[list[Annotated[str, Meta(min_length=1, max_length=64)]], Meta(max_length=32)]
Cursor = Annotated[str, Meta(max_length=2048)]
Count = Annotated[int, Meta(ge=1, le=1000)]
"""Rows of one page at most."""


calling: ContextVar[Context] = ContextVar("calling")
"""The context of the call that is being answered; no parameter, since callers do not give it."""


class NewDevice(Struct, frozen=True):
    """A device and its key, which is shown this once."""

    device_id: str
    device_key: str
    name: str


class NewKey(Struct, frozen=True):
    """The key of a device, which is shown this once."""

    device_id: str
    device_key: str


class DeviceInfo(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A device. Times are Unix seconds; `last_seen` is `None` until its first message."""

    device_id: str
    name: str
    enabled: bool
    online: bool
    last_seen: float | None
    created: float
    tags: tuple[str, ...] = ()


class DeviceDetails(DeviceInfo, frozen=True, kw_only=True, omit_defaults=True):
    """A device, and what helps to find out what is wrong with it. What is not known is left out.

    Args:
        address: where it is connected from.
        connected_since: since when.
        outbox_pending: reports that wait in it, as it says in its status.
        firmware_version: as it says in its status.
        refused: when it was last not let in, and why.
        counts: what has been counted of it since the platform began.
    """

    address: str | None = None
    connected_since: float | None = None
    outbox_pending: int | None = None
    firmware_version: str | None = None
    refused: Refused | None = None
    counts: DeviceRecord | None = None


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


def canonical(device_id: str) -> str:
    """A device's id as it is stored.

    Raises:
        UnknownDevice: it is no UUID.
    """
    chosen = canonical_id(device_id)
    if chosen is None:
        raise UnknownDevice(data={"device_id": device_id})
    return chosen


def printable(device_key: str) -> str:
    """A key that was made elsewhere.

    Raises:
        InvalidParams: it has characters that nobody can type.
    """
    if not device_key.isprintable():
        message = "Expected printable characters"
        raise InvalidParams(data={"path": "$.device_key", "message": message})
    return device_key


class Part:
    """Methods of one kind.

    Args:
        platform: whose.
    """

    def __init__(self, platform: NovaPlatform) -> None:
        self._platform = platform
        self._store = platform.store
        self._presence = platform.presence

    @property
    def _context(self) -> Context:
        """That of the call which is being answered."""
        return calling.get()

    async def _changed(self, device_id: str, ending: str = "") -> None:
        """Have what was changed of a device reach its connection, at whichever node that is.

        Args:
            device_id: of which device.
            ending: why its connection ends by this, empty where it may go on.
        """
        self._platform.cluster.watch.tell_changed(device_id)
        if ending:
            self._presence.note_change(device_id)
            self._presence.close(device_id, ending)
        await self._platform.changes.refresh(device_id)

    async def _known(self, device_id: str) -> Known:
        return await self._store.device(canonical(device_id))

    def _new_command(
        self, device_id: str, payload: dict[str, Any], expires: float, **more: Any
    ) -> OpenCommand:
        """See `new_command`."""
        platform = self._platform
        longest = platform.settings.line
        return new_command(
            device_id, payload, expires, now=platform.time.now(), longest=longest, **more
        )

    async def _send(self, command: OpenCommand) -> None:
        """Store a command, and send it when its device is there.

        Raises:
            UnknownDevice: there is no such device.
            Busy: too many wait for it.
        """
        (is_stored,) = await self._platform.commands.send([command])
        if not is_stored:
            await self._store.device(command.row.device_id)
            raise self._busy()

    def _busy(self) -> Busy:
        return Busy(f"{self._platform.settings.queued_commands} commands wait for the device")

    async def _sensors(self, device_id: str, value_keys: Sequence[str]) -> list[Sensor]:
        """Some sensors of a device, each once."""
        known = {sensor.value_key: sensor for sensor in (await self._known(device_id)).sensors}
        for value_key in value_keys:
            if value_key not in known:
                raise UnknownKey(data={"value_key": value_key})
        return [known[value_key] for value_key in dict.fromkeys(value_keys)]
