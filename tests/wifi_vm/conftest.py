"""Networks for all tests of a module, and for each one daemons that remember nothing."""

from collections.abc import AsyncIterator

import pytest

from .daemons import NetworkManager
from .radio import World, world


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop is enough: what is tested are the daemons."""
    return "asyncio"


@pytest.fixture(scope="module")
async def everything(anyio_backend: object) -> AsyncIterator[World]:
    """Networks, and daemons that do not run."""
    async with world() as made:
        yield made


@pytest.fixture
def daemons(everything: World) -> NetworkManager:
    return everything.manager
