"""The event loops that the library of MCP runs on."""

from typing import Any

import pytest


@pytest.fixture(
    scope="module",
    params=[pytest.param(("asyncio", {}), id="asyncio"), pytest.param(("trio", {}), id="trio")],
)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Name the event loop of an async test; uvloop is no other to the library than asyncio's."""
    backend: tuple[str, dict[str, Any]] = request.param
    return backend
