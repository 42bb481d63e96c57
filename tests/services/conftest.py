"""A NetworkManager for each module that wants one, and the radios of the suite."""

from collections.abc import AsyncIterator

import pytest

from .networkmanager.mock import MockedManager, mocked_manager
from .radios import NAMES, OpenRadio, Radio, radios


@pytest.fixture(scope="module")
async def manager(
    tmp_path_factory: pytest.TempPathFactory, anyio_backend: object
) -> AsyncIterator[MockedManager]:
    """A mocked NetworkManager, as the system's."""
    async with mocked_manager(tmp_path_factory.mktemp("bus")) as running:
        yield running


@pytest.fixture(scope="module", params=NAMES)
async def open_radio(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, anyio_backend: object
) -> AsyncIterator[OpenRadio]:
    async with radios(request.param, tmp_path_factory.mktemp("bus")) as opened:
        yield opened


@pytest.fixture
async def radio(open_radio: OpenRadio) -> AsyncIterator[Radio]:
    """A radio of the suite."""
    async with open_radio() as one:
        yield one
