"""A central that is connected through bluetoothd, and the socket that notifies it.

Each central that subscribes has a socket of its own, whose packets bluetoothd sends as
notifications; from BlueZ 5.76 on to that central alone. bluetoothd truncates what is longer than
the link carries, so that nothing longer may be sent. To a central that takes several values in one
packet, as BlueZ and Android do, it sends each in such a packet, with a length before it.

Source: BlueZ, doc/org.bluez.GattCharacteristic.rst, "AcquireNotify".
"""

import asyncio
import logging
import socket
from collections.abc import Callable

import anyio

from ...dbus import BusError, ServiceBus
from .._options import HEADER_BYTES
from .._peripheral import Central
from .bus import DEVICE

logger = logging.getLogger("jsonrpc_iot.transports")

_PACKETS_READ = 64
_LENGTH_BYTES = 2  # Multiple Handle Value Notification (Bluetooth Core, Vol 3, Part F, 3.4.7.4)


class BluezCentral(Central):
    """A central as bluetoothd knows it, from its first write or subscription until it leaves.

    Args:
        bus: to bluetoothd.
        path: of its object there.
        on_hangup: is called when bluetoothd has closed the socket that notifies it.

    Attributes:
        path: of its object there.
        mtu: ATT MTU of the link, in bytes.
    """

    mtu = 0

    def __init__(
        self, bus: ServiceBus, path: str, on_hangup: "Callable[[BluezCentral], object]"
    ) -> None:
        super().__init__(path.rpartition("/dev_")[2].replace("_", ":"))
        self._bus = bus
        self.path = path
        self._on_hangup = on_hangup
        self._is_parting = False
        self._socket: socket.socket | None = None
        self._room = asyncio.Event()

    @property
    def largest(self) -> int:
        """See `Central.largest`; bluetoothd does not tell which kind of packet it will send."""
        return max(self.mtu - HEADER_BYTES - _LENGTH_BYTES, 0)

    @property
    def is_subscribed(self) -> bool:
        """Whether it hears notifications."""
        return self._socket is not None

    def subscribe(self) -> socket.socket:
        """Open the socket that notifies it; returns bluetoothd's end."""
        self._close_socket()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self._socket = ours
        asyncio.get_running_loop().add_reader(ours, self._look)
        return theirs

    async def notify(self, message: bytes) -> None:
        """Send one notification; see `Central.notify`."""
        while self._socket is not None and len(message) <= self.largest:
            try:
                self._socket.send(message)
                return
            except BlockingIOError:
                pass
            except OSError as error:  # bluetoothd has hung up
                logger.info("gatt://%s: not notified: %s", self.address, error)
                break
            await self._wait_for_room(self._socket)
        raise anyio.BrokenResourceError

    async def disconnect(self) -> None:
        """End the link, if it is still there."""
        if not self.is_there or self._is_parting:
            return
        self._is_parting = True
        try:
            await self._bus.call(self.path, DEVICE, "Disconnect")
        except BusError as error:  # mostly because it has left meanwhile
            logger.debug("gatt://%s: not disconnected: %s", self.address, error)
        finally:
            self._is_parting = False

    def leave(self) -> None:
        """The link is gone."""
        self.is_there = False
        self._close_socket()

    async def _wait_for_room(self, ours: socket.socket) -> None:
        """Wait until the socket takes more, or is closed."""
        loop = asyncio.get_running_loop()
        self._room.clear()
        loop.add_writer(ours, self._room.set)
        try:
            await self._room.wait()
        finally:
            if self._socket is ours:
                loop.remove_writer(ours)

    def _look(self) -> None:
        """Read the socket, on which bluetoothd says nothing but that it has hung up."""
        try:
            for _ in range(_PACKETS_READ):
                if self._socket is None:
                    return
                if not self._socket.recv(1):
                    break
            else:
                return
        except BlockingIOError:
            return
        except OSError as error:
            logger.debug("gatt://%s: %s", self.address, error)
        self._close_socket()
        self._on_hangup(self)

    def _close_socket(self) -> None:
        if self._socket is not None:
            ours, self._socket = self._socket, None
            loop = asyncio.get_running_loop()
            loop.remove_reader(ours)
            loop.remove_writer(ours)
            ours.close()
            self._room.set()
