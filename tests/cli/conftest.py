"""The device that the tests call, a process of its own."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from .program import serving


class Simulated(NamedTuple):
    """A simulated device that runs, and its URLs."""

    tcp: str
    pipe: str
    udp: str


@pytest.fixture(autouse=True)
def commands_run_here(log_is_as_before: None) -> None:
    """Commands may run in the process of the tests."""


@pytest.fixture(scope="session")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulated]:
    """One device for all tests."""
    folder = tmp_path_factory.mktemp("run")
    urls = ("tcp://127.0.0.1:0", f"pipe://lamp?dir={folder}", "udp://127.0.0.1:0")
    bind = [word for url in urls for word in ("--bind", url)]
    with serving("simulate", "--name", "lamp", *bind, urls=3) as (tcp, pipe, udp):
        yield Simulated(tcp, pipe, udp)
