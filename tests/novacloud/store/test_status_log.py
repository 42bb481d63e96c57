"""What every `TelemetryLog` has to do with statuses."""

from typing import Any

import pytest

from jsonrpc_iot.novacloud import Store
from jsonrpc_iot.novacloud.store.telemetry_log import Report, StatusReport

from .rows import A, B, row

pytestmark = pytest.mark.anyio


async def test_the_newest_status_counts(store: Store) -> None:
    await store.create_device(row())
    assert await store.status(A) is None
    for at, received in (100.0, 100.0), (50.0, 101.0), (9e9, 102.0), (90.0, 103.0):
        await store.write([Report(A, at, received, status={"at": at})])
    assert await store.status(A) == StatusReport({"at": 9e9}, 9e9)
    await store.write([Report(A, 104.0, 104.0, status={"at": 104.0})])
    assert await store.status(A) == StatusReport({"at": 104.0}, 104.0)


async def test_each_member_of_a_status_is_the_latest(store: Store) -> None:
    await store.create_device(row())
    await store.write([Report(A, 100.0, 100.0, status={"battery": 85, "cpu": 1})])
    await store.write([Report(A, 101.0, 101.0, status={"signal": -60})])
    await store.write([Report(A, 99.0, 102.0, status={"battery": 90, "uptime": 5})])
    await store.write([Report(A, 103.0, 103.0, status={"cpu": None}), Report(B, 1, 1)])
    members = {"battery": 85, "cpu": None, "signal": -60, "uptime": 5}
    assert await store.status(A) == StatusReport(members, 103.0)


async def test_members_of_statuses_do_not_grow_without_end(store: Store) -> None:
    await store.create_device(row())
    for at in range(20):
        await store.write([Report(A, at, at, status={f"{at}": "x" * 6000, "last": at})])
    found = await store.status(A)
    assert found is not None
    assert found.payload["last"] == 19
    assert [name for name in found.payload if name != "last"] == [f"{n}" for n in range(12, 20)]


async def test_statuses_as_they_came(store: Store) -> None:
    await store.create_device(row())
    for at in (1.0, 3.0, 2.0, 3.0):
        await store.write([Report(A, at, 9.0, status={"at": at}), Report(B, 1, 1, status={})])
    found = await store.status_history(A, None, None, 10)
    assert [each.timestamp for each in found] == [3.0, 3.0, 2.0, 1.0]
    assert await store.status_history(A, 2.0, 3.0, 10) == [StatusReport({"at": 2.0}, 2.0)]
    assert len(await store.status_history(A, None, None, 3)) == 3
    for at in range(1100):
        await store.write([Report(A, at, 9.0, status={})])
    assert len(await store.status_history(A, None, None, 2000)) == 1000


async def test_a_clock_that_is_set_back_holds_no_status_back(store: Store) -> None:
    await store.create_device(row())

    async def report(timestamp: float, received: float, battery: int) -> Any:
        await store.write([Report(A, timestamp, received, status={"battery": battery})])
        found = await store.status(A)
        assert found is not None
        return found.payload["battery"]

    assert await report(9000.0, 9000.0, 1) == 1
    assert await report(5000.0, 5000.0, 2) == 2  # the clock was an hour fast
    assert await report(4000.0, 5001.0, 3) == 2
    assert await report(5002.0, 5002.0, 4) == 4
