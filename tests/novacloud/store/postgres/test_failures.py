"""What goes wrong with a PostgreSQL: each has its sentence, and nothing waits for ever."""

import asyncio
import gc
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import anyio
import anyio.lowlevel
import asyncpg
import pytest

from jsonrpc_iot.novacloud import StoreFailed
from jsonrpc_iot.novacloud.bus.postgres import PostgresBus
from jsonrpc_iot.novacloud.errors import StoreDamaged
from jsonrpc_iot.novacloud.store.postgres import PostgresStore, pools
from jsonrpc_iot.novacloud.store.postgres.failures import shown
from jsonrpc_iot.novacloud.store.postgres.pools import SCHEMA
from jsonrpc_iot.novacloud.store.telemetry_log import Report
from tests.novacloud.servers import (
    Postgres,
    end_queries_in_their_middle,
    new_postgres,
    postgres,
)
from tests.waiting import SECONDS

from ..rows import A, make_sensor, row, values_of, write_values
from .databases import new_database

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """The one that asyncpg runs on; what it is like with uvloop the contract tests show."""
    return "asyncio"


@pytest.fixture
def database() -> Iterator[str]:
    with new_database() as url:
        yield url


@pytest.fixture
async def store(database: str) -> AsyncIterator[PostgresStore]:
    async with PostgresStore(database) as store:
        await store.create_device(row())
        yield store


@pytest.fixture(scope="module")
def own_server() -> Iterator[Postgres]:
    """One that may be stopped."""
    server = new_postgres()
    yield server
    server.stop()


async def run(url: str, text: str) -> None:
    """Do something to a database from aside."""
    db = await asyncpg.connect(url, server_settings={"search_path": SCHEMA})
    await db.execute(text)
    await db.close()


@contextmanager
def quick() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < SECONDS / 2


async def opening(url: str) -> str:
    """Why a store does not open."""
    with quick(), pytest.raises(StoreFailed) as failed:
        async with PostgresStore(url):
            pass
    return failed.value.message


async def until_it_works(work: Callable[[], Awaitable[object]]) -> None:
    """Do something again and again, as the server may still be away."""
    with anyio.fail_after(SECONDS):
        while True:
            with suppress(StoreFailed):
                await work()
                return
            await anyio.sleep(0.02)


def test_passwords_are_not_shown() -> None:
    url = "postgresql://nova:s%40cret@db.example:5433/nova?password=secret&sslmode=require"
    assert shown(url) == "postgresql://nova:***@db.example:5433/nova"
    assert shown("postgresql://nova@db.example/nova") == "postgresql://nova@db.example/nova"
    assert "secret" not in shown("postgresql://nova:secret@[::1/nova")
    assert shown("postgresql://nova:p@ss@db/nova") == "postgresql://nova:***@db/nova"


async def test_a_server_that_is_not_there() -> None:
    with socket.socket() as held:  # nobody else gets the port, and nobody answers there
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        message = await opening(f"postgresql://nova:secret@127.0.0.1:{port}/nova")
    assert message == f"postgresql://nova:***@127.0.0.1:{port}/nova: nobody answers there"
    assert "no such host" in await opening("postgresql://nova:secret@nowhere.invalid/nova")


async def test_an_address_that_is_none() -> None:
    message = await opening("mysql://nova:secret@127.0.0.1/nova")
    assert "mysql://nova:***@127.0.0.1/nova: " in message
    assert "secret" not in message


async def test_who_may_not_in(own_server: Postgres) -> None:
    own_server.sql("CREATE ROLE guarded LOGIN PASSWORD 'right'")
    own_server.sql("CREATE DATABASE nova")
    rules = Path(own_server.sql("SHOW hba_file"))
    rules.write_text("host all guarded 127.0.0.1/32 scram-sha-256\n" + rules.read_text())
    own_server.stop()
    own_server.start()
    place = own_server.host
    for password in "wrong", "right":
        message = await opening(f"postgresql://guarded:{password}@{place}/nova")
        assert password not in message
        # With the right one it is in, and may make no tables.
        assert ("the password" if password == "wrong" else "may not do that") in message
    assert "no database of that name" in await opening(own_server.database_url("unknown"))


async def test_a_database_of_another_program_or_of_a_newer_one(database: str) -> None:
    await run(database, "INSERT INTO migrations (number, name) VALUES (9999, 'later')")
    assert "the database has version 9999; this program knows" in await opening(database)
    await run(database, "ALTER TABLE migrations RENAME TO other")
    assert "another program's" in await opening(database)


async def test_an_encoding_that_cannot_hold_all_texts() -> None:
    server = postgres()
    with server.new_database() as url:
        name = url.rpartition("/")[2]
        server.sql(f"CREATE DATABASE {name}_latin ENCODING 'LATIN1' TEMPLATE template0")
        try:
            assert "the encoding LATIN1" in await opening(f"{url}_latin")
        finally:
            server.sql(f"DROP DATABASE {name}_latin WITH (FORCE)")


async def test_nodes_that_start_together_make_the_tables_once() -> None:
    with postgres().new_database() as url:

        async def open_it() -> None:
            async with PostgresStore(url) as store:
                assert await store.device_count() == 0

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(open_it)


async def test_a_server_that_goes_and_comes_again(own_server: Postgres) -> None:
    name = "comes"
    own_server.sql(f"CREATE DATABASE {name}")
    async with PostgresStore(own_server.database_url(name)) as store:
        sensor = await make_sensor(store)
        await write_values(store, sensor, (1.0, 1))
        own_server.stop()
        with quick():
            for _ in range(20):
                with pytest.raises(StoreFailed, match=r"nobody answers|lost|shut down"):
                    await store.device(A)
                with pytest.raises(StoreFailed):
                    await write_values(store, sensor, (2.0, 2))
        own_server.start()
        await until_it_works(partial(write_values, store, sensor, (3.0, 3)))
        with quick():
            assert [at for at, _ in await values_of(store, sensor)] == [1.0, 3.0]


async def test_a_server_that_says_nothing_holds_nobody_for_ever(
    own_server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {
        purpose: pools.Limits(each.connections, 0.3) for purpose, each in pools.LIMITS.items()
    }
    monkeypatch.setattr(pools, "LIMITS", limits)
    monkeypatch.setattr(pools, "SLACK_SECONDS", 0.2)
    monkeypatch.setattr(pools, "CONNECT_SECONDS", 0.5)
    own_server.sql("CREATE DATABASE silent")
    async with PostgresStore(own_server.database_url("silent")) as store:
        sensor = await make_sensor(store)
        own_server.freeze()
        try:

            async def ask() -> None:
                with pytest.raises(StoreFailed, match="does not answer"):
                    await store.device(A)

            with quick():  # many wait for few connections
                async with anyio.create_task_group() as tasks:
                    for _ in range(200):
                        tasks.start_soon(ask)
            with quick(), pytest.raises(StoreFailed, match="does not answer"):
                await write_values(store, sensor, (1.0, 1))
        finally:
            own_server.thaw()
        await until_it_works(partial(store.device, A))


async def test_a_full_disk_fails_what_needs_room_and_nothing_else(
    database: str, store: PostgresStore
) -> None:
    sensor = await make_sensor(store)
    await run(
        database,
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION "
        "USING ERRCODE = 'disk_full', MESSAGE = 'could not extend file'; END $$; "
        "CREATE TRIGGER full_disk BEFORE INSERT ON telemetry FOR EACH ROW "
        "EXECUTE FUNCTION full_disk()",
    )
    report = Report(A, 1.0, 1.0, [(sensor.id, 1)], outbox_id="box", seq=7)
    with pytest.raises(StoreFailed, match="its disk is full"):
        await store.write([report])
    assert (await store.device(A)).row.name == "lamp"
    await run(database, "DROP TRIGGER full_disk ON telemetry")
    assert await store.write([report]) == [True]
    assert await store.write([report]) == [False]


async def test_damaged_pages_are_told_as_such(store: PostgresStore) -> None:
    with pytest.raises(StoreDamaged, match="invalid page in block 7"):
        await store._pools.fetch(
            "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'data_corrupted', "
            "MESSAGE = 'invalid page in block 7'; END $$"
        )


async def test_a_database_that_may_only_be_read(database: str, store: PostgresStore) -> None:
    sensor = await make_sensor(store)
    name = database.rpartition("/")[2]
    postgres().sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    postgres().sql(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    )
    assert (await store.device(A)).row.name == "lamp"
    with pytest.raises(StoreFailed, match="it is read-only"):
        await write_values(store, sensor, (1.0, 1))


async def test_slow_commits_and_long_reports_hold_no_look_up_up(
    database: str, store: PostgresStore
) -> None:
    sensor = await make_sensor(store)
    await run(
        database,
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_sleep(1); RETURN NULL; END $$; "
        "CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON telemetry DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION wait()",
    )
    done = 0

    async def write() -> None:
        nonlocal done
        await write_values(store, sensor, (1.0, 1))
        done += 1

    async def report() -> None:
        nonlocal done
        await store._pools.fetch("SELECT pg_sleep(1)", purpose="reports")
        done += 1

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(write)
            tasks.start_soon(report)
        for _ in range(20):
            await store.device(A)
        assert done == 0
    assert done == 8


async def test_what_takes_too_long_is_given_up(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {**pools.LIMITS, "reports": pools.Limits(1, 1.0)}
    monkeypatch.setattr(pools, "LIMITS", limits)
    async with PostgresStore(database) as store:
        with quick(), pytest.raises(StoreFailed, match="took too long"):
            await store._pools.fetch("SELECT pg_sleep(30)", purpose="reports")


async def test_who_stops_waiting_leaves_the_connections_as_they_were(store: PostgresStore) -> None:
    for _ in range(8):  # more than there are
        with anyio.move_on_after(0.03) as scope:
            await store._pools.fetch("SELECT pg_sleep(30)", purpose="reports")
        assert scope.cancelled_caught
    with quick():
        assert await store.devices() == [row()]


async def test_a_connection_that_ends_between_two_steps_of_a_query_is_lost(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        end_queries_in_their_middle(patched)
        with pytest.raises(StoreFailed, match="the connection was lost") as failed:
            await store.device(A)

    assert type(failed.value) is StoreFailed
    await until_it_works(lambda: store.device(A))


def test_trio_is_refused() -> None:
    with pytest.raises(StoreFailed, match="needs asyncio"):
        anyio.run(PostgresStore("postgresql://nova@127.0.0.1/nova").__aenter__, backend="trio")


async def test_a_closed_store_takes_nothing(database: str) -> None:
    async with PostgresStore(database) as store:
        pass
    with pytest.raises(StoreFailed, match="closed"):
        await store.create_device(row())
    with pytest.raises(StoreFailed, match="pg_dump"):
        await store.backup("copy")


@pytest.mark.parametrize("kind", [pools.Pools, PostgresBus])
async def test_a_connection_that_is_given_up_while_it_is_made_leaves_no_error_behind(
    kind: type[pools.Pools | PostgresBus],
) -> None:
    told: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context["message"]))

    async def connect(url: str) -> None:
        async with kind(url) as opened:
            if isinstance(opened, pools.Pools):
                await opened.row("SELECT 1")

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/x"
        for steps in range(2, 9):  # one of which is the moment that asyncpg has no eye for
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(connect, url)
                for _ in range(steps):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
    gc.collect()  # once: it takes seconds in a process that has run thousands of tests
    loop.set_exception_handler(None)
    assert told == []


async def test_who_gives_up_a_connection_leaves_it_to_others(store: PostgresStore) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await store.device(A)
    found = [await store._pools.fetch("SELECT pg_backend_pid()", purpose="reports") for _ in "ab"]
    assert found[0] == found[1]
    with anyio.fail_after(SECONDS):
        assert (await store.device(A)).row.device_id == A
