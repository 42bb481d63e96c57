"""`nova migrate`."""

import json
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import anyio
import asyncpg
import pytest

from jsonrpc_iot import ConnectFailed, UsageError
from jsonrpc_iot.cli.nova_migrate import _Progress, migrate
from jsonrpc_iot.novacloud import SqliteStore
from jsonrpc_iot.novacloud.store.registry import Audit
from jsonrpc_iot.novacloud.store.sqlite.sole import hold
from tests.novacloud.servers import postgres
from tests.novacloud.store.postgres.databases import empty_database
from tests.novacloud.store.rows import make_sensor, write_values
from tests.waiting import SECONDS

from .program import run, started


@pytest.fixture
def url() -> Iterator[str]:
    with empty_database() as url:
        yield url


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with a row of some kinds."""

    async def fill() -> None:
        async with SqliteStore(tmp_path / "nova.db", durable=False) as store:
            await write_values(store, await make_sensor(store), (1.0, 2), (1.0, 3))
            await store.audit(Audit(at=1.0, who="me", address="", method="x", params={}))

    anyio.run(fill)
    return tmp_path / "nova.db"


def test_looking_and_moving_and_once_more(
    file: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    migrate(file, url, dry_run=True)
    looked = json.loads(capsys.readouterr().out)
    moved = run("nova", "migrate", str(file), url)
    assert (moved.code, moved.err) == (0, "")
    assert moved.result == looked
    rows = {name: count for name, count in moved.result["rows"].items() if count}
    rows.pop("settled", None)  # which the store writes when it gets to it
    assert rows == {"devices": 1, "sensors": 1, "audit": 1, "telemetry": 2}
    with pytest.raises(UsageError) as caught:
        migrate(file, url)
    assert str(caught.value) == (
        "POSTGRES: the database has to be empty, and there are rows in "
        "devices, sensors, audit, telemetry"
    )


def spoil(path: Path, kind: str) -> None:
    """Have a file be what cannot be moved."""
    if kind == "older":
        with closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA user_version = 1")
        return
    path.unlink()
    if kind == "foreign":
        with closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE places (name TEXT)")
    elif kind == "text":
        path.write_text("nonsense " * 1000)


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        ("none", "No such file or directory"),
        ("text", "file is not a database"),
        ("foreign", "the file is another program's database"),
        ("older", "the file has the older version 1; a platform that opens it upgrades it"),
    ],
)
def test_files_that_cannot_be_moved(file: Path, url: str, kind: str, complaint: str) -> None:
    spoil(file, kind)
    with pytest.raises(UsageError) as caught:
        migrate(file, url)
    assert str(caught.value) == f"SQLITE: {file}: {complaint}"


def test_a_file_that_a_platform_has_open(file: Path, url: str) -> None:
    with closing(hold(file)):
        done = run("nova", "migrate", str(file), url)
    assert done.code == 3
    assert done.complaint == f"jsonrpc-iot: SQLITE: {file}: another platform has it open"


def test_databases_that_are_not_there(file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nowhere = f"postgresql://127.0.0.1:{closed.getsockname()[1]}/nova"
    for url, kind, complaint in (
        (nowhere, ConnectFailed, f"{nowhere}: nobody answers there"),
        (postgres().database_url("absent"), ConnectFailed, "it has no database of that name"),
        ("nova.db", UsageError, "expected postgresql://…, not 'nova.db'"),
        ("postgresql://127.0.0.1:x/nova", ConnectFailed, "postgresql://127.0.0.1:x/nova: "),
    ):
        with pytest.raises(kind) as caught:
            migrate(file, url)
        assert str(caught.value).startswith("POSTGRES: ")
        assert complaint in str(caught.value)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_one_that_is_ended_leaves_nothing(
    file: Path, url: str, number: signal.Signals, code: int
) -> None:
    copying = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ 'COPY'"
    )

    async def end_in_the_middle() -> None:
        db = await asyncpg.connect(url)
        transaction = db.transaction()
        await transaction.start()
        await db.execute("LOCK TABLE novacloud.audit IN SHARE MODE")  # it may read, not write
        with started("nova", "migrate", str(file), url) as program:
            with anyio.fail_after(SECONDS):
                while not await db.fetchval(copying):
                    await db.execute("SELECT pg_stat_clear_snapshot()")
            assert program.stop(number).code == code
        await transaction.rollback()
        await db.close()

    anyio.run(end_in_the_middle)
    moved = run("nova", "migrate", str(file), url)  # as soon as the server has noticed
    assert (moved.code, moved.err) == (0, "")
    assert moved.result["rows"]["telemetry"] == 2


def test_how_far_it_is() -> None:
    tell = _Progress(4_000_000)
    tell._begun = time.monotonic() - 10
    text = tell(1_000_000)
    assert text.startswith("1,000,000 of 4,000,000 rows, ")
    assert text.endswith(" s left")
    assert float(text.split()[4].removesuffix("/s,").replace(",", "")) == pytest.approx(
        1e5, rel=0.1
    )
    assert tell(4_000_000).endswith("/s; counting them")
