"""After each test no socket may be left."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.leaks import no_socket_is_left

from .certificates import Certificates

__all__ = ["no_socket_is_left"]


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder with a short path, for sockets."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates for TLS."""
    return Certificates(tmp_path_factory.mktemp("certificates"))
