"""What people and programs ask of a platform: JSON-RPC methods on a Dispatcher of their own.

It is served like any other, for instance at `pipe://novacloud`. The protocol page, "Platform",
gives the names and shapes. Whoever reaches it may do everything.
"""

import secrets
import time
import uuid
from typing import Annotated, Any, TypeAlias

import anyio
from msgspec import Meta, to_builtins

from jsonrpc_iot import (
    Busy,
    DeadlineExceeded,
    Dispatcher,
    InvalidParams,
    TooLarge,
    method,
    service,
)

from ..errors import AlreadyExists, DeviceDisabled, StoreFailed, UnknownDevice, UnknownKey
from ..store.store import (
    Actuator,
    Aggregate,
    CommandRow,
    CommandStatus,
    DeviceRow,
    Known,
    Order,
    Point,
    Query,
    Sensor,
    SensorType,
    StatusReport,
)
from .admission import canonical_id, hash_key
from .ingest import fits
from .platform import NovaPlatform
from .shapes import DeviceInfo, NewDevice, NewKey, Outcome, SensorInfo, error_of, result_of

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Key = Annotated[str, Meta(min_length=1, max_length=128)]
Unit = Annotated[str, Meta(max_length=32)]
UnixTime = Annotated[float, Meta(ge=0)]
Limit = Annotated[int, Meta(ge=1, le=100_000)]
Wait = Annotated[float, Meta(ge=0, le=86_400)]
Expiry = Annotated[float, Meta(gt=0, le=31_536_000)]


# Inside a class with a method `list` that word means the method.
DeviceInfos: TypeAlias = list[DeviceInfo]
SensorInfos: TypeAlias = list[SensorInfo]
ActuatorList: TypeAlias = list[Actuator]
CommandRows: TypeAlias = list[CommandRow]


class _Part:
    """Methods of one kind.

    Args:
        platform: whose.
    """

    def __init__(self, platform: NovaPlatform) -> None:
        self._platform = platform
        self._store = platform.store

    async def _known(self, device_id: str) -> Known:
        return await self._store.device(_canonical(device_id))

    async def _sensor(self, device_id: str, value_key: str) -> Sensor:
        for sensor in (await self._known(device_id)).sensors:
            if sensor.value_key == value_key:
                return sensor
        raise UnknownKey(data={"value_key": value_key})


@service("device")
class Devices(_Part):
    """Who may connect."""

    @method(errors=(AlreadyExists, StoreFailed))
    async def create(self, name: Name, device_id: str | None = None) -> NewDevice:
        """Add a device. Its key is in the answer and nowhere else.

        Args:
            name: for people.
            device_id: a UUID; made when left out.
        """
        chosen = str(uuid.uuid4()) if device_id is None else canonical_id(device_id)
        if chosen is None:
            raise InvalidParams(data={"path": "$.device_id", "message": "Expected a UUID"})
        key = secrets.token_hex(16)
        row = DeviceRow(device_id=chosen, name=name, key_hash=hash_key(key), created=time.time())
        await self._store.create_device(row)
        return NewDevice(chosen, key, name)

    @method(idempotent=True, errors=(UnknownDevice, StoreFailed))
    async def get(self, device_id: str) -> DeviceInfo:
        """A device, and whether it is there."""
        return self._info((await self._known(device_id)).row)

    @method(idempotent=True, errors=(StoreFailed,))
    async def list(self) -> DeviceInfos:
        """All devices by name; streamed on request."""
        return [self._info(row) for row in await self._store.devices()]

    @method(idempotent=True, errors=(UnknownDevice, StoreFailed))
    async def update(
        self, device_id: str, name: Name | None = None, enabled: bool | None = None
    ) -> DeviceInfo:
        """Rename a device, enable it, or disable it, which ends its connection."""
        chosen = _canonical(device_id)
        await self._store.update_device(chosen, name=name, enabled=enabled)
        self._platform.presence.note_change(chosen)
        if enabled is False:
            self._platform.presence.close(chosen, "disabled")
        return await self.get(chosen)

    @method(errors=(UnknownDevice, StoreFailed))
    async def delete(self, device_id: str) -> None:
        """Delete a device with its sensors, actuators, values and commands."""
        chosen = _canonical(device_id)
        await self._store.delete_device(chosen)
        self._platform.presence.note_change(chosen)
        self._platform.presence.close(chosen, "deleted")
        self._platform.commands.forget(chosen)

    @method(errors=(UnknownDevice, StoreFailed))
    async def rotate_key(self, device_id: str) -> NewKey:
        """Give a device a new key. The old one is worth nothing from now on."""
        chosen = _canonical(device_id)
        key = secrets.token_hex(16)
        await self._store.update_device(chosen, key_hash=hash_key(key))
        self._platform.presence.note_change(chosen)
        self._platform.presence.close(chosen, "its key was changed")
        return NewKey(chosen, key)

    @method(errors=(UnknownDevice, UnknownKey, DeviceDisabled, DeadlineExceeded, StoreFailed))
    async def call(
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
        commands = Commands(self._platform)
        outcome = await commands.send(
            device_id, {method: params}, timeout=timeout, expires=max(timeout, 0.001)
        )
        if outcome.status is CommandStatus.SUCCESS:
            return result_of(method, outcome.payload)
        if outcome.status is CommandStatus.ERROR:
            raise error_of(method, outcome.payload)
        raise DeadlineExceeded(
            data={"command_id": outcome.command_id, "status": outcome.status.value}
        )

    def _info(self, row: DeviceRow) -> DeviceInfo:
        presence = self._platform.presence
        return DeviceInfo(
            row.device_id,
            row.name,
            row.enabled,
            presence.online(row.device_id) is not None,
            presence.last_seen(row.device_id) or row.last_seen,
            row.created,
        )


@service("sensor")
class Sensors(_Part):
    """What devices may report."""

    @method(errors=(UnknownDevice, AlreadyExists, StoreFailed))
    async def define(
        self, device_id: str, value_key: Key, type: SensorType, unit: Unit | None = None
    ) -> SensorInfo:
        """Add a sensor; values of its key are stored from now on."""
        chosen = _canonical(device_id)
        sensor = await self._store.define_sensor(chosen, value_key, type, unit)
        self._platform.presence.note_change(chosen)
        session = self._platform.presence.sessions.get(chosen)
        if session is not None:
            session.add_sensor(sensor)
        return _sensor_info(sensor)

    @method(idempotent=True, errors=(UnknownDevice, StoreFailed))
    async def list(self, device_id: str) -> SensorInfos:
        """The sensors of a device."""
        return [_sensor_info(sensor) for sensor in (await self._known(device_id)).sensors]

    @method(errors=(UnknownDevice, UnknownKey, StoreFailed))
    async def delete(self, device_id: str, value_key: str) -> None:
        """Delete a sensor with its values."""
        sensor = await self._sensor(device_id, value_key)
        chosen = _canonical(device_id)
        await self._store.delete_sensor(chosen, sensor.value_key)
        self._platform.presence.note_change(chosen)
        session = self._platform.presence.sessions.get(chosen)
        if session is not None:
            session.sensors.pop(value_key, None)


@service("actuator")
class Actuators(_Part):
    """What devices may be told to do."""

    @method(errors=(UnknownDevice, AlreadyExists, StoreFailed))
    async def define(
        self, device_id: str, command_key: Key, type: SensorType | None = None
    ) -> Actuator:
        """Add an actuator; with a type, only values of it are sent."""
        chosen = _canonical(device_id)
        actuator = await self._store.define_actuator(chosen, command_key, type)
        await self._refresh(chosen)
        return actuator

    @method(idempotent=True, errors=(UnknownDevice, StoreFailed))
    async def list(self, device_id: str) -> ActuatorList:
        """The actuators of a device."""
        return [*(await self._known(device_id)).actuators]

    @method(errors=(UnknownDevice, UnknownKey, StoreFailed))
    async def delete(self, device_id: str, command_key: str) -> None:
        """Delete an actuator; commands that wait are sent all the same."""
        chosen = (await self._known(device_id)).row.device_id
        await self._store.delete_actuator(chosen, command_key)
        await self._refresh(chosen)

    async def _refresh(self, device_id: str) -> None:
        self._platform.presence.note_change(device_id)
        known = await self._store.device(device_id)
        session = self._platform.presence.sessions.get(device_id)
        if session is not None:
            session.actuators = known.actuators


@service("telemetry")
class Values(_Part):
    """What devices have reported."""

    @method(idempotent=True, errors=(UnknownDevice, UnknownKey, StoreFailed))
    async def query(
        self,
        device_id: str,
        value_key: str,
        start: UnixTime | None = None,
        end: UnixTime | None = None,
        limit: Limit = 1000,
        order: Order = "asc",
        interval: Annotated[float, Meta(ge=0.001)] | None = None,
        aggregate: Aggregate | None = None,
    ) -> list[Point]:
        """Values of one sensor by time; streamed on request.

        Args:
            device_id: whose.
            value_key: of which sensor.
            start: the earliest time, in Unix seconds.
            end: up to here, exclusive.
            limit: how many at most.
            order: `desc` for the latest first.
            interval: seconds of one group; each group gives one point.
            aggregate: what is told of a group, the mean by default.
        """
        sensor = await self._sensor(device_id, value_key)
        query = Query(
            sensor=sensor.id,
            start=start,
            end=end,
            limit=limit,
            order=order,
            interval=interval,
            aggregate=aggregate,
        )
        return await self._store.query(query)

    @method(idempotent=True, errors=(UnknownDevice, StoreFailed))
    async def latest(self, device_id: str) -> dict[str, Point]:
        """The newest value of each sensor."""
        known = await self._known(device_id)
        return await self._store.latest(known.row.device_id, time.time())


@service("status")
class Statuses(_Part):
    """What devices have said of themselves."""

    @method(idempotent=True, errors=(UnknownDevice, StoreFailed))
    async def latest(self, device_id: str) -> StatusReport | None:
        """The newest status of a device, `None` where there is none."""
        return await self._store.status((await self._known(device_id)).row.device_id)


@service("command")
class Commands(_Part):
    """Telling devices what to do."""

    @method(
        errors=(UnknownDevice, UnknownKey, DeviceDisabled, Busy, TooLarge, StoreFailed),
    )
    async def send(
        self,
        device_id: str,
        payload: dict[str, Any],
        wait: bool = True,
        timeout: Wait = 10.0,
        expires: Expiry = 300.0,
    ) -> Outcome:
        """Send a command; to a device that is not there, when it comes back.

        Args:
            device_id: whom to.
            payload: values by `command_key`.
            wait: whether to wait for the final status.
            timeout: seconds to wait; then the present status is the answer.
            expires: seconds that the command may wait for the device.
        """
        chosen = _canonical(device_id)
        await self._check(chosen, payload)
        command = await self._platform.commands.send(chosen, payload, expires)
        if wait:
            with anyio.move_on_after(timeout):
                await command.finished.wait()
        row = command.row
        return Outcome(row.command_id, row.status, row.payload)

    @method(idempotent=True, errors=(StoreFailed,))
    async def get(self, command_id: str) -> CommandRow | None:
        """A command and what became of it, `None` for one that is not known."""
        present = self._platform.commands.find(command_id)
        return await self._store.command(command_id) if present is None else present

    @method(idempotent=True, errors=(UnknownDevice, StoreFailed))
    async def list(self, device_id: str | None = None, limit: Limit = 100) -> CommandRows:
        """Commands, the newest first."""
        chosen = None if device_id is None else (await self._known(device_id)).row.device_id
        rows = await self._store.commands(chosen, limit=limit)
        return [self._platform.commands.find(row.command_id) or row for row in rows]

    async def _check(self, device_id: str, payload: dict[str, Any]) -> None:
        session = self._platform.presence.sessions.get(device_id)
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


@service("platform")
class PlatformInfo(_Part):
    """How the platform is."""

    @method(idempotent=True)
    def stats(self) -> dict[str, Any]:
        """Counts since the platform began; `ignored` has the values that were not stored."""
        presence = self._platform.presence
        sessions = presence.sessions.values()
        counts: dict[str, Any] = to_builtins(self._platform.counts)
        return {
            "connected": len(sessions),
            "online": sum(session.is_online for session in sessions),
            "flapping": presence.flapping(),
            **counts,
        }


def management(platform: NovaPlatform) -> Dispatcher:
    """The methods and pushes of a platform, to be served at any URL.

    Args:
        platform: whose; it runs while the dispatcher is served.
    """
    dispatcher = Dispatcher(title="NovaCloud platform")
    dispatcher.include(platform)
    for part in (Devices, Sensors, Actuators, Values, Statuses, Commands, PlatformInfo):
        dispatcher.include(part(platform))
    return dispatcher


def _canonical(device_id: str) -> str:
    chosen = canonical_id(device_id)
    if chosen is None:
        raise UnknownDevice(data={"device_id": device_id})
    return chosen


def _sensor_info(sensor: Sensor) -> SensorInfo:
    return SensorInfo(sensor.value_key, sensor.type, sensor.unit)
