"""BlueZ's daemon on adapters of a radio in memory, and what the tests do to both."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Self

import anyio
from anyio.abc import Process
from dbus_fast import BusType, Message, MessageType, Variant, unpack_variants
from dbus_fast.aio import MessageBus

from tests.transports.gatt.bluez.fake_bluez import OBJECT_MANAGER, PROPERTIES, dbus_daemon
from tests.transports.gatt.bluez.fake_link import DEVICE

Objects = dict[str, dict[str, dict[str, Any]]]

ROOT = Path(os.environ.get("GUEST_ROOT", "/"))
"""Where the packages are unpacked, with all libraries that their programs need."""

PATIENCE = 120.0
"""Seconds for what takes a few, on an emulated processor of a busy machine."""

ADAPTER = "org.bluez.Adapter1"
ADAPTERS = ("hci0", "hci1", "hci2")
SETTINGS = """
[Policy]
AutoEnable = true
[LE]
MinAdvertisementInterval = 32
MaxAdvertisementInterval = 32
[GATT]
ExchangeMTU = {mtu}
Channels = 1
"""


def program(name: str) -> list[str]:
    """The start of a command line of one of BlueZ's programs, with its own libraries."""
    folders = ("usr/bin", "usr/libexec/bluetooth")
    path = next(each for folder in folders if (each := ROOT / folder / name).exists())
    libraries = [ROOT / "lib/x86_64-linux-gnu", ROOT / "usr/lib/x86_64-linux-gnu"]
    loader = next(each for folder in libraries for each in folder.glob("ld-linux-x86-64.so.2"))
    return [str(loader), "--library-path", ":".join(map(str, libraries)), str(path)]


@contextmanager
def running_radio(folder: Path) -> Iterator[str]:
    """A radio with all the adapters; gives the socket for more."""
    path = str(folder / "radio")
    command = [sys.executable, "-m", "tests.ble_vm.radio", str(len(ADAPTERS)), path]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as radio:
        try:
            assert radio.stdout
            assert radio.stdout.readline().startswith(b"ready")
            yield path
        finally:
            radio.kill()


class Bluez:
    """A system bus, and bluetoothd on all adapters; use it in an `async with` block.

    Args:
        folder: for the bus, settings and the daemon's log.
        mtu: ATT MTU that bluetoothd asks for and agrees to.

    Attributes:
        address: of the bus.
    """

    def __init__(self, folder: Path, mtu: int = 517) -> None:
        self._folder = folder
        self._settings = folder / "main.conf"
        self._settings.write_text(SETTINGS.format(mtu=mtu), encoding="ascii")

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self.address = await stack.enter_async_context(dbus_daemon(self._folder))
            self._bus = await MessageBus(self.address, BusType.SYSTEM).connect()
            stack.callback(self._bus.disconnect)
            await stack.enter_async_context(self._daemon())
            adapters = {f"/org/bluez/{name}" for name in ADAPTERS}
            await self.until(lambda objects: adapters <= _powered(objects))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @asynccontextmanager
    async def _daemon(self) -> AsyncIterator[Process]:
        command = [*program("bluetoothd"), "-n", "-d", "-f", str(self._settings)]
        environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": self.address}
        with (self._folder / "bluetoothd.log").open("wb") as log:
            async with await anyio.open_process(
                command, stdout=log, stderr=log, env=environment
            ) as process:
                try:
                    yield process
                finally:
                    process.kill()

    async def call(
        self, path: str, interface: str, member: str, signature: str = "", *body: object
    ) -> list[Any]:
        """Call bluetoothd."""
        message = Message(
            "org.bluez", path, interface, member, signature=signature, body=list(body)
        )
        reply = await self._bus.call(message)
        if reply.message_type is MessageType.ERROR:
            raise OSError(f"{member}: {reply.error_name}: {reply.body}")
        return reply.body

    async def objects(self) -> Objects:
        """All that bluetoothd knows; nothing while it begins."""
        try:
            (objects,) = await self.call("/", OBJECT_MANAGER, "GetManagedObjects")
        except OSError:
            return {}
        shown: Objects = unpack_variants(objects)
        return shown

    async def until(self, condition: Callable[[Objects], object]) -> None:
        """Look until a condition holds."""
        with anyio.fail_after(PATIENCE):
            while not condition(await self.objects()):  # noqa: ASYNC110  # of no use to a test
                await anyio.sleep(0.1)

    async def switch(self, adapter: str, *, on: bool) -> None:
        """Switch an adapter on or off."""
        path, value = f"/org/bluez/{adapter}", Variant("b", on)
        await self.call(path, PROPERTIES, "Set", "ssv", ADAPTER, "Powered", value)

    async def connected(self, adapter: str) -> list[str]:
        """The devices that are connected to an adapter."""
        return [
            path
            for path, interfaces in (await self.objects()).items()
            if path.startswith(f"/org/bluez/{adapter}/")
            and interfaces.get(DEVICE, {}).get("Connected")
        ]


def _powered(objects: Objects) -> set[str]:
    return {path for path, each in objects.items() if each.get(ADAPTER, {}).get("Powered")}
