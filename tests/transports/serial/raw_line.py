"""The other end of a serial line, in bytes, without any of our code."""

import os
import select
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import anyio
import anyio.to_thread

from tests.waiting import SECONDS


def frame(data: bytes = b"", command: int = 0xFE, version: int = 0) -> bytes:
    """A frame, written out as the protocol document has it."""
    head = b"\x55\xaa" + bytes([version, command]) + len(data).to_bytes(2, "big") + data
    return head + bytes([sum(head) % 256])


def unit(id: int, type: int, value: bytes) -> bytes:
    """A unit of a DataPoint, likewise."""
    return bytes([id, type]) + len(value).to_bytes(2, "big") + value


def text(message: bytes, id: int = 232) -> bytes:
    """A message in its unit."""
    return unit(id, 3, message)


class Raw:
    """The other end of a line.

    Args:
        fd: its descriptor.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        tty.setraw(fd)

    def write(self, data: bytes) -> None:
        os.write(self._fd, data)

    async def read(self, count: int) -> bytes:
        """The next bytes, so many of them."""
        return await anyio.to_thread.run_sync(self._read, count)

    async def expect(self, *frames: bytes) -> None:
        """Read exactly these frames."""
        for wanted in frames:
            head = await self.read(6)
            rest = await self.read(int.from_bytes(head[4:], "big") + 1)
            assert head + rest == wanted

    async def data(self, command: int, version: int) -> bytes:
        """Read one frame, of that command and version; what it carries."""
        head = await self.read(6)
        assert head[:4] == b"\x55\xaa" + bytes([version, command])
        return (await self.read(int.from_bytes(head[4:], "big") + 1))[:-1]

    async def has_data(self, seconds: float) -> bool:
        """Whether something has come, after waiting for it so long."""
        wait = partial(select.select, [self._fd], [], [], seconds)
        return bool((await anyio.to_thread.run_sync(wait))[0])

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            ready, _, _ = select.select([self._fd], [], [], SECONDS)
            assert ready, data
            data += os.read(self._fd, count - len(data))
        return data


@contextmanager
def raw_end(url: str) -> Iterator[Raw]:
    """The other end of a pty that is served at a URL, while the block runs."""
    path = url.partition("://")[2].partition("?")[0]
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
    try:
        yield Raw(fd)
    finally:
        os.close(fd)


@contextmanager
def raw_device() -> Iterator[tuple[Raw, str]]:
    """A line whose one end is raw, and the path of the other one, while the block runs."""
    master, slave = os.openpty()
    try:
        tty.setraw(slave)
        yield Raw(master), os.ttyname(slave)
    finally:
        os.close(master)
        os.close(slave)
