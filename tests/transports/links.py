"""Pairs of channels over each transport, for the tests that all transports pass."""

import os
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import anyio
from anyio.abc import TaskGroup

from jsonrpc_iot import Channel, Limits, Listener
from jsonrpc_iot.transports import open_channel, open_listener
from tests.waiting import SECONDS

from .certificates import Certificates

Urls = Callable[[Path, Certificates], tuple[str, str]]
"""From a folder and certificates: the URL to bind, and what to add to the address it gets."""

TRANSPORTS: dict[str, Urls] = {
    "memory": lambda folder, certificates: ("memory://contract", ""),
    "pipe": lambda folder, certificates: (f"pipe://contract?dir={folder}", ""),
    "unix": lambda folder, certificates: (f"unix://{folder}/contract.sock", ""),
    "tcp4": lambda folder, certificates: ("tcp://127.0.0.1:0", ""),
    "tcp6": lambda folder, certificates: ("tcp://[::1]:0", ""),
    "tls": lambda folder, certificates: (
        f"tls://127.0.0.1:0?cert={certificates.server}",
        f"?ca={certificates.ca}",
    ),
    "tls+client": lambda folder, certificates: (
        f"tls://127.0.0.1:0?cert={certificates.server}&ca={certificates.ca}",
        f"?ca={certificates.ca}&cert={certificates.client}",
    ),
    "ws": lambda folder, certificates: ("ws://127.0.0.1:0/rpc", ""),
    "wss": lambda folder, certificates: (
        f"wss://127.0.0.1:0/rpc?cert={certificates.server}",
        f"?ca={certificates.ca}",
    ),
    "sealed memory": lambda folder, certificates: (f"memory://contract?{psk(folder)}", ""),
    "sealed pipe": lambda folder, certificates: (f"pipe://sealed?dir={folder}&{psk(folder)}", ""),
    "sealed tcp": lambda folder, certificates: (f"tcp://127.0.0.1:0?{psk(folder)}", ""),
}

WEBSOCKETS = ("ws", "wss")
"""They are served on asyncio only."""


def psk(folder: Path, name: str = "key") -> str:
    """The option for a shared key in a file of that folder, which is made if it is not there."""
    file = folder / name
    if not file.exists():
        file.write_text(b64encode(os.urandom(32)).decode())
    return f"psk=file:{file}"


class Link(NamedTuple):
    """Both ends of one channel; the test's own tasks may use either."""

    client: Channel
    server: Channel
    tasks: TaskGroup


@asynccontextmanager
async def accepting(
    url: str, limits: Limits = Limits()
) -> AsyncIterator[tuple[Listener, Callable[[], Awaitable[Channel]]]]:
    """A listener, and an async function that waits for the next accepted channel."""
    send, receive = anyio.create_memory_object_stream[Channel](100)
    async with await open_listener(url, limits) as listener, anyio.create_task_group() as tasks:

        async def hand_over(channel: Channel) -> None:
            await send.send(channel)
            await anyio.sleep_forever()

        with send, receive:
            tasks.start_soon(listener.serve, hand_over, tasks)
            try:
                yield listener, receive.receive
            finally:
                tasks.cancel_scope.cancel()


@asynccontextmanager
async def linked(
    name: str, folder: Path, certificates: Certificates, limits: Limits = Limits()
) -> AsyncIterator[Link]:
    """A channel over that transport."""
    url, suffix = TRANSPORTS[name](folder, certificates)
    with anyio.fail_after(SECONDS):
        async with accepting(url, limits) as (listener, accept), anyio.create_task_group() as tasks:
            client = await open_channel(listener.addresses[0] + suffix, limits)
            server = await accept()
            async with client, server:
                yield Link(client, server, tasks)
