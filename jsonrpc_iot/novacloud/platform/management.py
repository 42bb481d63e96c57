"""What people and programs ask of a platform: JSON-RPC methods on a Dispatcher of their own.

It is served like any other, for instance at `pipe://novacloud`. The protocol page, "Platform",
gives the names and shapes, and that for operators the permissions.
"""

import secrets
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

from msgspec import Meta, to_builtins

from jsonrpc_iot import DeadlineExceeded, Dispatcher, InvalidParams, Principal, method, service

from ..errors import AlreadyExists, DeviceDisabled, StoreFailed, UnknownDevice, UnknownKey
from ..store.store import (
    Actuator,
    Aggregate,
    CommandStatus,
    DeviceRow,
    Order,
    Point,
    Query,
    Sensor,
    SensorType,
    StatusReport,
)
from .admission import canonical_id, hash_key
from .management_base import (
    ActuatorList,
    DeviceInfo,
    DeviceInfos,
    Key,
    Limit,
    Name,
    NewDevice,
    NewKey,
    Part,
    SensorInfo,
    SensorInfos,
    Unit,
    UnixTime,
    Wait,
    canonical,
)
from .management_commands import Commands, error_of, result_of
from .management_upkeep import Backups, Deletions, Rules
from .permissions import ADMIN, COMMAND, READ
from .platform import NovaPlatform


@service("device")
class Devices(Part):
    """Who may connect."""

    @method(requires=ADMIN, errors=(AlreadyExists, StoreFailed))
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

    @method(requires=READ, idempotent=True, errors=(UnknownDevice, StoreFailed))
    async def get(self, device_id: str) -> DeviceInfo:
        """A device, and whether it is there."""
        return self._info((await self._known(device_id)).row)

    @method(requires=READ, idempotent=True, errors=(StoreFailed,))
    async def list(self) -> DeviceInfos:
        """All devices by name; streamed on request."""
        return [self._info(row) for row in await self._store.devices()]

    @method(requires=ADMIN, idempotent=True, errors=(UnknownDevice, StoreFailed))
    async def update(
        self, device_id: str, name: Name | None = None, enabled: bool | None = None
    ) -> DeviceInfo:
        """Rename a device, enable it, or disable it, which ends its connection."""
        chosen = canonical(device_id)
        await self._store.update_device(chosen, name=name, enabled=enabled)
        self._presence.note_change(chosen)
        if enabled is False:
            self._presence.close(chosen, "disabled")
        return await self.get(chosen)

    @method(requires=ADMIN, errors=(UnknownDevice, StoreFailed))
    async def delete(self, device_id: str) -> None:
        """Delete a device with its sensors, actuators, values and commands."""
        chosen = canonical(device_id)
        await self._store.delete_device(chosen)
        self._presence.note_change(chosen)
        self._presence.close(chosen, "deleted")
        self._platform.commands.forget(chosen)

    @method(requires=ADMIN, errors=(UnknownDevice, StoreFailed))
    async def rotate_key(self, device_id: str) -> NewKey:
        """Give a device a new key. The old one is worth nothing from now on."""
        chosen = canonical(device_id)
        key = secrets.token_hex(16)
        await self._store.update_device(chosen, key_hash=hash_key(key))
        self._presence.note_change(chosen)
        self._presence.close(chosen, "its key was changed")
        return NewKey(chosen, key)

    @method(
        requires=COMMAND,
        errors=(UnknownDevice, UnknownKey, DeviceDisabled, DeadlineExceeded, StoreFailed),
    )
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
        return DeviceInfo(
            row.device_id,
            row.name,
            row.enabled,
            self._presence.online(row.device_id) is not None,
            self._presence.last_seen(row.device_id) or row.last_seen,
            row.created,
        )


@service("sensor")
class Sensors(Part):
    """What devices may report."""

    @method(requires=ADMIN, errors=(UnknownDevice, AlreadyExists, StoreFailed))
    async def define(
        self, device_id: str, value_key: Key, type: SensorType, unit: Unit | None = None
    ) -> SensorInfo:
        """Add a sensor; values of its key are stored from now on."""
        chosen = canonical(device_id)
        sensor = await self._store.define_sensor(chosen, value_key, type, unit)
        self._presence.note_change(chosen)
        session = self._presence.sessions.get(chosen)
        if session is not None:
            session.sensors[value_key] = sensor
        return _sensor_info(sensor)

    @method(requires=READ, idempotent=True, errors=(UnknownDevice, StoreFailed))
    async def list(self, device_id: str) -> SensorInfos:
        """The sensors of a device."""
        return [_sensor_info(sensor) for sensor in (await self._known(device_id)).sensors]

    @method(requires=ADMIN, errors=(UnknownDevice, UnknownKey, StoreFailed))
    async def delete(self, device_id: str, value_key: str) -> None:
        """Delete a sensor with its values."""
        sensor = await self._sensor(device_id, value_key)
        chosen = canonical(device_id)
        await self._store.delete_sensor(chosen, sensor.value_key)
        self._presence.note_change(chosen)
        session = self._presence.sessions.get(chosen)
        if session is not None:
            session.sensors.pop(value_key, None)


@service("actuator")
class Actuators(Part):
    """What devices may be told to do."""

    @method(requires=ADMIN, errors=(UnknownDevice, AlreadyExists, StoreFailed))
    async def define(
        self, device_id: str, command_key: Key, type: SensorType | None = None
    ) -> Actuator:
        """Add an actuator; with a type, only values of it are sent."""
        chosen = canonical(device_id)
        actuator = await self._store.define_actuator(chosen, command_key, type)
        await self._refresh(chosen)
        return actuator

    @method(requires=READ, idempotent=True, errors=(UnknownDevice, StoreFailed))
    async def list(self, device_id: str) -> ActuatorList:
        """The actuators of a device."""
        return [*(await self._known(device_id)).actuators]

    @method(requires=ADMIN, errors=(UnknownDevice, UnknownKey, StoreFailed))
    async def delete(self, device_id: str, command_key: str) -> None:
        """Delete an actuator; commands that wait are sent all the same."""
        chosen = (await self._known(device_id)).row.device_id
        await self._store.delete_actuator(chosen, command_key)
        await self._refresh(chosen)

    async def _refresh(self, device_id: str) -> None:
        self._presence.note_change(device_id)
        known = await self._store.device(device_id)
        session = self._presence.sessions.get(device_id)
        if session is not None:
            session.actuators = known.actuators


@service("telemetry")
class Values(Part):
    """What devices have reported."""

    @method(requires=READ, idempotent=True, errors=(UnknownDevice, UnknownKey, StoreFailed))
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
        offset: Annotated[float, Meta(ge=-86_400, le=86_400)] = 0.0,
    ) -> AsyncGenerator[Point, None]:
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
            offset: seconds east of UTC by whose clock groups begin.
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
            offset=offset,
        )
        async with aclosing(self._store.points(query)) as points:
            async for point in points:
                yield point

    @method(requires=READ, idempotent=True, errors=(UnknownDevice, StoreFailed))
    async def latest(self, device_id: str) -> dict[str, Point]:
        """The newest value of each sensor."""
        known = await self._known(device_id)
        return await self._store.latest(known.row.device_id, time.time())


@service("status")
class Statuses(Part):
    """What devices have said of themselves."""

    @method(requires=READ, idempotent=True, errors=(UnknownDevice, StoreFailed))
    async def latest(self, device_id: str) -> StatusReport | None:
        """The newest status of a device, `None` where there is none."""
        return await self._store.status((await self._known(device_id)).row.device_id)


@service("platform")
class PlatformInfo(Part):
    """How the platform is."""

    @method(requires=READ, idempotent=True)
    def stats(self) -> dict[str, Any]:
        """Counts since the platform began; `ignored` has the values that were not stored."""
        sessions = self._presence.sessions.values()
        counts: dict[str, Any] = to_builtins(self._platform.counts)
        return {
            "connected": len(sessions),
            "online": sum(session.is_online for session in sessions),
            "flapping": self._presence.flapping(),
            **counts,
        }


def management(platform: NovaPlatform) -> Dispatcher:
    """The methods and pushes of a platform, to be served at any URL.

    Args:
        platform: whose; it runs while the dispatcher is served.

    Returns:
        A dispatcher whose methods need the permissions `nova:read`, `nova:command` or `nova:admin`;
        where `serve` is told neither of a keyring nor of a hook, everybody has them all.
    """
    dispatcher = Dispatcher(title="NovaCloud platform")
    dispatcher.everybody = Principal("anybody", {"*"})
    dispatcher.include(platform)
    upkeep = (Rules, Deletions, Backups)
    for part in (Devices, Sensors, Actuators, Values, Statuses, Commands, PlatformInfo, *upkeep):
        dispatcher.include(part(platform))
    return dispatcher


def _sensor_info(sensor: Sensor) -> SensorInfo:
    return SensorInfo(sensor.value_key, sensor.type, sensor.unit)
