"""After each test no socket may be left."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.leaks import open_sockets

from .certificates import Certificates


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Fail a test that leaves a socket open."""
    before = open_sockets()
    yield
    assert open_sockets() <= before


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder with a short path, for sockets."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates for TLS."""
    return Certificates(tmp_path_factory.mktemp("certificates"))
