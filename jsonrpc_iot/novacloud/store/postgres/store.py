"""The store in PostgreSQL: what it opens, and how a group of reports gets in.

What the rows mean is in `migrations/`; what is read and written is in `registry`, `telemetry_log`,
`command_log`, `outboxes` and `nodes`.
"""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Self

import anyio
from anyio.abc import TaskGroup

from ...clock import elapsed as since_boot
from ...errors import StoreFailed
from ...steady import keep_running
from ..store import Store
from ..telemetry_log import Report
from .command_log import CommandTables
from .keeper import Keeper
from .migrate import migrate
from .nodes import PostgresNodes
from .outboxes import OutboxTables
from .pools import Pools
from .registry import RegistryTables
from .telemetry_log import TelemetryTables
from .together import Together
from .values import Arrivals
from .weeks import reach_back
from .writing import write


class PostgresStore(RegistryTables, TelemetryTables, CommandTables, OutboxTables, Store):
    """A `Store` in a PostgreSQL database, which several nodes may have open. Works on asyncio.

    Args:
        url: `postgresql://user:password@host:port/database`, with options as libpq has them.
        clock: tells Unix seconds, to know what is too old to be kept; the database's by default.
            One that leaps is not believed at once.
        elapsed: tells seconds since some moment, and is never set; needed for `clock` alone.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Callable[[], float] | None = None,
        elapsed: Callable[[], float] | None = None,
    ) -> None:
        self._pools = Pools(url)
        self._arrivals = Arrivals()
        self._known = Together(self._read_known)
        self._open = Together(self._read_open_by_device)
        self._stack = AsyncExitStack()
        self._tasks: TaskGroup
        if clock is None:
            elapsed = elapsed or since_boot
        self.keeper = Keeper(self._pools, clock, elapsed)
        self._nodes = PostgresNodes(self._pools.lend, self._be_node)

    @property
    def nodes(self) -> PostgresNodes:
        return self._nodes

    @property
    def node(self) -> int:
        """The number of this node, 0 to 1023, which no other has: what it stores is told apart."""
        return self._arrivals.node

    @node.setter
    def node(self, number: int) -> None:
        self._arrivals.node = number

    def _be_node(self, number: int) -> None:
        self.node = number

    async def __aenter__(self) -> Self:
        """Open the database, and make its tables or bring them up to date.

        Raises:
            StoreFailed: it cannot be reached, is another program's, or one of a newer version.
        """
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._pools)
            await migrate(self._pools)
            self._tasks = await stack.enter_async_context(anyio.create_task_group())
            self._tasks.start_soon(keep_running, self.keeper.run)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *failure: object) -> None:
        """Finish what has begun, and close the connections."""
        self._tasks.cancel_scope.cancel()
        await self._stack.aclose()

    async def write(self, reports: Sequence[Report]) -> list[bool]:
        return await self._pools.transact(lambda db: write(db, reports, self._arrivals))

    async def reach_back(self, timestamp: float) -> None:
        """Make partitions for values from a time on: for who brings many that are old.

        Raises:
            StoreFailed: somebody reads or writes values for long, or the database is away.
        """
        await self._pools.transact(partial(reach_back, time=timestamp), purpose="upkeep")

    async def backup(self, path: str) -> None:
        raise StoreFailed("a database of PostgreSQL is copied with its own tools: pg_dump")
