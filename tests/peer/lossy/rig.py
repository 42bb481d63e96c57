"""What the tests over real links share: a device that notes what it runs, and ends in bytes."""

import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlsplit

import anyio

from jsonrpc_iot import Dispatcher, Server, serve

SECONDS = 20.0
ANYWHERE = "udp://127.0.0.1:0"
LATER_SECONDS = 0.6
"""Longer than a doubled packet takes at the most."""


class Relay:
    """A device that notes the keys that it is called with."""

    def __init__(self) -> None:
        self.ran: list[object] = []
        self.dispatcher = Dispatcher()
        self.dispatcher.method(self.toggle)

    def toggle(self, key: object = None) -> int:
        self.ran.append(key)
        return len(self.ran)


@asynccontextmanager
async def serving(
    relay: Relay, url: str = ANYWHERE, *, listening: float = 60.0
) -> AsyncIterator[Server]:
    """Serve a relay as one that has been listening for some seconds."""
    with anyio.fail_after(SECONDS):
        async with serve(relay.dispatcher, url, grace=0) as server:
            server._ended._began -= listening
            yield server


class Raw:
    """A UDP socket that sends what it likes, and waits for what comes."""

    def __init__(self, url: str | None = None) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        if url is None:
            self.socket.bind(("127.0.0.1", 0))
        else:
            parts = urlsplit(url)
            self.socket.connect((parts.hostname, parts.port))

    @property
    def url(self) -> str:
        return f"udp://127.0.0.1:{self.socket.getsockname()[1]}"

    def send(self, **message: Any) -> None:
        self.socket.send(json.dumps(message).encode())

    async def receive(self) -> Any:
        await anyio.wait_readable(self.socket)
        return json.loads(self.socket.recv(65_535))

    async def exchange(self, **message: Any) -> Any:
        self.send(**message)
        return await self.receive()

    async def take(self) -> Any:
        """The next message of whoever calls; `send` answers him from now on."""
        await anyio.wait_readable(self.socket)
        data, address = self.socket.recvfrom(65_535)
        self.socket.connect(address)
        return json.loads(data)


@contextmanager
def raw(url: str | None = None) -> Iterator[Raw]:
    """A socket to a URL, or one that a client may be sent to."""
    made = Raw(url)
    try:
        yield made
    finally:
        made.socket.close()
