"""What only a store in a file has to do."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from jsonrpc_iot.novacloud import SqliteStore, StoreFailed
from jsonrpc_iot.novacloud.store.query import Query
from jsonrpc_iot.novacloud.store.sqlite.schema import STEPS
from jsonrpc_iot.novacloud.store.telemetry_log import Report, StatusReport

from ..rows import A, command, row

pytestmark = pytest.mark.anyio


async def test_what_was_written_is_in_the_file_when_the_store_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "nova.db"
    async with SqliteStore(path) as store:
        await store.create_device(row())
    assert [file.name for file in tmp_path.iterdir()] == ["nova.db"]
    async with SqliteStore(path) as store:
        assert await store.devices() == [row()]


async def test_a_closed_store_takes_nothing(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "nova.db")
    async with store:
        pass
    with pytest.raises(StoreFailed):
        await store.create_device(row())


async def test_a_full_disk_fails_what_does_not_fit_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "nova.db"
    async with SqliteStore(path, durable=False, max_pages=40) as store:
        await store.create_device(row())
        sensor = await store.define_sensor(A, "t", "string")
        written = 0

        async def fill() -> None:
            nonlocal written
            for number in range(100):
                await store.write([Report(A, number, 1.0, [(sensor.id, "x" * 5000)])])
                written += 1

        with pytest.raises(StoreFailed, match="full"):
            await fill()
        assert 0 < written < 99
        assert len(await store.query(Query(sensor=sensor.id))) == written
        await store.update_device(A, name="short")
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
    async with SqliteStore(path) as store:
        assert len(await store.query(Query(sensor=sensor.id))) == written
        await store.write([Report(A, 1000, 1.0, [(sensor.id, "y" * 5000)])])


async def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "nova.db"
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {len(STEPS) + 1}")
    db.close()
    before = path.read_bytes()
    with pytest.raises(StoreFailed, match="version"):
        async with SqliteStore(path):
            pass
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    db.close()
    assert before


async def test_a_file_of_the_first_version_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "nova.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(f"{STEPS[0]}; PRAGMA user_version = 1;")
        db.execute("INSERT INTO devices VALUES (?, 'lamp', ?, 1, 1.5, NULL)", (A, b"\x00\xff" * 16))
        status = '{"battery":85,"cpu":1}'
        db.execute("INSERT INTO statuses VALUES (?, 100.0, 100.0, ?)", (A, status.encode()))
        db.execute(
            "INSERT INTO commands (command_id, device_id, command, status, payload, created, "
            "expires) VALUES ('one', ?, ?, 'QUEUED', ?, 1, 2)",
            (A, b'{"light":[1]}', b"null"),
        )
        db.commit()
    async with SqliteStore(path) as store:
        assert await store.devices() == [row()]
        assert await store.commands() == [command("one")]
        await store.write([Report(A, 99.0, 200.0, status={"battery": 1, "signal": -60})])
        await store.write([Report(A, 101.0, 201.0, status={"cpu": 2})])
        members = {"battery": 85, "cpu": 2, "signal": -60}
        assert await store.status(A) == StatusReport(members, 101.0)


@pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\x00" + b"\xff" * 4096])
async def test_a_file_that_is_no_database(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "nova.db"
    path.write_bytes(content * 50)
    with pytest.raises(StoreFailed, match=r"nova\.db"):
        async with SqliteStore(path):
            pass
    assert path.read_bytes() == content * 50


async def test_no_key_is_in_the_file(tmp_path: Path) -> None:
    from tests.novacloud.rig import running

    async with running(tmp_path) as rig:
        info = await rig.create()
        files = [file.read_bytes() for file in tmp_path.iterdir()]
    assert any(info["device_id"].encode() in each for each in files)
    assert not any(info["device_key"].encode() in each for each in files)


async def test_the_log_is_cut_off_after_a_reader_has_held_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jsonrpc_iot.novacloud.store.sqlite.store._LOG_PAGES", 64)
    path, log = tmp_path / "nova.db", tmp_path / "nova.db-wal"
    async with SqliteStore(path, durable=False) as store:
        await store.create_device(row())
        sensor = await store.define_sensor(A, "t", "string")

        async def write(count: int) -> None:
            for number in range(count):
                await store.write([Report(A, number, 1.0, [(sensor.id, "x" * 5000)])])

        with closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM devices").fetchone()
            await write(200)
            assert log.stat().st_size > 4 * 64 * 4096
        await write(3)
        assert log.stat().st_size <= 64 * 4096
