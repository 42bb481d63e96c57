"""What was taken of outboxes is remembered for ever, and what was not stored is not taken."""

import sqlite3
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from jsonrpc_iot.novacloud import SqliteStore, StoreFailed
from jsonrpc_iot.novacloud.store.registry import DeviceRow
from jsonrpc_iot.novacloud.store.sqlite import taken
from jsonrpc_iot.novacloud.store.sqlite.schema import STEPS
from jsonrpc_iot.novacloud.store.telemetry_log import Report

pytestmark = pytest.mark.anyio

A, B = "a", "b"


async def make(store: SqliteStore, *devices: str) -> None:
    for id in devices:
        await store.create_device(DeviceRow(device_id=id, name=id, key_hash=bytes(32)))


async def send(store: SqliteStore, seq: int, device: str = A, box: str = "box") -> bool:
    (is_new,) = await store.write([Report(device, 1.0, 1.0, outbox_id=box, seq=seq)])
    return is_new


@pytest.mark.parametrize("groups", [1, 3, 4, 5, 9])
async def test_a_file_that_is_opened_again_knows_all(
    groups: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taken, "_GROUPS", 4)
    path = tmp_path / "nova.db"
    async with SqliteStore(path, durable=False) as store:
        await make(store, A, B)
        for seq in range(1, groups + 1):
            assert await send(store, seq)
            assert await send(store, 10 * seq, B)
            assert not await send(store, seq)
    async with SqliteStore(path, durable=False) as store:
        assert not await send(store, groups)
        assert not await send(store, 10 * groups, B)
        assert await send(store, groups + 1)
        assert await send(store, 10 * groups + 1, B)


@pytest.mark.parametrize("box", ["box", "new"])
async def test_what_a_full_disk_took_back_may_come_again(box: str, tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "nova.db", durable=False, max_pages=100) as store:
        await make(store, A)
        sensor = (await store.define_sensor(A, "t", "string")).id
        assert await send(store, 1)
        value = [(sensor, "x" * 1_000_000)]
        with pytest.raises(StoreFailed):
            await store.write([Report(A, 1.0, 1.0, value, outbox_id=box, seq=7)])
        assert await send(store, 7, box=box)
        assert not await send(store, 7, box=box)
        assert not await send(store, 1)


async def test_one_that_fails_costs_the_others_of_its_group_nothing(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "nova.db", durable=False, max_pages=100) as store:
        await make(store, A, B)
        sensor = (await store.define_sensor(A, "t", "string")).id
        taken = []

        async def fail() -> None:
            value = [(sensor, "x" * 1_000_000)]
            with pytest.raises(StoreFailed):
                await store.write([Report(A, 1.0, 1.0, value, outbox_id="box", seq=5)])

        async def other(box: str) -> None:
            taken.append(await send(store, 2, B, box))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(other, "one")
            tasks.start_soon(fail)
            tasks.start_soon(other, "two")
        assert taken == [True, True]
        assert not await send(store, 2, B, "one")
        assert not await send(store, 2, B, "two")
        assert await send(store, 5)


async def test_a_device_that_is_made_anew_has_sent_nothing(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "nova.db", durable=False) as store:
        await make(store, A)
        assert await send(store, 5)
        await store.delete_device(A)
        assert await send(store, 5)  # nobody's, and not remembered
        await make(store, A)
        assert await send(store, 5)
        assert not await send(store, 5)


async def test_the_outboxes_of_an_older_file_are_known(tmp_path: Path) -> None:
    path = tmp_path / "nova.db"
    older = STEPS[: STEPS.index(taken.MIGRATION)]
    with closing(sqlite3.connect(path)) as db:
        for step in older:
            db.executescript(step)
        db.execute(f"PRAGMA user_version = {len(older)}")
        db.execute("INSERT INTO outboxes VALUES ('a', 'box', 7, 1)")
        db.execute(
            "INSERT INTO devices (device_id, name, key_hash, enabled, created) "
            "VALUES ('a', 'a', x'00', 1, 0)"
        )
        db.commit()
    async with SqliteStore(path, durable=False) as store:
        assert not await send(store, 7)
        assert await send(store, 8)
