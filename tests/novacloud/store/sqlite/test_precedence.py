"""Long queries make way for commits and look-ups, and end all the same."""

import threading
from functools import partial
from pathlib import Path

import anyio
import pytest

from jsonrpc_iot.novacloud import SqliteStore
from jsonrpc_iot.novacloud.store.query import Query
from jsonrpc_iot.novacloud.store.registry import DeviceRow
from jsonrpc_iot.novacloud.store.sqlite import precedence
from jsonrpc_iot.novacloud.store.telemetry_log import Report
from tests.waiting import SECONDS

pytestmark = pytest.mark.anyio


class Pauses:
    """In place of the clock's `sleep`: counts."""

    def __init__(self) -> None:
        self.count = 0

    def sleep(self, seconds: float) -> None:
        assert seconds == 0.002
        self.count += 1


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Pauses:
    pauses = Pauses()
    monkeypatch.setattr(precedence, "time", pauses)
    return pauses


@pytest.mark.parametrize("kind", ["commit", "look-up"])
async def test_a_query_makes_way_only_for_what_is_urgent(
    kind: str, pauses: Pauses, tmp_path: Path
) -> None:
    async with SqliteStore(tmp_path / "nova.db", durable=False) as store:
        await store.create_device(DeviceRow(device_id="d", name="d", key_hash=bytes(32)))
        sensor = (await store.define_sensor("d", "t", "number")).id
        await store.write([Report("d", at, at, [(sensor, 1)]) for at in map(float, range(20_000))])
        await store.keeper.merge()
        await store.keeper.clean()  # so that it has nothing left to do of its own accord
        pauses.count = 0
        mean = Query(sensor=sensor, aggregate="mean")

        async def ask() -> None:
            with anyio.fail_after(SECONDS):
                assert [point.value async for point in store.points(mean)] == [1]

        await ask()
        assert pauses.count == 0
        begun, over = threading.Event(), threading.Event()

        def work(_: object) -> None:
            begun.set()
            assert over.wait(SECONDS)

        run = store._commit if kind == "commit" else store._read
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run, work)
            await anyio.to_thread.run_sync(partial(begun.wait, SECONDS))
            await ask()
            assert pauses.count > 0
            over.set()
        pauses.count = 0
        await ask()
        assert pauses.count == 0
