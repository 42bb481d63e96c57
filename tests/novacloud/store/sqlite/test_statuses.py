"""Statuses in an SQLite file: what older files have of them, and how little is written for each."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from jsonrpc_iot.novacloud import SqliteStore
from jsonrpc_iot.novacloud.store.sqlite.schema import STEPS
from jsonrpc_iot.novacloud.store.sqlite.status import STATUS_LOG
from jsonrpc_iot.novacloud.store.telemetry_log import Report, StatusReport

from ..rows import A, row

pytestmark = pytest.mark.anyio


async def test_statuses_of_an_older_file_go_on(tmp_path: Path) -> None:
    path = tmp_path / "nova.db"
    before = STEPS.index(STATUS_LOG)
    with closing(sqlite3.connect(path)) as db:
        db.executescript(f"{';'.join(STEPS[:before])}; PRAGMA user_version = {before};")
        db.execute(
            "INSERT INTO devices (device_id, name, key_hash, enabled, created) "
            "VALUES (?, 'lamp', ?, 1, 1.5)",
            (A, bytes(32)),
        )
        db.execute(
            "INSERT INTO statuses VALUES (?, 102.0, 102.0, ?, ?)",
            (A, b'{"battery":85,"cpu":2}', b'{"battery":101.0,"cpu":102.0}'),
        )
        for at, text in ((101.0, b'{"battery":85}'), (102.0, b'{"cpu":2}')):
            history = "INSERT INTO status_history (device_id, timestamp, payload) VALUES (?, ?, ?)"
            db.execute(history, (A, at, text))
        db.commit()
    async with SqliteStore(path) as store:
        assert await store.status(A) == StatusReport({"battery": 85, "cpu": 2}, 102.0)
        await store.write([Report(A, 103.0, 103.0, status={"cpu": 3})])
        assert await store.status(A) == StatusReport({"battery": 85, "cpu": 3}, 103.0)
        assert await store.status_history(A, None, None, 10) == [
            StatusReport({"cpu": 3}, 103.0),
            StatusReport({"cpu": 2}, 102.0),
            StatusReport({"battery": 85}, 101.0),
        ]


async def test_a_member_outlives_the_status_that_it_came_in(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "nova.db", durable=False) as store:
        await store.create_device(row())
        await store.write([Report(A, 0, 0, status={"firmware_version": "1.2.3"})])
        await store.write([Report(A, at, at, status={"uptime": at}) for at in range(1, 1250)])
        members = {"firmware_version": "1.2.3", "uptime": 1249}
        assert await store.status(A) == StatusReport(members, 1249)
        kept = await store.status_history(A, None, None, 2000)
        assert [each.timestamp for each in kept] == [*range(1249, 249, -1)]
    async with SqliteStore(tmp_path / "nova.db") as store:
        assert await store.status(A) == StatusReport(members, 1249)
        await store.delete_device(A)
        await store.create_device(row())
        assert await store.status(A) is None
        assert await store.status_history(A, None, None, 10) == []


async def test_a_status_changes_one_page(tmp_path: Path) -> None:
    """Or two, where its device's page is full: a disk is worn out by pages, not by bytes."""
    path = tmp_path / "nova.db"
    status = {"battery": 85, "signal": -60, "uptime": 3600}
    async with SqliteStore(path) as store:
        await store.create_device(row())
        for at in range(100):
            await store.write([Report(A, at, at, status=status)])
        before = os.stat(f"{path}-wal").st_size
        for at in range(100, 150):
            await store.write([Report(A, at, at, status=status)])
        assert os.stat(f"{path}-wal").st_size - before < 2 * 50 * 4120
