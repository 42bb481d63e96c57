"""What goes on beside reading and writing: partitions, and deleting what is too old or doomed.

Of the nodes of a database one does it at a time, whichever comes first.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

import anyio

from ...errors import StoreFailed
from ..means import Thinning
from ..settled import SettledClock
from . import hypertable, retention
from .pools import Db, Pools
from .reading import bounds
from .weeks import cover, drop_before

T = TypeVar("T")

logger = logging.getLogger("jsonrpc_iot.novacloud")

_LOOK_SECONDS, _AGAIN_SECONDS = 300.0, 20.0
_REST_SECONDS = 0.01  # after each slice, for those who want to write
SLICE = 5000
LOCK = 0x6E6F76616B656570
_NOTE_SECONDS = 600.0
_SENSORS = 200  # of one statement

_DELETE = """
DELETE FROM telemetry WHERE timestamp >= $2 AND timestamp <= $3
    AND sensor = ANY($1::bigint[]) AND (sensor, timestamp, received) IN (
        SELECT sensor, timestamp, received FROM telemetry
        WHERE sensor = ANY($1::bigint[]) AND timestamp >= $2 AND timestamp <= $3 LIMIT $4)"""


class Keeper:
    """Keeps the tables of values in shape, a slice at a time.

    Args:
        pools: where they are.
        clock: tells what is too old, in Unix seconds; the database's does by default.
        elapsed: seconds since some moment, by a clock that is never set.
    """

    def __init__(
        self,
        pools: Pools,
        clock: Callable[[], float] | None,
        elapsed: Callable[[], float] | None,
    ) -> None:
        self._pools = pools
        self._clock = clock
        self._now = 0.0
        self._settled = SettledClock(lambda: self._now, elapsed)
        self._one_at_a_time = anyio.Lock()
        self._wake = anyio.Event()
        self._too_large: set[str] = set()  # chunks that it took too long to compress

    def poke(self) -> None:
        """Look soon whether there is something to do."""
        self._wake.set()

    async def run(self) -> None:
        """Do what there is to do, until cancelled."""
        failing = False
        while True:
            pause = _LOOK_SECONDS
            try:
                if not await self.clean():
                    pause = _AGAIN_SECONDS  # what woke us may be news to the node that is at it
                failing = False
            except StoreFailed as error:
                if not failing:
                    logger.warning("the database cannot be kept in shape: %s", error)
                failing, pause = True, _AGAIN_SECONDS
            with anyio.move_on_after(pause):
                await self._wake.wait()
            self._wake = anyio.Event()

    async def clean(self) -> bool:
        """Make partitions, and delete what is too old or belongs to nobody any more.

        Returns:
            Whether it was done: another node may be at it.
        """
        async with self._one_at_a_time, self._pools.lend("upkeep") as lock:
            if not await lock.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
                return False
            try:
                await self._clean()
            finally:
                with anyio.CancelScope(shield=True):
                    await lock.execute("SELECT pg_advisory_unlock($1)", LOCK)
        return True

    async def delete(
        self, sensors: Sequence[int], start: float | None = None, end: float | None = None
    ) -> None:
        """Delete values wherever they are."""
        first, last = bounds(start, end)
        for at in range(0, len(sensors), _SENSORS):
            some = list(sensors[at : at + _SENSORS])
            count = SLICE
            while count >= SLICE:
                count = await self._do(partial(_delete, sensors=some, first=first, last=last))
                await anyio.sleep(_REST_SECONDS)

    async def _clean(self) -> None:
        now = await self._do(self._look)
        await self._try(cover)
        while doomed := await self._do(_doomed):
            await self.delete(doomed)
            await self._do(partial(_end_doom, sensors=doomed))
        rules = await self._do(retention.read_rules)
        oldest = retention.oldest(rules, now)
        if oldest is not None:
            await self._try(partial(drop_before, time=oldest))
        for sweep in retention.sweeps(rules, now):
            await self.delete(sweep.rule.sensors, end=sweep.end)
            await self._do(partial(retention.end_sweep, sweep=sweep))
        for thinning in await self._do(partial(retention.thinnings, rules=rules, now=now)):
            rest: Thinning | None = thinning
            while rest is not None:
                rest = await self._do(partial(retention.thin, thinning=rest))
                await anyio.sleep(_REST_SECONDS)
        for chunk in await self._do(partial(hypertable.uncompressed, now=now)):
            if chunk not in self._too_large and not await self._compress(chunk):
                self._too_large.add(chunk)

    async def _compress(self, chunk: str) -> bool:
        try:
            await self._do(partial(hypertable.compress, chunk=chunk))
        except StoreFailed as error:
            logger.warning("the values in %s stay as they are: %s", chunk, error)
            return False
        return True

    async def _do(self, job: Callable[[Db], Awaitable[T]]) -> T:
        return await self._pools.transact(job, purpose="upkeep")

    async def _try(self, job: Callable[[Db], Awaitable[object]]) -> None:
        """Do what has to wait where somebody reads or writes for long; there is time for that."""
        try:
            await self._do(job)
        except StoreFailed as error:
            logger.info("the partitions of values stay as they are for now: %s", error)

    async def _look(self, db: Db) -> float:
        """The time, as far as it is to be believed; it is noted now and then."""
        clock = self._clock
        self._now = await _time(db) if clock is None else clock()
        stored = await db.fetchval("SELECT max(at) FROM settled")
        now = self._settled.look(stored)
        if stored is None or not 0 <= now - stored < _NOTE_SECONDS:
            await db.execute("DELETE FROM settled")
            await db.execute("INSERT INTO settled VALUES ($1)", now)
        return now


async def _time(db: Db) -> float:
    return float(await db.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8"))


async def _doomed(db: Db) -> list[int]:
    return [id for (id,) in await db.fetch("SELECT sensor FROM doomed ORDER BY sensor LIMIT 10000")]


async def _end_doom(db: Db, sensors: Sequence[int]) -> None:
    for table in ("doomed", "downsampled"):
        await db.execute(f"DELETE FROM {table} WHERE sensor = ANY($1::bigint[])", sensors)


async def _delete(db: Db, sensors: Sequence[int], first: float, last: float) -> int:
    """Delete some values; returns how many."""
    status = await db.execute(_DELETE, sensors, first, last, SLICE)
    return int(status.rpartition(" ")[2])
