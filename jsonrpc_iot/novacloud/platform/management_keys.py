"""The part of the management that says what devices may report, and may be told to do."""

from jsonrpc_iot import method

from ..errors import AlreadyExists, StoreFailed, UnknownDevice, UnknownKey
from ..store.registry import Actuator, Sensor, SensorType
from .management_base import Key, Part, SensorInfo, Unit, canonical
from .permissions import ADMIN, READ


class SensorMethods(Part):
    """What devices may report."""

    @method(
        "sensor.define",
        requires=ADMIN,
        effect="change",
        errors=(UnknownDevice, AlreadyExists, StoreFailed),
    )
    async def sensor_define(
        self, device_id: str, value_key: Key, type: SensorType, unit: Unit | None = None
    ) -> SensorInfo:
        """Add a sensor; values of its key are stored from now on."""
        chosen = canonical(device_id)
        sensor = await self._store.define_sensor(chosen, value_key, type, unit)
        await self._changed(chosen)
        return _sensor_info(sensor)

    @method(
        "sensor.list",
        requires=READ,
        idempotent=True,
        effect="read",
        errors=(UnknownDevice, StoreFailed),
    )
    async def sensor_list(self, device_id: str) -> list[SensorInfo]:
        """The sensors of a device."""
        return [_sensor_info(sensor) for sensor in (await self._known(device_id)).sensors]

    @method(
        "sensor.update",
        requires=ADMIN,
        effect="change",
        errors=(UnknownDevice, UnknownKey, StoreFailed),
    )
    async def sensor_update(
        self,
        device_id: str,
        value_key: str,
        type: SensorType | None = None,
        unit: Unit | None = None,
    ) -> SensorInfo:
        """Change what is given. Values that are stored stay as they are."""
        chosen = (await self._known(device_id)).row.device_id
        sensor = await self._store.update_sensor(chosen, value_key, type=type, unit=unit)
        await self._changed(chosen)
        return _sensor_info(sensor)

    @method(
        "sensor.delete",
        requires=ADMIN,
        effect="danger",
        errors=(UnknownDevice, UnknownKey, StoreFailed),
    )
    async def sensor_delete(self, device_id: str, value_key: str) -> None:
        """Delete a sensor with its values."""
        await self._sensors(device_id, [value_key])
        chosen = canonical(device_id)
        await self._store.delete_sensor(chosen, value_key)
        await self._changed(chosen)


class ActuatorMethods(Part):
    """What devices may be told to do."""

    @method(
        "actuator.define",
        requires=ADMIN,
        effect="change",
        errors=(UnknownDevice, AlreadyExists, StoreFailed),
    )
    async def actuator_define(
        self, device_id: str, command_key: Key, type: SensorType | None = None
    ) -> Actuator:
        """Add an actuator; with a type, only values of it are sent."""
        chosen = canonical(device_id)
        actuator = await self._store.define_actuator(chosen, command_key, type)
        await self._changed(chosen)
        return actuator

    @method(
        "actuator.list",
        requires=READ,
        idempotent=True,
        effect="read",
        errors=(UnknownDevice, StoreFailed),
    )
    async def actuator_list(self, device_id: str) -> list[Actuator]:
        """The actuators of a device."""
        return [*(await self._known(device_id)).actuators]

    @method(
        "actuator.delete",
        requires=ADMIN,
        effect="danger",
        errors=(UnknownDevice, UnknownKey, StoreFailed),
    )
    async def actuator_delete(self, device_id: str, command_key: str) -> None:
        """Delete an actuator; commands that wait are sent all the same."""
        chosen = (await self._known(device_id)).row.device_id
        await self._store.delete_actuator(chosen, command_key)
        await self._changed(chosen)


def _sensor_info(sensor: Sensor) -> SensorInfo:
    return SensorInfo(sensor.value_key, sensor.type, sensor.unit)
