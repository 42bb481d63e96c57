"""Values, statuses and how long they are kept, in tables of PostgreSQL."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any

from ..query import Order, Point, Query
from ..telemetry_log import Latest, Place, Retention, StatusReport, TelemetryLog
from . import retention
from .base import Tables
from .groups import groups
from .latest import latest_page, latest_points
from .reading import stored_points, value_page
from .statuses import latest_status, status_history


class TelemetryTables(Tables, TelemetryLog):
    """`TelemetryLog` for the PostgreSQL store, but for what is written into it."""

    def points(self, query: Query) -> AsyncGenerator[Point, None]:
        if query.interval is None and query.aggregate is None:
            return stored_points(self._pools, query)
        return groups(self._pools, query)

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
        return await value_page(self._pools, sensors, after, limit, start, end, order)

    async def latest(self, device_id: str, now: float) -> dict[str, Point]:
        return await latest_points(self._pools, device_id, now)

    async def latest_page(
        self,
        after: tuple[str, str] | None,
        limit: int,
        now: float,
        *,
        tag: str | None = None,
        value_keys: Sequence[str] | None = None,
    ) -> list[Latest]:
        return await latest_page(self._pools, after, limit, now, tag, value_keys)

    async def status(self, device_id: str) -> StatusReport | None:
        return await latest_status(self._pools, device_id)

    async def status_history(
        self, device_id: str, start: float | None, end: float | None, limit: int
    ) -> list[StatusReport]:
        return await status_history(self._pools, device_id, start, end, limit)

    async def delete_values(
        self, sensors: Sequence[int], start: float | None = None, end: float | None = None
    ) -> None:
        await self.keeper.delete(sensors, start, end)

    async def set_retention(self, rule: Retention) -> None:
        await retention.set_rule(self._pools, rule)
        self.keeper.poke()

    async def retention(self) -> list[Retention]:
        return await retention.rules(self._pools)

    async def clear_retention(self, device_id: str | None, value_key: str | None) -> None:
        text = "DELETE FROM retention WHERE device_id = $1 AND value_key = $2"
        await self._pools.change(text, device_id or "", value_key or "")
