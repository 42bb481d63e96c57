"""What all parts of the management share: their types in JSON, and how they find a device."""

from typing import Annotated, Any, TypeAlias

from msgspec import Meta, Struct

from ..errors import UnknownDevice, UnknownKey
from ..store.store import Actuator, CommandRow, CommandStatus, Known, Sensor, SensorType
from .admission import canonical_id
from .platform import NovaPlatform

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Key = Annotated[str, Meta(min_length=1, max_length=128)]
Unit = Annotated[str, Meta(max_length=32)]
UnixTime = Annotated[float, Meta(ge=0)]
Limit = Annotated[int, Meta(ge=1, le=100_000)]
Wait = Annotated[float, Meta(ge=0, le=86_400)]
Expiry = Annotated[float, Meta(gt=0, le=31_536_000)]


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


# Inside a class with a method `list` that word means the method.
DeviceInfos: TypeAlias = list[DeviceInfo]
SensorInfos: TypeAlias = list[SensorInfo]
ActuatorList: TypeAlias = list[Actuator]
CommandRows: TypeAlias = list[CommandRow]


def canonical(device_id: str) -> str:
    """A device's id as it is stored.

    Raises:
        UnknownDevice: it is no UUID.
    """
    chosen = canonical_id(device_id)
    if chosen is None:
        raise UnknownDevice(data={"device_id": device_id})
    return chosen


class Part:
    """Methods of one kind.

    Args:
        platform: whose.
    """

    def __init__(self, platform: NovaPlatform) -> None:
        self._platform = platform
        self._store = platform.store
        self._presence = platform.presence

    async def _known(self, device_id: str) -> Known:
        return await self._store.device(canonical(device_id))

    async def _sensor(self, device_id: str, value_key: str) -> Sensor:
        for sensor in (await self._known(device_id)).sensors:
            if sensor.value_key == value_key:
                return sensor
        raise UnknownKey(data={"value_key": value_key})
