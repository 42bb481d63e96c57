"""The two bare ends of a pseudo terminal for `uart`: pyserial-asyncio-fast and nothing else."""

import asyncio
import fcntl
import os
import sys
import tty
from collections.abc import Callable
from typing import cast

import serial_asyncio_fast
from serial_asyncio_fast import SerialTransport

_BAUDRATE = 115_200
_UNLOCK, _NUMBER = 0x40045431, 0x80045430  # of a pty: TIOCSPTLCK and TIOCGPTN of Linux


async def serve_echo(ready: Callable[[str], None]) -> None:
    """Echo on a new pseudo terminal until cancelled.

    Args:
        ready: gets the path of the far end.
    """
    loop = asyncio.get_running_loop()
    # The name that makes a new pty each time: this way the library has the near end.
    transport, _ = await serial_asyncio_fast.create_serial_connection(loop, _Echo, "/dev/ptmx")
    assert transport.serial is not None
    near = transport.serial.fileno()
    fcntl.ioctl(near, _UNLOCK, bytes(4))
    number = int.from_bytes(fcntl.ioctl(near, _NUMBER, bytes(4)), sys.byteorder)
    path = f"/dev/pts/{number}"
    far = os.open(path, os.O_RDWR | os.O_NOCTTY)  # with nobody there, the near end would fail
    try:
        tty.setraw(far)
        ready(path)
        await loop.create_future()
    finally:
        os.close(far)
        transport.close()


async def exchange(path: str, request: bytes, reply: bytes, count: int) -> float:
    """Send and wait for what comes back, again and again; returns the seconds.

    Args:
        path: the far end of a pseudo terminal.
        request: what is sent.
        reply: what has to come back.
        count: how often, after one time that does not count.
    """
    loop = asyncio.get_running_loop()
    transport, protocol = await serial_asyncio_fast.create_serial_connection(
        loop, _Client, path, _BAUDRATE
    )
    client = cast(_Client, protocol)
    try:
        start = 0.0
        for turn in range(count + 1):
            if turn == 1:
                start = loop.time()
            transport.write(request)
            if await client.receive(len(reply)) != reply:
                raise AssertionError("wrong reply")
        return loop.time() - start
    finally:
        transport.close()
        await client.closed.wait()


class _Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(SerialTransport, transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


class _Client(asyncio.Protocol):
    """Collects as many bytes as are asked for."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()
        self._received = bytearray()
        self._news = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()

    async def receive(self, size: int) -> bytes:
        """Wait for so many bytes."""
        while len(self._received) < size:
            self._news.clear()
            await self._news.wait()
        data = bytes(self._received[:size])
        del self._received[:size]
        return data
