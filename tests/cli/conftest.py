"""The device that the tests call, a process of its own."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from .program import serving


class Simulated(NamedTuple):
    """A simulated device that runs, and its URLs."""

    tcp: str
    pipe: str


@pytest.fixture(scope="session")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulated]:
    """One device for all tests."""
    folder = tmp_path_factory.mktemp("run")
    bind = ("--bind", "tcp://127.0.0.1:0", "--bind", f"pipe://lamp?dir={folder}")
    with serving("simulate", "--name", "lamp", *bind, urls=2) as (tcp, pipe):
        yield Simulated(tcp, pipe)
