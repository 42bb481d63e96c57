"""A serial line without any of our code: bytes out, and bytes that must come."""

import os
import tty
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import pytest


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


GOOD = b'{"method":"lamp.set","params":{"level":1},"id":%d}'
PARSE_ERROR = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}'
INVALID = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid request"}}'
ONE, TWO = b'{"id":1,"result":0}', b'{"id":2,"result":0}'
BROKEN = [
    pytest.param(b"\x55" + frame(GOOD % 1), [ONE], id="stray mark"),
    pytest.param(frame(GOOD % 1)[:-1] + frame(GOOD % 2), [TWO], id="a frame that lacks its end"),
    pytest.param(
        b"\x55\xaa\x00\xfe\xff\xff" + frame(GOOD % 2), [TWO], id="a length that is too long"
    ),
    pytest.param(
        b"\x55\xaa\x00\xfe\x01\x00" + frame(GOOD % 2),
        [TWO],
        id="a length that swallows the next frame, until silence",
    ),
    pytest.param(
        frame(b'{"method":"x"}') + frame(b'{"id":3,"result":1}') + frame(GOOD % 1),
        [ONE],
        id="neither notifications nor responses are answered",
    ),
    pytest.param(
        frame(b'{"method":') + frame(b"") + frame(b"[]"),
        [PARSE_ERROR, PARSE_ERROR, INVALID],
        id="broken messages",
    ),
]
"""What a lamp is sent whose level is 0, and what it answers."""


async def hold_against(port: int, sent: bytes, replies: list[bytes]) -> None:
    """Send that, wait for the replies, and for one to a frame that follows once it was silent."""
    os.write(port, sent)
    await receive(port, b"".join(map(frame, replies)))
    os.write(port, frame(b'{"method":"lamp.get","id":"last"}'))
    set_to = 1 if replies[-1] in (ONE, TWO) else 0
    await receive(port, frame(b'{"id":"last","result":%d}' % set_to))
