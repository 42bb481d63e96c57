"""A platform whose program is cancelled stores what has come, and ends at once."""

import time
from pathlib import Path

import anyio
import pytest

from jsonrpc_iot.novacloud import SqliteStore
from jsonrpc_iot.novacloud.store.store import Query

from .rig import running

pytestmark = pytest.mark.anyio


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
