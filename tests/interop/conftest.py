"""The device that foreign programs call."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.cli.program import serving


class Simulated(NamedTuple):
    """Where a simulated device listens."""

    host: str
    port: int
    path: Path


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulated]:
    """One `jsonrpc-iot simulate` for all tests."""
    folder = tmp_path_factory.mktemp("run")
    bind = ("--bind", "tcp://127.0.0.1:0", "--bind", f"pipe://lamp?dir={folder}")
    with serving("simulate", *bind, urls=2) as (tcp, _):
        host, _, port = tcp.removeprefix("tcp://").partition(":")
        yield Simulated(host, int(port), folder / "lamp-jsonrpc.socket")
