"""Stores for the contract tests, which run on each kind that there is."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TypeAlias

import pytest

from jsonrpc_iot.novacloud import SqliteStore, Store
from jsonrpc_iot.novacloud.store.postgres import PostgresStore
from tests.novacloud.timescale import Timescale

from .postgres.databases import empty_database

StoreFactory: TypeAlias = Callable[[], AbstractAsyncContextManager[Store]]


ON_ASYNCIO = pytest.mark.only_on("asyncio")


@pytest.fixture(scope="session")
def timescale(request: pytest.FixtureRequest) -> Iterator[Timescale]:
    """The TimescaleDB that tests share, one at a time."""
    assert request.config.cache is not None
    server = Timescale(request.config.cache).start()
    yield server
    server.stop()


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgres", marks=ON_ASYNCIO),
        pytest.param("timescale", marks=[ON_ASYNCIO, pytest.mark.timescale]),
    ]
)
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoreFactory]:
    """What makes the store of a test; called again, it makes one with the same rows."""
    if request.param == "sqlite":
        yield lambda: SqliteStore(tmp_path / "nova.db", durable=False)
    elif request.param == "postgres":
        with empty_database() as url:
            yield lambda: PostgresStore(url)
    else:
        server: Timescale = request.getfixturevalue("timescale")
        with server.empty_database() as url:
            yield lambda: PostgresStore(url)


@pytest.fixture
async def store(new_store: StoreFactory) -> AsyncIterator[Store]:
    """An open store without rows."""
    async with new_store() as store:
        yield store
