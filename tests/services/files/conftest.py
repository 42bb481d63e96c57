"""One event loop for these tests, of which few depend on it."""

from typing import Any

import pytest


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """The event loop of an async test that does not choose by itself."""
    return "asyncio", {}
