"""A device on each event loop; after each test nothing may be left: no thread, no logged error."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.leaks import no_error_is_logged

from .rig import Rig, running

__all__ = ["no_error_is_logged"]


@pytest.fixture
def rig(anyio_backend: tuple[str, dict[str, Any]]) -> Iterator[Rig]:
    """A device that is served over TCP."""
    with running(anyio_backend) as rig:
        yield rig


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Fail a test that leaves the clients' thread running."""
    yield
    for thread in threading.enumerate():
        if thread.name == "jsonrpc-iot":
            thread.join(10)
            assert not thread.is_alive()
