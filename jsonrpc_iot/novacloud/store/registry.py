"""What a platform knows of its devices, and the contract of what keeps it: `Registry`."""

import abc
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from msgspec import Struct

SensorType: TypeAlias = Literal["number", "string", "boolean", "json"]


class DeviceRow(Struct, frozen=True, kw_only=True):
    """A device.

    Args:
        device_id: a UUID in its canonical form.
        name: for people.
        key_hash: SHA-256 of its key.
        enabled: whether it may connect.
        created: when it was created.
        last_seen: when its last message came, as far as is stored.
        tags: what it is grouped by.
        old_key_hash, old_key_until: of the key before, and until when that one holds too.
    """

    device_id: str
    name: str
    key_hash: bytes
    enabled: bool = True
    created: float = 0.0
    last_seen: float | None = None
    tags: tuple[str, ...] = ()
    old_key_hash: bytes | None = None
    old_key_until: float | None = None


class Sensor(Struct, frozen=True):
    """A sensor of a device; the store gives the id, which is never given again."""

    id: int
    value_key: str
    type: SensorType
    unit: str | None = None


class Actuator(Struct, frozen=True):
    """An actuator of a device."""

    command_key: str
    type: SensorType | None = None


class Known(Struct, frozen=True):
    """A device with all that its connection needs."""

    row: DeviceRow
    sensors: Sequence[Sensor]
    actuators: Sequence[Actuator]


class Target(Struct, frozen=True):
    """A device that a command may be for.

    Args:
        device_id: its id.
        enabled: whether it may connect.
        actuators: the types of those actuators that were asked for.
    """

    device_id: str
    enabled: bool
    actuators: Mapping[str, SensorType | None]


class Audit(Struct, frozen=True, kw_only=True):
    """A change that somebody made.

    Args:
        at: when, in Unix seconds.
        who: the principal's name.
        address: where the call came from.
        method: what was called.
        params: with what, without keys.
    """

    at: float
    who: str
    address: str
    method: str
    params: Any


class Registry(abc.ABC):
    """Devices with their keys and tags, their sensors and actuators, and who has changed them.

    A method that changes something returns once the change is durable; either all of it is, or
    nothing, and then it raises `StoreFailed`.
    """

    @abc.abstractmethod
    async def create_device(self, row: DeviceRow) -> None:
        """Add a device.

        Raises:
            AlreadyExists: its id is taken.
        """

    @abc.abstractmethod
    async def device(self, device_id: str) -> Known:
        """A device, its sensors and its actuators.

        Raises:
            UnknownDevice: there is none.
        """

    @abc.abstractmethod
    async def devices(self) -> list[DeviceRow]:
        """All devices, by name."""

    @abc.abstractmethod
    async def device_count(self) -> int:
        """How many devices there are."""

    @abc.abstractmethod
    async def device_page(
        self,
        after: tuple[str, str] | None,
        limit: int,
        *,
        tag: str | None = None,
        name: str | None = None,
    ) -> list[DeviceRow]:
        """Devices by name and id, from behind the pair of these in `after`.

        Args:
            after: where the page before has ended.
            limit: rows at most.
            tag: that they have.
            name: a part of their names, in lower or upper case.
        """

    @abc.abstractmethod
    async def targets(
        self,
        command_keys: Sequence[str],
        *,
        tag: str | None = None,
        device_ids: Sequence[str] | None = None,
    ) -> list[Target]:
        """The devices of a tag, or of a list, or all."""

    @abc.abstractmethod
    async def update_device(
        self,
        device_id: str,
        *,
        name: str | None = None,
        enabled: bool | None = None,
        key_hash: bytes | None = None,
        old_key_until: float | None = None,
        tags: Sequence[str] | None = None,
    ) -> None:
        """Change what is given; with a new key, until when the old one holds too.

        Raises:
            UnknownDevice: there is none.
        """

    @abc.abstractmethod
    async def delete_device(self, device_id: str) -> None:
        """Delete a device with all that belongs to it.

        Raises:
            UnknownDevice: there is none.
        """

    @abc.abstractmethod
    async def seen(self, times: Iterable[tuple[str, float]]) -> None:
        """Note when the last message of devices came; unknown ones are left out."""

    @abc.abstractmethod
    async def define_sensor(
        self, device_id: str, value_key: str, type: SensorType, unit: str | None = None
    ) -> Sensor:
        """Add a sensor.

        Raises:
            UnknownDevice: there is no such device.
            AlreadyExists: the key is taken.
        """

    @abc.abstractmethod
    async def update_sensor(
        self,
        device_id: str,
        value_key: str,
        *,
        type: SensorType | None = None,
        unit: str | None = None,
    ) -> Sensor:
        """Change what is given, and keep the values.

        Raises:
            UnknownKey: there is no such sensor.
        """

    @abc.abstractmethod
    async def delete_sensor(self, device_id: str, value_key: str) -> None:
        """Delete a sensor with its values.

        Raises:
            UnknownKey: there is none.
        """

    @abc.abstractmethod
    async def define_actuator(
        self, device_id: str, command_key: str, type: SensorType | None = None
    ) -> Actuator:
        """Add an actuator.

        Raises:
            UnknownDevice: there is no such device.
            AlreadyExists: the key is taken.
        """

    @abc.abstractmethod
    async def delete_actuator(self, device_id: str, command_key: str) -> None:
        """Delete an actuator.

        Raises:
            UnknownKey: there is none.
        """

    @abc.abstractmethod
    async def audit(self, row: Audit) -> None:
        """Note a change; the oldest of very many are forgotten."""

    @abc.abstractmethod
    async def audit_page(self, before: int | None, limit: int) -> list[tuple[int, Audit]]:
        """Changes, the newest first, each with its number; `before` is that of the last one."""
