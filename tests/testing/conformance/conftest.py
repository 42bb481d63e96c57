"""The tester runs on one event loop here: it is the device that is looked at."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
