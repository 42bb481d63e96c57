"""A platform that stops, or whose program is cancelled, stores what has come, and ends at once."""

import time
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest

from jsonrpc_iot.novacloud import SqliteStore
from jsonrpc_iot.novacloud.store.query import Query
from jsonrpc_iot.novacloud.store.telemetry_log import Report
from tests.waiting import SECONDS

from .rig import running

pytestmark = pytest.mark.anyio


class Slow(SqliteStore):
    """A store that is still writing when the platform has closed its connections.

    Attributes:
        is_writing: is set once it has got a report.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, durable=False)
        self.is_writing = anyio.Event()
        self._stops = anyio.Event()

    async def write(self, reports: Sequence[Report]) -> list[bool]:
        self.is_writing.set()
        await self._stops.wait()
        return await super().write(reports)

    async def seen(self, times: Iterable[tuple[str, float]]) -> None:
        self._stops.set()
        await super().seen(times)


async def test_a_platform_that_stops_while_it_stores(tmp_path: Path) -> None:
    store = Slow(tmp_path / "nova.db")
    async with AsyncExitStack() as links, running(tmp_path, store=store) as rig:
        info = await rig.create(t="number")
        device = await links.enter_async_context(rig.link(info))
        await device.authenticate(ext=["ack"], outbox_id="box")
        await device.send({"type": "data", "seq": 1, "timestamp": 1, "payload": {"t": 1}})
        with anyio.fail_after(SECONDS):
            await store.is_writing.wait()
        await device.send({"type": "data", "seq": 2, "timestamp": 2, "payload": {"t": 2}})
        await rig.until_stat("messages", 2)
    async with SqliteStore(tmp_path / "nova.db") as opened:
        known = await opened.device(info["device_id"])
        points = await opened.query(Query(sensor=known.sensors[0].id))
        assert [point.value for point in points] == [1, 2]


async def test_a_cancelled_platform(tmp_path: Path) -> None:
    began = 0.0
    id = ""
    with anyio.CancelScope() as scope:
        async with running(tmp_path) as rig:
            info = await rig.create(t="number")
            id = info["device_id"]
            async with rig.device(info) as device:
                for number in range(100):
                    await device.data(number, t=number)
                await rig.until_stat("messages", 100)
                began = time.monotonic()
                scope.cancel()
                await anyio.sleep_forever()
    assert time.monotonic() - began < 3
    async with SqliteStore(tmp_path / "nova.db") as store:
        known = await store.device(id)
        points = await store.query(Query(sensor=known.sensors[0].id))
        assert [point.value for point in points] == [*range(100)]
        assert known.row.last_seen is not None
