"""Fixtures of the peer in C."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .board import BOARD, build
from .desk import HERE, Driver, build_here, driven
from .monocypher import monocypher


@pytest.fixture(scope="session")
def cryptography(request: pytest.FixtureRequest) -> Path:
    """The folder with Monocypher's sources."""
    cache: pytest.Cache = request.config.cache
    return monocypher(cache.mkdir("monocypher"))


@pytest.fixture(scope="session")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """The peer with the device of the vectors, which takes commands; see programs/peer.c."""
    program = build_here(tmp_path_factory.mktemp("peer") / "peer", HERE / "programs" / "peer.c")
    with driven(program) as driver:
        yield driver


@pytest.fixture(scope="session")
def flash_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The device with files and firmware; see programs/flash.c."""
    return build_here(tmp_path_factory.mktemp("flash") / "flash", HERE / "programs" / "flash.c")


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop is enough: what is tested is the other end."""
    return "asyncio"


@pytest.fixture(scope="session")
def lamp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example for the board, built."""
    return build(tmp_path_factory.mktemp("lamp"), BOARD / "main.c")
