"""The points of several sensors in one order."""

import heapq
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, aclosing

from msgspec.structs import replace

from ..store.query import Point, Query


async def side_by_side(
    runs: Mapping[str, AsyncGenerator[Point, None]], query: Query
) -> AsyncGenerator[Point, None]:
    """Yield the points of all runs by time, each with its `value_key`.

    Args:
        runs: by `value_key`, each in order.
        query: has that order, and how many are wanted.
    """
    way = 1 if query.order == "asc" else -1
    async with AsyncExitStack() as stack:
        waiting: list[tuple[float, str, Point, AsyncGenerator[Point, None]]] = []
        for key, run in runs.items():
            await stack.enter_async_context(aclosing(run))
            async for point in run:
                waiting.append((way * point.timestamp, key, point, run))
                break
        heapq.heapify(waiting)
        left = query.limit
        while waiting and left:
            _, key, point, run = waiting[0]
            yield replace(point, value_key=key)
            left -= 1
            try:
                following = await anext(run)
            except StopAsyncIteration:
                heapq.heappop(waiting)
            else:
                heapq.heapreplace(waiting, (way * following.timestamp, key, following, run))
