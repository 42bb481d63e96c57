"""What a platform needs of a database. `sqlite` is the one that comes along.

A store keeps rows and knows no rules: who may do what, and what a value has to look like, is the
platform's business. Another database is a subclass of `Store` that passes the contract tests in
`tests/novacloud/store/store_contract.py`. All times are Unix seconds.
"""

import abc
import enum
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Annotated, Any, Literal, Self, TypeAlias

from msgspec import Meta, Struct

from .query import Point, Query

AHEAD_SECONDS = 300.0
"""A timestamp this much later than its arrival is flagged, and no latest value until its time."""

SensorType: TypeAlias = Literal["number", "string", "boolean", "json"]


class CommandStatus(enum.StrEnum):
    """Where a command is; the last five are final."""

    QUEUED = "QUEUED"
    SENT = "SENT"
    PENDING = "PENDING"
    SUCCESS = "SUCCESS"
    ERROR = "ERROR"
    TIMEOUT = "TIMEOUT"
    EXPIRED = "EXPIRED"
    CANCELLED = "CANCELLED"

    @property
    def is_final(self) -> bool:
        """Whether it changes no more."""
        return self not in _OPEN


_OPEN = frozenset({CommandStatus.QUEUED, CommandStatus.SENT, CommandStatus.PENDING})


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


class Report(Struct):
    """One message of a device, to be stored.

    Args:
        device_id: whose it is.
        timestamp: when the device says it was.
        received: when it came.
        values: by sensor id. Integers have 64 bits.
        status: of a status message. A member replaces what is not newer; the future is the arrival.
        outbox_id: the outbox that `seq` counts in; empty without acknowledgement.
        seq: what is not above the highest stored one of that outbox is stored already.
    """

    device_id: str
    timestamp: float
    received: float
    values: Sequence[tuple[int, Any]] = ()
    status: dict[str, Any] | None = None
    outbox_id: str = ""
    seq: int = 0


class CommandRow(Struct, kw_only=True):
    """A command and what became of it.

    Args:
        command_id: its UUID.
        device_id: for whom.
        command: values by `command_key`.
        status: where it is.
        payload: that of the last response.
        created: when it was asked for.
        expires: until when it may wait for its device.
        sent: when it was written to the connection that its device has.
        finished: when its status became final.
        message_type: of a message that is no command; `command` is its payload then.
        response_timeout: seconds that the device may be silent about it.
        job_id: the broadcast that it is a part of.
    """

    command_id: str
    device_id: str
    command: dict[str, Any]
    status: CommandStatus
    payload: Any = None
    created: float
    expires: float
    sent: float | None = None
    finished: float | None = None
    message_type: str | None = None
    response_timeout: float | None = None
    job_id: str | None = None


class StatusReport(Struct, frozen=True):
    """What a device said of itself."""

    payload: dict[str, Any]
    timestamp: float


class Downsample(Struct, frozen=True):
    """What becomes of old values: one mean for each interval; the last one if none is a number.

    Args:
        interval: seconds.
        after_days: how old values become before that.
    """

    interval: Annotated[float, Meta(ge=1)]
    after_days: Annotated[float, Meta(gt=0)]


class Retention(Struct, frozen=True):
    """How long values are kept, by their timestamps.

    Of several rules for a sensor that counts which names its device and key, then that of its
    device, then that of its key, then that of all.

    Args:
        days: how long.
        device_id: for this device alone.
        value_key: for sensors of this key alone.
        downsample: what becomes of them before that.
    """

    days: float
    device_id: str | None = None
    value_key: str | None = None
    downsample: Downsample | None = None


class Store(abc.ABC):
    """Devices, values and commands on a medium that survives the process.

    An `async with` block opens and closes it. A method that changes something returns once the
    change is durable; either all of it is, or nothing, and then it raises `StoreFailed`.
    """

    @abc.abstractmethod
    async def __aenter__(self) -> Self: ...

    @abc.abstractmethod
    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None: ...

    @abc.abstractmethod
    async def write(
        self, reports: Sequence[Report], commands: Sequence[CommandRow] = ()
    ) -> list[bool]:
        """Store reports and the present state of commands, all in one transaction.

        What belongs to a device or sensor that is gone is left out.

        Returns:
            For each report whether it was new: `False` for a `seq` that is stored already.
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
    def points(self, query: Query) -> AsyncGenerator[Point, None]:
        """Values of one sensor, or one point for each interval that has any, as they are read.

        `mean`, `sum`, `min` and `max` look at numbers only; booleans are 0 and 1. The timestamp of
        a group is its beginning; that of a group of all values is `start`, or that of the first
        value. Whoever takes no more points closes the generator, and the reading ends.
        """

    async def query(self, query: Query) -> list[Point]:
        """All of `points`."""
        async with aclosing(self.points(query)) as points:
            return [point async for point in points]

    @abc.abstractmethod
    async def delete_values(
        self, sensors: Sequence[int], start: float | None = None, end: float | None = None
    ) -> None:
        """Delete values from `start` on up to `end`, exclusive, a few at a time.

        Unlike other changes it may have been done in part when it fails, or is cancelled.
        """

    @abc.abstractmethod
    async def set_retention(self, rule: Retention) -> None:
        """Keep values as long as a rule says; it replaces that for the same device and key."""

    @abc.abstractmethod
    async def retention(self) -> list[Retention]:
        """All rules."""

    @abc.abstractmethod
    async def clear_retention(self, device_id: str | None, value_key: str | None) -> None:
        """Forget the rule for a device and key, if there is one."""

    @abc.abstractmethod
    async def backup(self, path: str) -> None:
        """Write a copy of all that is stored at this moment to a new file.

        Raises:
            StoreFailed: the file is there already, or cannot be written.
        """

    @abc.abstractmethod
    async def latest(self, device_id: str, now: float) -> dict[str, Point]:
        """The newest value of each sensor that has any.

        A value counts once its timestamp is not more than `AHEAD_SECONDS` after `now`; where a
        sensor has no others, its newest does. Of equal timestamps the last to come counts.
        """

    @abc.abstractmethod
    async def status(self, device_id: str) -> StatusReport | None:
        """The latest of each member of its statuses, and the latest time, if there is any."""

    @abc.abstractmethod
    async def command(self, command_id: str) -> CommandRow | None:
        """A command, if there is one of that id."""

    @abc.abstractmethod
    async def commands(
        self, device_id: str | None = None, *, limit: int = 100, open_only: bool = False
    ) -> list[CommandRow]:
        """Commands, the newest first; those of all devices without `device_id`."""
