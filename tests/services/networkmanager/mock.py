"""python3-dbusmock's NetworkManager on a system bus of its own, and what tests do to it."""

import os
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import anyio
import pytest
from anyio.abc import Process
from dbus_fast import BusType, Message, MessageType, Variant, unpack_variants
from dbus_fast.aio import MessageBus

from jsonrpc_iot.services.wifi import DEFAULT_NETWORKS, SimulatedNetwork
from tests._system import lack
from tests.transports.gatt.bluez.fake_bluez import DBUS, PROPERTIES, dbus_daemon
from tests.waiting import SECONDS

NM = "org.freedesktop.NetworkManager"
PATH = "/org/freedesktop/NetworkManager"
DEVICE, WIRELESS, POINT = f"{NM}.Device", f"{NM}.Device.Wireless", f"{NM}.AccessPoint"
MOCK = "org.freedesktop.DBus.Mock"

TEMPLATE = Path(__file__).with_name("template.py")
PYTHON = "/usr/bin/python3"  # Debian's, which python3-dbusmock is for
PRIVACY, PSK, SAE = 1, 0x188, 0x488
READY = 30

FREQUENCIES = {1: 2412, 3: 2422, 6: 2437, 11: 2462, 13: 2472, 36: 5180, 44: 5220}


def need_mock() -> None:
    """Skip where python3-dbusmock is missing; with `CI=true` that fails."""
    try:
        command = [PYTHON, "-c", "import dbusmock, gi"]
        found = not subprocess.run(command, capture_output=True, check=False).returncode
    except OSError:
        found = False
    if not found:
        lack("python3-dbusmock is not installed (tools/system-packages does)")


class MockedManager:
    """The NetworkManager; use it in an `async with` block.

    Args:
        address: of the bus.

    Attributes:
        bus: a connection for the tests.
    """

    bus: MessageBus

    def __init__(self, address: str) -> None:
        self._address = address
        self._process: Process | None = None

    async def __aenter__(self) -> Self:
        self.bus = await MessageBus(self._address, BusType.SYSTEM).connect()
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        self.bus.disconnect()

    async def start(self) -> None:
        """Start it; it has no adapters yet."""
        command = [PYTHON, "-m", "dbusmock", "--system", "--template", str(TEMPLATE)]
        environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": self._address}
        self._process = await anyio.open_process(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=None
        )
        with anyio.fail_after(3 * SECONDS):
            while True:
                try:
                    await self.call(PATH, NM, "GetDevices")
                except OSError:
                    await anyio.sleep(0.02)  # nothing tells
                else:
                    return

    async def stop(self) -> None:
        """Kill it, as an upgrade does."""
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._process = None

    async def reset(self) -> None:
        """Have it be as if it had just been started."""
        await self.call("/org/freedesktop", MOCK, "Reset")

    async def call(
        self, path: str, interface: str, member: str, signature: str = "", *body: object
    ) -> Any:
        """Call it; gives the first value of the answer."""
        message = Message(NM, path, interface, member, signature=signature, body=list(body))
        reply = await self.bus.call(message)
        assert reply is not None
        if reply.message_type is MessageType.ERROR:
            raise OSError(f"{member}: {reply.error_name}: {reply.body}")
        return unpack_variants(reply.body[0]) if reply.body else None

    async def tell(self, member: str, signature: str = "", *body: object) -> Any:
        """Call one of the template's own methods."""
        return await self.call("/org/freedesktop", MOCK, member, signature, *body)

    async def listen(self, hear: Callable[[Message], None]) -> None:
        """Show messages with changes of states."""
        self.bus.add_message_handler(hear)
        rule = f"type='signal',sender='{NM}',member='StateChanged'"
        await self.bus.call(
            Message(DBUS, "/org/freedesktop/DBus", DBUS, "AddMatch", signature="s", body=[rule])
        )

    async def set(self, path: str, interface: str, **properties: Variant) -> None:
        """Have properties of an object change, whatever their types are."""
        for name, value in properties.items():
            await self.call(path, PROPERTIES, "Set", "ssv", interface, name, value)

    async def add_radio(self, interface: str = "wlan0", state: int = READY) -> str:
        path: str = await self.tell("AddRadio", "su", interface, state)
        return path

    async def add_network(self, device: str, network: SimulatedNetwork, name: str) -> str:
        """Add an access point."""
        rsn = {"open": 0, "wpa2": PSK, "wpa3": 0x400}[network.security]
        path: str = await self.tell(
            "AddPoint",
            "osaysuyuuubs",
            device,
            name,
            network.raw_ssid,
            network.bssid.upper(),
            FREQUENCIES[network.channel],
            round((network.rssi + 100) / 0.6),
            PRIVACY if rsn else 0,
            0,
            rsn,
            network.hidden,
            network.key,
        )
        return path

    async def add_neighbourhood(self, device: str, prefix: str = "ap") -> None:
        """Add the simulated radio's networks."""
        for number, network in enumerate(DEFAULT_NETWORKS):
            await self.add_network(device, network, f"{prefix}{number}")

    async def profiles(self) -> list[dict[str, dict[str, Any]]]:
        """The settings of all profiles, with their keys."""
        found: list[dict[str, dict[str, Any]]] = await self.tell("Profiles")
        return found

    async def state(self, device: str) -> int:
        state: int = await self.call(device, PROPERTIES, "Get", "ss", DEVICE, "State")
        return state


@asynccontextmanager
async def mocked_manager(folder: Path) -> AsyncIterator[MockedManager]:
    """A bus as the system's, and a NetworkManager on it."""
    need_mock()
    async with dbus_daemon(folder) as address, MockedManager(address) as manager:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
            yield manager
