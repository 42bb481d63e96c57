"""After each test nothing may be left: no socket, no error in the log."""

import logging
from collections.abc import Iterator

import pytest

from .rig import open_sockets


@pytest.fixture(autouse=True)
def nothing_is_left(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test that leaves a socket open or has an error logged."""
    before = open_sockets()
    yield
    assert open_sockets() <= before
    errors = [record for record in caplog.get_records("call") if record.levelno >= logging.ERROR]
    assert [record.getMessage() for record in errors] == []
