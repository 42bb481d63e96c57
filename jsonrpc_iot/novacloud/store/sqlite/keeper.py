"""What goes on beside reading and writing: merging, and deleting what is too old or doomed."""

import logging
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from math import inf

import anyio

from ...errors import StoreDamaged, StoreFailed
from ..means import Thinning
from ..settled import SettledClock
from . import retention, upkeep
from .fresh import FreshTables
from .mending import Damage, mend, survey
from .upkeep import Cut
from .writer import Writer

logger = logging.getLogger("jsonrpc_iot.novacloud")

_LOOK_SECONDS = 30.0
_MEND_SECONDS = 5.0  # between two looks for damage, each of which takes the writer's time
_REST_SECONDS = 0.01  # after each slice, for those who want to write


class Keeper:
    """Keeps the tables of values in shape, a slice at a time.

    Args:
        writer: does the work.
        fresh: where values arrive.
        read: runs something with a connection that only reads.
        clock: tells what is too old.

    Attributes:
        mended: how many times a damaged table was replaced.
        lost_groups: of those that came together, in which something was lost to damaged pages.
    """

    def __init__(
        self,
        writer: Writer,
        fresh: FreshTables,
        read: Callable[[Callable[[sqlite3.Connection], list[Damage]]], Awaitable[list[Damage]]],
        clock: SettledClock,
    ) -> None:
        self._writer = writer
        self._fresh = fresh
        self._read = read
        self._clock = clock
        self._one_at_a_time = anyio.Lock()
        self._wake = anyio.Event()
        self._closing = False
        self._looked = -inf
        self._gave_up = False
        self.mended = 0
        self.lost_groups = 0

    def close(self) -> None:
        """Begin nothing more; who would write is refused from now on."""
        self._closing = True

    def poke(self) -> None:
        """Look soon whether there is something to do."""
        self._wake.set()

    def note_write(self) -> None:
        """Look soon if much has come."""
        if self._fresh.groups >= upkeep.GROUPS or self._fresh.rows >= upkeep.ROWS:
            self._wake.set()

    async def run(self) -> None:
        """Do what there is to do, until cancelled."""
        failing = False
        while True:
            seen = self.mended
            try:
                await self.merge()
                await self.clean()
                failing = False
            except StoreFailed as error:
                if self._closing:
                    return
                if isinstance(error, StoreDamaged) and await self.mend(seen):
                    continue
                if not failing:
                    logger.warning("the database cannot be kept in shape: %s", error)
                failing = True
            with anyio.move_on_after(_LOOK_SECONDS):
                if failing:
                    await anyio.sleep_forever()
                await self._wake.wait()
            self._wake = anyio.Event()

    async def mend(self, seen: int) -> bool:
        """Replace what is damaged of the tables in which values arrive.

        Args:
            seen: `mended` before something went wrong.

        Returns:
            Whether anything has been replaced since; for a few seconds after a look that found
            nothing it is not looked again.
        """
        async with self._one_at_a_time:
            if self.mended != seen:
                return True
            now = anyio.current_time()
            if now < self._looked + _MEND_SECONDS:
                return False
            self._looked = now
            last = self._fresh.last
            try:
                found = await self._read(lambda db: survey(db, last))
                if found:
                    await self._writer.do(lambda db: mend(db, self._fresh, found))
            except StoreFailed as error:
                if not self._gave_up:
                    logger.error("damaged pages stay where they are: %s", error)
                self._gave_up = True
                return False
            if not found:
                return False
        lost = sum(damage.lost for damage in found)
        self._looked = -inf
        self.mended += 1
        self.lost_groups += lost
        logger.error(
            "damaged pages: of %d groups of values something is lost, and a new table is in use",
            lost,
        )
        return True

    async def merge(self) -> None:
        """Sort what has come into parts, as long as there is much."""
        async with self._one_at_a_time:
            while begun := await self._writer.do(lambda db: upkeep.begin_merge(db, self._fresh)):
                merge: upkeep.Merge | None = begun
                while merge is not None:
                    merge = await self._writer.do(partial(upkeep.step_merge, merge=merge))
                    await anyio.sleep(_REST_SECONDS)
            await self._bury()

    async def clean(self) -> None:
        """Delete what is too old, and what belongs to nobody any more."""
        async with self._one_at_a_time:
            now = await self._writer.do(lambda db: retention.settled_now(db, self._clock))
            doomed = await self._writer.do(
                lambda db: [id for (id,) in db.execute("SELECT sensor FROM doomed ORDER BY sensor")]
            )
            if doomed:
                runs = await self._writer.do(lambda db: upkeep.runs(db, -1e300, 1e300))
                await self._cut(runs, [Cut(sensor) for sensor in doomed])
                rows = [(sensor,) for sensor in doomed]
                await self._writer.do(
                    lambda db: db.executemany("DELETE FROM doomed WHERE sensor = ?", rows)
                )
            await self._writer.do(lambda db: retention.drop_old_parts(db, now))
            for sweep in await self._writer.do(lambda db: retention.sweeps(db, now)):
                await self._cut(sweep.runs, sweep.cuts)
                await self._writer.do(partial(retention.end_sweep, sweep=sweep))
            for thinning in await self._writer.do(lambda db: retention.thinnings(db, now)):
                rest: Thinning | None = thinning
                while rest is not None:
                    rest = await self._writer.do(
                        partial(retention.thin, fresh=self._fresh, thinning=rest)
                    )
                    await anyio.sleep(_REST_SECONDS)
            await self._bury()

    async def delete(self, cuts: Sequence[Cut]) -> None:
        """Delete values wherever they are."""
        async with self._one_at_a_time:
            start, end = min(cut.start for cut in cuts), max(cut.end for cut in cuts)
            runs = await self._writer.do(lambda db: upkeep.runs(db, start, end))
            await self._cut(runs, cuts)

    async def _cut(self, runs: Sequence[tuple[str, int]], cuts: Sequence[Cut]) -> None:
        for run in runs:
            position = 0
            while position < len(cuts):
                position = await self._writer.do(
                    partial(upkeep.delete_cuts, run=run, cuts=cuts, position=position)
                )
                await anyio.sleep(_REST_SECONDS)
        await self._writer.do(upkeep.drop_empty)

    async def _bury(self) -> None:
        """Delete parts that nobody reads any more."""
        for part in await self._writer.do(upkeep.dead_parts):
            is_gone = False
            while not is_gone:
                is_gone = await self._writer.do(partial(upkeep.delete_part, part=part))
                await anyio.sleep(_REST_SECONDS)
