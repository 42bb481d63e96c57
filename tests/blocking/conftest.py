"""A device on each event loop; after each test nothing may be left: no thread, no logged error."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.leaks import logged_errors

from .rig import Rig, running


@pytest.fixture
def rig(anyio_backend: tuple[str, dict[str, Any]]) -> Iterator[Rig]:
    """A device that is served over TCP."""
    with running(anyio_backend) as rig:
        yield rig


@pytest.fixture(autouse=True)
def nothing_is_left(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test that leaves the clients' thread running or has an error logged."""
    yield
    for thread in threading.enumerate():
        if thread.name == "jsonrpc-iot":
            thread.join(10)
            assert not thread.is_alive()
    assert logged_errors(caplog) == []
