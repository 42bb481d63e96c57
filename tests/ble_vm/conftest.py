"""A radio for all tests, and for each one a bluetoothd that remembers nothing."""

import logging
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.transports.gatt.bluez.rig import close_bleak

from .daemons import Bluez, running_radio

REMEMBERED = Path("/var/lib/bluetooth")


@pytest.fixture(scope="session")
def radio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The radio; gives the URL for adapters of bumble's."""
    with running_radio(tmp_path_factory.mktemp("radio")) as path:
        yield f"gatt+bumble://unix:{path}"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop is enough: what is tested are the daemons."""
    return "asyncio"


@pytest.fixture
async def bluez(
    radio: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    request: pytest.FixtureRequest,
) -> AsyncIterator[Bluez]:
    """A bluetoothd of its own; a parameter is its MTU."""
    shutil.rmtree(REMEMBERED, ignore_errors=True)
    caplog.set_level(logging.DEBUG, "jsonrpc_iot")
    async with Bluez(tmp_path, *([request.param] if hasattr(request, "param") else [])) as made:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", made.address)
        yield made
        await close_bleak()
