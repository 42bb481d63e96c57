"""Databases for tests of the store in PostgreSQL, each with its tables and nothing in them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from itertools import count

import anyio

from jsonrpc_iot.novacloud.store.postgres import PostgresStore
from jsonrpc_iot.novacloud.store.postgres.pools import SCHEMA
from tests.novacloud.servers import postgres

_TEMPLATE = "nova_template"
_EMPTY = f"""
SET session_replication_role = replica;  -- no triggers
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT tablename FROM pg_tables
        WHERE schemaname = '{SCHEMA}' AND tablename NOT IN ('migrations') LOOP
        EXECUTE 'DELETE FROM {SCHEMA}.' || name;
    END LOOP;
END $$"""

_free: list[str] = []
_numbers = count(1)


@contextmanager
def empty_database() -> Iterator[str]:
    """The URL of a database for a block; another test has had it before, and left its tables."""
    if _free:
        name = _free.pop()
    else:
        name = f"nova_{next(_numbers)}"
        postgres().sql(f"CREATE DATABASE {name} TEMPLATE {_template()} STRATEGY file_copy")
    yield postgres().database_url(name)
    postgres().sql(_EMPTY, name)
    _free.append(name)


@contextmanager
def new_database() -> Iterator[str]:
    """The same for what changes tables: a database that nobody has had."""
    with postgres().new_database(_template()) as url:
        yield url


@cache
def _template() -> str:
    server = postgres()
    server.sql(f"CREATE DATABASE {_TEMPLATE}")

    async def make() -> None:
        async with PostgresStore(server.database_url(_TEMPLATE)):
            pass

    with ThreadPoolExecutor(1) as thread:  # apart from the event loop of a test
        thread.submit(anyio.run, make).result()
    return _TEMPLATE
