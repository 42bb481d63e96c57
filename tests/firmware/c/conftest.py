"""Fixtures of the peer in C."""

from pathlib import Path

import pytest

from .monocypher import monocypher


@pytest.fixture(scope="session")
def cryptography(request: pytest.FixtureRequest) -> Path:
    """The folder with Monocypher's sources."""
    cache: pytest.Cache = request.config.cache
    return monocypher(cache.mkdir("monocypher"))
