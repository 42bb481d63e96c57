"""An adapter in the neighbourhood of the simulated radio."""

import pytest

from .mock import MockedManager


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """D-Bus is spoken to on asyncio alone."""
    return "asyncio"


@pytest.fixture
async def wlan(manager: MockedManager) -> str:
    """The path of `wlan0` of a NetworkManager that has just started."""
    await manager.reset()
    path = await manager.add_radio()
    await manager.add_neighbourhood(path)
    return path
