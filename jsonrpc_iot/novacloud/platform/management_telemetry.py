"""The part of the management that shows what devices have reported, also of themselves."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.structs import replace

from jsonrpc_iot import InvalidParams, TooLarge, method

from ..errors import StoreFailed, UnknownDevice, UnknownKey
from ..store.query import Aggregate, Order, Point, Query
from ..store.registry import Sensor
from ..store.telemetry_log import StatusReport
from .management_base import Count, Cursor, Key, Limit, Part, UnixTime
from .pages import Page, decode_cursor, fitting
from .permissions import READ
from .side_by_side import side_by_side

Keys = Annotated[list[Key], Meta(min_length=1, max_length=256)]

_READ_AT_ONCE = 500


class Value(Struct, frozen=True):
    """A value of one of several sensors."""

    value_key: str
    timestamp: float
    value: Any


class TelemetryPage(Struct, frozen=True):
    """Some values, and where the next ones begin; `None` at the end."""

    points: list[Value]
    next: str | None


class LatestValue(Struct, frozen=True, omit_defaults=True):
    """The newest value of a sensor of a device; `flagged` where its time is still to come."""

    device_id: str
    value_key: str
    timestamp: float
    value: Any
    flagged: bool = False


class LatestPage(Struct, frozen=True):
    """Some of the newest values, and where the next ones begin; `None` at the end."""

    points: list[LatestValue]
    next: str | None


class TelemetryMethods(Part):
    """What devices have reported."""

    @method(
        "telemetry.query",
        requires=READ,
        idempotent=True,
        effect="read",
        errors=(UnknownDevice, UnknownKey, TooLarge, StoreFailed),
    )
    async def telemetry_query(
        self,
        device_id: str,
        value_key: str | Keys,
        start: UnixTime | None = None,
        end: UnixTime | None = None,
        limit: Limit = 1000,
        order: Order = "asc",
        interval: Annotated[float, Meta(ge=0.001)] | None = None,
        aggregate: Aggregate | None = None,
        offset: Annotated[float, Meta(ge=-86_400, le=86_400)] = 0.0,
    ) -> AsyncIterator[Point]:
        """Values by time; streamed on request. `telemetry.page` has pieces that fit.

        Args:
            device_id: whose.
            value_key: of which sensor, or of which ones; of a list each point has its `value_key`.
            start: the earliest time, in Unix seconds.
            end: up to here, exclusive.
            limit: how many at most, of all sensors together.
            order: `desc` for the latest first.
            interval: seconds of one group; each group gives one point.
            aggregate: what is told of a group, the mean by default.
            offset: seconds east of UTC by whose clock groups begin.

        Raises:
            InvalidParams: texts have no mean, sum, least or greatest.
            TooLarge: they do not fit the channel.
        """
        keys = [value_key] if isinstance(value_key, str) else value_key
        sensors = await self._sensors(device_id, keys)
        if interval is not None or aggregate is not None:
            _check(aggregate or "mean", sensors)
        query = Query(
            sensor=sensors[0].id,
            beside=len(sensors),
            start=start,
            end=end,
            limit=limit,
            order=order,
            interval=interval,
            aggregate=aggregate,
            offset=offset,
        )
        if isinstance(value_key, str):
            found = self._store.points(query)
        else:
            runs = {
                sensor.value_key: self._store.points(replace(query, sensor=sensor.id))
                for sensor in sensors
            }
            found = side_by_side(runs, query)
        points = fitting(self._context, found, "telemetry.page")
        async with aclosing(points):
            async for point in points:
                yield point

    @method(
        "telemetry.latest",
        requires=READ,
        idempotent=True,
        effect="read",
        errors=(UnknownDevice, StoreFailed),
    )
    async def telemetry_latest(self, device_id: str) -> dict[str, Point]:
        """The newest value of each sensor."""
        known = await self._known(device_id)
        return await self._store.latest(known.row.device_id, self._platform.time.now())

    @method(
        "telemetry.latest_all",
        requires=READ,
        idempotent=True,
        effect="read",
        errors=(TooLarge, StoreFailed),
    )
    async def telemetry_latest_all(
        self,
        tag: str | None = None,
        value_keys: Keys | None = None,
        cursor: Cursor | None = None,
        limit: Count = 100,
    ) -> LatestPage:
        """The newest value of each sensor of all devices, by device and key.

        Args:
            tag: that the devices have.
            value_keys: of sensors with these keys alone.
            cursor: `next` of the page before.
            limit: how many at most; fewer where they would not fit the channel.
        """
        page: Page[LatestValue] = Page(self._context, limit)
        after = decode_cursor(cursor, tuple[str, str])
        now = self._platform.time.now()
        while page.next is None:
            rows = await self._store.latest_page(
                after, limit + 1 - len(page.rows), now, tag=tag, value_keys=value_keys
            )
            for row in rows:
                after = row.device_id, row.value_key
                newest = row.point
                value = LatestValue(*after, newest.timestamp, newest.value, newest.flagged)
                if not page.add(value, after):
                    break
            if not rows:
                break
        return LatestPage(page.rows, page.next)

    @method(
        "telemetry.page",
        requires=READ,
        idempotent=True,
        effect="read",
        errors=(UnknownDevice, UnknownKey, TooLarge, StoreFailed),
    )
    async def telemetry_page(
        self,
        device_id: str,
        value_keys: Keys,
        start: UnixTime | None = None,
        end: UnixTime | None = None,
        order: Order = "asc",
        cursor: Cursor | None = None,
        limit: Annotated[int, Meta(ge=1, le=10_000)] = 1000,
    ) -> TelemetryPage:
        """Some values of some sensors by time. Each comes once, also one that came repeatedly.

        Args:
            device_id: whose.
            value_keys: of which sensors.
            start: the earliest time, in Unix seconds.
            end: up to here, exclusive.
            order: `desc` for the latest first.
            cursor: `next` of the page before.
            limit: how many at most; fewer where they would not fit the channel.
        """
        keys = {each.id: each.value_key for each in await self._sensors(device_id, value_keys)}
        page: Page[Value] = Page(self._context, limit)
        after = decode_cursor(cursor, tuple[float, int, int])
        while page.next is None:
            rows = await self._store.value_page(
                [*keys], after, _READ_AT_ONCE, start=start, end=end, order=order
            )
            for after, value in rows:
                if not page.add(Value(keys[after[2]], after[0], value), after):
                    break
            if not rows:
                break
        return TelemetryPage(page.rows, page.next)

    @method(
        "status.latest",
        requires=READ,
        idempotent=True,
        effect="read",
        errors=(UnknownDevice, StoreFailed),
    )
    async def status_latest(self, device_id: str) -> StatusReport | None:
        """The latest of each member that a device has told of itself, `None` where it has not."""
        return await self._store.status((await self._known(device_id)).row.device_id)

    @method(
        "status.history",
        requires=READ,
        idempotent=True,
        effect="read",
        errors=(UnknownDevice, StoreFailed),
    )
    async def status_history(
        self,
        device_id: str,
        start: UnixTime | None = None,
        end: UnixTime | None = None,
        limit: Count = 100,
    ) -> list[StatusReport]:
        """The statuses of a device, the newest first; the last 1,000 are kept.

        Args:
            device_id: whose.
            start: the earliest time, in Unix seconds.
            end: up to here, exclusive.
            limit: how many at most.
        """
        chosen = (await self._known(device_id)).row.device_id
        return await self._store.status_history(chosen, start, end, limit)


def _check(aggregate: Aggregate, sensors: Sequence[Sensor]) -> None:
    """See that there is such an aggregate: no points would look as if there were no values."""
    for sensor in sensors:
        if sensor.type == "string" and aggregate not in ("first", "last", "count"):
            message = f"{sensor.value_key} has texts; expected `first`, `last` or `count`"
            raise InvalidParams(data={"path": "$.aggregate", "message": message})
