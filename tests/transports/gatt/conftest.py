"""These tests run on asyncio and uvloop: no Bluetooth library runs on trio."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from jsonrpc_iot.testing import VirtualRadio, virtual_radio
from tests.conftest import ASYNCIO


@pytest.fixture(scope="module", params=ASYNCIO)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Name the event loop of an async test, and its options."""
    backend: tuple[str, dict[str, Any]] = request.param
    return backend


@pytest.fixture
async def radio() -> AsyncIterator[VirtualRadio]:
    """Make a radio for the test."""
    async with virtual_radio() as made:
        yield made
