"""What every `Outboxes` has to know."""

import time

import pytest

from jsonrpc_iot.novacloud import Store
from jsonrpc_iot.novacloud.store.telemetry_log import Report

from .rows import A, B, make_sensor, row, values_of

pytestmark = pytest.mark.anyio


async def test_a_sequence_number_is_stored_once(store: Store) -> None:
    sensor = await make_sensor(store)

    async def send(*seqs: int, box: str = "box") -> list[bool]:
        reports = [Report(A, seq, 1.0, [(sensor.id, seq)], outbox_id=box, seq=seq) for seq in seqs]
        return await store.write(reports)

    assert await send(1, 2, 2, 1, 4) == [True, True, False, False, True]
    assert await send(3, 4, 5) == [False, False, True]
    assert await send(1, box="other") == [True]
    found = [value for _, value in await values_of(store, sensor)]
    assert found == [1, 1, 2, 4, 5]


async def test_outboxes_without_end_are_forgotten(store: Store) -> None:
    await store.create_device(row())
    for number in range(100):
        assert await store.write([Report(A, 1, 1, outbox_id=f"{number}", seq=5)]) == [True]
    assert await store.write([Report(A, 1, 1, outbox_id="99", seq=5)]) == [False]


async def test_the_outbox_of_a_device_is_known_however_the_clock_is_set(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.create_device(row())

    async def write(outbox: str, seq: int) -> bool:
        (is_new,) = await store.write([Report(A, 1.0, 1.0, outbox_id=outbox, seq=seq)])
        return is_new

    for number in range(20):
        assert await write(f"old {number}", 1)
    for name in "time", "time_ns":
        monkeypatch.setattr(time, name, lambda: 1)
    assert await write("present", 7)
    assert await write("another", 1)
    assert not await write("present", 7)


async def test_the_heads_of_a_device(store: Store) -> None:
    await store.create_device(row())
    assert await store.heads(A) == {}
    for number in range(20):
        await store.write([Report(A, 1.0, 1.0, outbox_id=f"{number}", seq=number + 1)])
    reports = [Report(A, 1.0, 1.0, outbox_id="7", seq=seq) for seq in (9, 12, 10)]
    await store.write([*reports, Report(A, 1.0, 1.0, outbox_id="5", seq=1)])
    heads = await store.heads(A)
    assert heads == {f"{number}": number + 1 for number in range(4, 20)} | {"7": 12}
    assert set([*heads][-2:]) == {"5", "7"}
    assert await store.heads(B) == {}
