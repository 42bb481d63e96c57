"""Values, statuses and how long they are kept, in tables of SQLite."""

from collections.abc import AsyncGenerator, Sequence
from functools import partial
from typing import Any

import msgspec

from ..query import Order, Point, Query
from ..telemetry_log import Latest, Place, Retention, StatusReport, TelemetryLog
from . import points, retention
from .base import Tables
from .latest import latest_page, latest_points
from .status import latest_status, status_history
from .upkeep import Cut
from .value_pages import value_page


class TelemetryTables(Tables, TelemetryLog):
    """`TelemetryLog` for the SQLite store, but for what is written into it."""

    @property
    def lost_groups(self) -> int:
        return self.keeper.lost_groups

    async def points(self, query: Query) -> AsyncGenerator[Point, None]:
        place: points.Place | None = points.Place()
        left = query.limit
        while place is not None and left > 0:
            part = msgspec.structs.replace(query, limit=left)
            found, place = await self._query(partial(points.points, query=part, place=place))
            for point in found:
                yield point
            left -= len(found)

    async def value_page(
        self,
        sensors: Sequence[int],
        after: Place | None,
        limit: int,
        *,
        start: float | None = None,
        end: float | None = None,
        order: Order = "asc",
    ) -> list[tuple[Place, Any]]:
        return await self._read(lambda db: value_page(db, sensors, after, limit, start, end, order))

    async def latest(self, device_id: str, now: float) -> dict[str, Point]:
        return await self._read(lambda db: latest_points(db, device_id, now))

    async def latest_page(
        self,
        after: tuple[str, str] | None,
        limit: int,
        now: float,
        *,
        tag: str | None = None,
        value_keys: Sequence[str] | None = None,
    ) -> list[Latest]:
        return await self._query(lambda db: latest_page(db, after, limit, now, tag, value_keys))

    async def status(self, device_id: str) -> StatusReport | None:
        return await self._read(lambda db: latest_status(db, device_id))

    async def status_history(
        self, device_id: str, start: float | None, end: float | None, limit: int
    ) -> list[StatusReport]:
        return await self._read(lambda db: status_history(db, device_id, start, end, limit))

    async def delete_values(
        self, sensors: Sequence[int], start: float | None = None, end: float | None = None
    ) -> None:
        span = {} if start is None else {"start": start}
        span |= {} if end is None else {"end": end}
        await self.keeper.delete([Cut(sensor, **span) for sensor in sensors])

    async def set_retention(self, rule: Retention) -> None:
        await self._commit(lambda db: retention.set_rule(db, rule))
        self.keeper.poke()

    async def retention(self) -> list[Retention]:
        return await self._read(retention.rules)

    async def clear_retention(self, device_id: str | None, value_key: str | None) -> None:
        text = "DELETE FROM retention WHERE device_id = ? AND value_key = ?"
        rule = device_id or "", value_key or ""
        await self._commit(lambda db: db.execute(text, rule))
