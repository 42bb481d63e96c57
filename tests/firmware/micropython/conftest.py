"""Fixtures of the peer in MicroPython."""

from collections.abc import Iterator

import pytest

from .interpreter import PROGRAMS, Driver, started


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop is enough: what is tested is the other end."""
    return "asyncio"


@pytest.fixture(scope="session")
def peer() -> Iterator[Driver]:
    """The peer with the device of the vectors, which takes commands; see programs/driver.py."""
    with started(PROGRAMS / "driver.py") as process:
        yield Driver(process)
