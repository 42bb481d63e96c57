"""A link of the loopback `org.bluez`: what the radio and one central do, without either."""

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio
from dbus_fast import Variant

from tests.waiting import SECONDS

if TYPE_CHECKING:
    from .fake_bluez import FakeBluez

ADAPTER = "/org/bluez/hci0"
DEVICE = "org.bluez.Device1"
CHARACTERISTIC = "org.bluez.GattCharacteristic1"


class Link:
    """The radio between the peripheral and one central."""

    def __init__(self, fake: "FakeBluez", number: int) -> None:
        self.address = f"F0:00:00:00:00:{number:02X}"
        self.path = f"{ADAPTER}/dev_{self.address.replace(':', '_')}"
        self.mtu = fake.mtu
        self.is_connected = False
        self.reads = True
        self.loses: Callable[[bytes], bool] = lambda _: False
        self.heard: list[bytes] = []
        self.news = asyncio.Event()
        self._fake = fake
        self._socket: socket.socket | None = None

    @property
    def is_subscribed(self) -> bool:
        return self._socket is not None

    async def connect(self) -> None:
        self.is_connected = True
        self._fake.change(self.path, DEVICE, Connected=Variant("b", True))

    async def subscribe(self) -> None:
        """Ask the peripheral for the socket that notifies this central."""
        characteristic = self._fake.acquired()
        reply = await self._fake.call(*characteristic, "AcquireNotify", "a{sv}", self._options())
        index, mtu = reply.body
        assert mtu == self.mtu
        self.hang_up()
        self._socket = socket.socket(fileno=reply.unix_fds[index])
        self._socket.setblocking(False)
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    async def write(
        self,
        value: bytes,
        kind: str = "request",
        to: tuple[str, str] | None = None,
        **more: Variant,
    ) -> None:
        """Write to a characteristic; without one to the first that can be written."""
        if kind == "command" and self.loses(value):
            return
        options = self._options(type=Variant("s", kind), **more)
        if to is None:
            path, _ = self._fake.characteristic("write")
            await self._fake.call_app(path, "WriteValue", "aya{sv}", value, options)
        else:
            await self._fake.call(*to, "WriteValue", "aya{sv}", value, options)

    async def read(self, name: str, path: str) -> bytes:
        """Read a characteristic of a program, as bluetoothd does: piece by piece."""
        value = b""
        while True:
            options = self._options(offset=Variant("q", len(value)))
            reply = await self._fake.call(name, path, "ReadValue", "a{sv}", options)
            piece: bytes = reply.body[0][: self.mtu - 1]
            value += piece
            if len(piece) < self.mtu - 1:
                return value

    async def hear(self, count: int = 1) -> list[bytes]:
        """The next notifications."""
        with anyio.fail_after(SECONDS):
            while len(self.heard) < count:
                self.news.clear()
                await self.news.wait()
        heard, self.heard = self.heard[:count], self.heard[count:]
        return heard

    async def until(self, *, connected: bool) -> None:
        with anyio.fail_after(SECONDS):
            while self.is_connected != connected:
                self.news.clear()
                await self.news.wait()

    def hang_up(self) -> None:
        """Close the socket that notifies this central."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def drop(self) -> None:
        """Lose the link."""
        self.hang_up()
        if self.is_connected:
            self.is_connected = False
            self.news.set()
            self._fake.hide_services(self)
            self._fake.change(
                self.path,
                DEVICE,
                Connected=Variant("b", False),
                ServicesResolved=Variant("b", False),
            )

    def _options(self, **more: Variant) -> dict[str, Variant]:
        return {
            "device": Variant("o", self.path),
            "mtu": Variant("q", self.mtu),
            "link": Variant("s", "LE"),
            **{name.replace("_", "-"): value for name, value in more.items()},
        }

    def _read(self) -> None:
        while self.reads and self._socket is not None:
            try:
                value = self._socket.recv(512)
            except BlockingIOError:
                return
            if not value:
                self.hang_up()
                return
            value = value[: self.mtu - 5]  # as BlueZ does; see AcquireNotify in bluez/central.py
            if self.loses(value):
                continue
            self.heard.append(value)
            self.news.set()
            self._fake.show_value(self, value)
