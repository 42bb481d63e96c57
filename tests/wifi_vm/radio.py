"""The real radio, for the tests here and for the suite that all radios pass."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.transports.gatt.bluez.fake_bluez import dbus_daemon

from .air import Air
from .daemons import NetworkManager


class World(NamedTuple):
    """All there is: the networks, and what joins them."""

    air: Air
    manager: NetworkManager


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    """Networks, and a bus for daemons; their logs stay in `build/wifi-vm`."""
    folder = Path(tempfile.mkdtemp(prefix="world-", dir="/shared"))
    bus = Path(tempfile.mkdtemp())
    bus.chmod(0o755)
    async with dbus_daemon(bus, '<allow user="*"/>') as address:
        with pytest.MonkeyPatch.context() as patch, Air(folder) as air:
            patch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
            yield World(air, NetworkManager(folder, address))
