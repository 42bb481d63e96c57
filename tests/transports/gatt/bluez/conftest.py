"""A system bus and an `org.bluez` for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from .fake_bluez import FakeBluez, dbus_daemon
from .fake_link import Link
from .rig import close_bleak


@pytest.fixture
async def system_bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """A system bus of our own."""
    async with dbus_daemon(tmp_path) as address:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
        yield
        await close_bleak()


@pytest.fixture
async def fake(system_bus: None) -> AsyncIterator[FakeBluez]:
    async with FakeBluez(centrals=2).running() as running:
        yield running


@pytest.fixture
def link(fake: FakeBluez) -> Link:
    return fake.links[0]
