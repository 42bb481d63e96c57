"""The servers that the tests of NovaCloud start do what those tests lean on."""

from typing import Any

import asyncpg
import pytest

from . import servers

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """One loop is enough for what is about other processes."""
    return "asyncio", {"use_uvloop": False}


async def test_a_database_is_new_and_gone_afterwards() -> None:
    server = servers.postgres()
    with server.new_database() as url:
        connection = await asyncpg.connect(url)
        await connection.execute("CREATE TABLE lamp (on_ bool)")
        with server.new_database() as other:
            second = await asyncpg.connect(other)
            assert await second.fetchval("SELECT to_regclass('lamp')") is None
            await second.close()
        await connection.close()
    name = url.rpartition("/")[2]
    assert server.sql(f"SELECT count(*) FROM pg_database WHERE datname = '{name}'") == "0"


async def test_a_killed_postgres_has_what_was_committed() -> None:
    server = servers.new_postgres(durable=True)
    try:
        connection = await asyncpg.connect(server.database_url())
        await connection.execute("CREATE TABLE lamp AS SELECT 7 AS level")
        server.stop()
        with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
            await connection.fetchval("SELECT 1")
        connection.terminate()
        server.start()
        assert server.sql("SELECT level FROM lamp") == "7"
    finally:
        server.stop()


async def test_a_frozen_postgres_is_silent_until_it_goes_on() -> None:
    server = servers.new_postgres()
    try:
        connection = await asyncpg.connect(server.database_url())
        server.freeze()
        with pytest.raises(TimeoutError):
            await connection.fetchval("SELECT 1", timeout=0.1)
        server.thaw()
        connection.terminate()
        assert server.sql("SELECT 1") == "1"
    finally:
        server.stop()
