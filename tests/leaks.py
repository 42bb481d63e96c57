"""What a test may leave behind: nothing."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def nothing_is_left(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test that leaves a socket open or has an error logged."""
    before = open_sockets()
    yield
    assert open_sockets() <= before
    assert logged_errors(caplog) == []


def logged_errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the test has had logged as errors."""
    records = caplog.get_records("call")
    return [record.getMessage() for record in records if record.levelno >= logging.ERROR]


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
