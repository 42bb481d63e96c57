"""Fixtures for folders whose tests must leave nothing behind: their `conftest.py` imports them."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def no_socket_is_left() -> Iterator[None]:
    """Fail a test that leaves a socket open."""
    before = open_sockets()
    yield
    assert open_sockets() <= before


@pytest.fixture(autouse=True)
def no_error_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test that has an error logged."""
    yield
    records = caplog.get_records("call")
    errors = [record for record in records if record.levelno >= logging.ERROR]
    assert [record.getMessage() for record in errors] == []


def open_sockets() -> int:
    """How many sockets this process has open."""
    count = 0
    for fd in os.listdir("/proc/self/fd"):
        try:
            count += os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")
        except OSError:  # the listing's own descriptor
            continue
    return count


def resident_mib() -> float:
    """Memory of this process that is in use."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
