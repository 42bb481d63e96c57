"""Stores for the contract tests, which run on each kind that there is."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TypeAlias

import pytest

from jsonrpc_iot.novacloud import SqliteStore, Store

StoreFactory: TypeAlias = Callable[[], AbstractAsyncContextManager[Store]]


@pytest.fixture(params=["sqlite"])
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> StoreFactory:
    """What makes the store of a test; called again, it makes one with the same rows."""
    makers: dict[str, StoreFactory] = {
        "sqlite": lambda: SqliteStore(tmp_path / "nova.db", durable=False),
    }
    return makers[request.param]


@pytest.fixture
async def store(new_store: StoreFactory) -> AsyncIterator[Store]:
    """An open store without rows."""
    async with new_store() as store:
        yield store
