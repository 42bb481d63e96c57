"""Management: how long values are kept, deleting some of them, and copies of all there is."""

from typing import Annotated

from msgspec import Meta

from jsonrpc_iot import InvalidParams, method

from ..errors import StoreFailed, UnknownDevice, UnknownKey
from ..store.telemetry_log import Downsample, Retention
from .management_base import Key, Part, UnixTime, canonical
from .permissions import ADMIN, READ

Days = Annotated[float, Meta(gt=0, le=36_525)]


class UpkeepMethods(Part):
    """How long values are kept, deleting some of them, and copies of all there is."""

    @method(
        "retention.set",
        requires=ADMIN,
        idempotent=True,
        effect="danger",
        errors=(UnknownDevice, StoreFailed),
    )
    async def retention_set(
        self,
        days: Days,
        device_id: str | None = None,
        value_key: Key | None = None,
        downsample: Downsample | None = None,
    ) -> Retention:
        """Delete values that are older, by their timestamps, from now on.

        The rule replaces that for the same device and key. Of several rules for a sensor that
        counts which names its device and key, then that of its device, of its key, of all.

        Args:
            days: how long values are kept.
            device_id: of this device alone.
            value_key: of sensors with this key alone.
            downsample: what becomes of values before that.
        """
        if downsample is not None and downsample.after_days >= days:
            message = "Expected less than `days`"
            raise InvalidParams(data={"path": "$.downsample.after_days", "message": message})
        chosen = await self._chosen(device_id)
        rule = Retention(days, chosen, value_key, downsample)
        await self._store.set_retention(rule)
        return rule

    @method("retention.list", requires=READ, idempotent=True, effect="read", errors=(StoreFailed,))
    async def retention_list(self) -> list[Retention]:
        """All rules."""
        return await self._store.retention()

    @method(
        "retention.clear",
        requires=ADMIN,
        idempotent=True,
        effect="change",
        errors=(UnknownDevice, StoreFailed),
    )
    async def retention_clear(
        self, device_id: str | None = None, value_key: Key | None = None
    ) -> None:
        """Forget the rule for a device and key, if there is one."""
        chosen = None if device_id is None else canonical(device_id)
        await self._store.clear_retention(chosen, value_key)

    async def _chosen(self, device_id: str | None) -> str | None:
        return None if device_id is None else (await self._known(device_id)).row.device_id

    @method(
        "telemetry.delete",
        requires=ADMIN,
        idempotent=True,
        effect="danger",
        errors=(UnknownDevice, UnknownKey, StoreFailed),
    )
    async def telemetry_delete(
        self,
        device_id: str,
        value_key: str | None = None,
        start: UnixTime | None = None,
        end: UnixTime | None = None,
    ) -> None:
        """Delete values, a few at a time, so that nobody has to wait for it.

        Args:
            device_id: whose.
            value_key: of this sensor alone.
            start: the earliest timestamp, in Unix seconds.
            end: up to here, exclusive.
        """
        if value_key is None:
            sensors = [sensor.id for sensor in (await self._known(device_id)).sensors]
        else:
            sensors = [each.id for each in await self._sensors(device_id, [value_key])]
        await self._store.delete_values(sensors, start, end)

    @method("platform.backup", requires=ADMIN, effect="change", errors=(StoreFailed,))
    async def platform_backup(
        self, path: Annotated[str, Meta(min_length=1, max_length=4096)]
    ) -> None:
        """Write a sound copy of the database to a new file, while devices report.

        Args:
            path: of the file, on the platform's machine.
        """
        await self._store.backup(path)
