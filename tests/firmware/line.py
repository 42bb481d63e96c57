"""A serial line without any of our code: bytes out, and bytes that must come."""

import os
import tty
from collections.abc import Iterator
from contextlib import contextmanager

import anyio


def frame(message: bytes) -> bytes:
    """The Tuya frame of a message."""
    head = b"\x55\xaa\x00\xfe" + len(message).to_bytes(2, "big") + message
    return head + bytes([sum(head) % 256])


@contextmanager
def opened(device: str) -> Iterator[int]:
    """A device, raw."""
    port = os.open(device, os.O_RDWR | os.O_NOCTTY)
    try:
        tty.setraw(port)
        yield port
    finally:
        os.close(port)


async def receive(port: int, expected: bytes) -> None:
    """Wait for these bytes, and no others."""
    received = b""
    while len(received) < len(expected):
        await anyio.wait_readable(port)
        received += os.read(port, 4096)
    assert received == expected


async def chatter(port: int, message: bytes) -> None:
    """Never leave the line silent."""
    while True:
        await anyio.sleep(0.3)
        os.write(port, message)
