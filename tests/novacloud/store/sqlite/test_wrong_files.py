"""Files that are no platform's database: nobody writes to them, and a sentence says why."""

import os
import sqlite3
import sys
from pathlib import Path

import pytest

from jsonrpc_iot.novacloud import SqliteStore, StoreFailed
from jsonrpc_iot.novacloud.store.sqlite.backup import copy_file

pytestmark = pytest.mark.anyio


def foreign(path: Path, version: int = 0) -> Path:
    """Another program's database."""
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE places (name TEXT)")
        db.execute(f"PRAGMA user_version = {version}")
    db.close()
    return path


@pytest.mark.parametrize("version", [0, 3])
async def test_another_programs_database_stays_as_it_is(tmp_path: Path, version: int) -> None:
    path = foreign(tmp_path / "places.db", version)
    with pytest.raises(StoreFailed, match="another program's database"):
        async with SqliteStore(path):
            pass
    with pytest.raises(StoreFailed, match=r"places\.db: the file is another program's"):
        copy_file(path, tmp_path / "copy.db")
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("places",)]
    db.close()
    assert not (tmp_path / "copy.db").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no such files")
async def test_what_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path(os.devnull)):
        with pytest.raises(StoreFailed, match="no regular file"):
            async with SqliteStore(path):
                pass


async def test_an_empty_file_is_nothing_to_copy(tmp_path: Path) -> None:
    (tmp_path / "nova.db").touch()
    with pytest.raises(StoreFailed, match="no platform's database"):
        copy_file(tmp_path / "nova.db", tmp_path / "copy.db")
    with pytest.raises(StoreFailed, match="none\\.db: No such file"):
        copy_file(tmp_path / "none.db", tmp_path / "copy.db")


async def test_a_copy_that_cannot_be_written_is_blamed(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "nova.db"):
        pass
    copy = tmp_path / ("c" * 250)  # fits, but not with what it is called until it is whole
    with pytest.raises(StoreFailed, match="cccc: File name too long"):
        copy_file(tmp_path / "nova.db", copy)
