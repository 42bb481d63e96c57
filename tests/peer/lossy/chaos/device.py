"""A device in a process of its own: `python -m tests.peer.lossy.chaos.device LOG URL`.

It prints its URL once it listens, and at each SIGUSR1 one line of JSON: what it holds.
"""

import asyncio
import gc
import json
import os
import signal
import sys
from collections.abc import AsyncIterator

import anyio

from jsonrpc_iot import Dispatcher, Server, serve
from jsonrpc_iot.protocol.seal.server import ServerSeal

ITEMS = 12


def new_device(log: str) -> Dispatcher:
    """Methods that write a line for each execution into a file."""
    fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    device = Dispatcher()

    def note(method: str, key: str) -> None:
        os.write(fd, f"{os.getpid()} {method} {key}\n".encode())

    @device.method
    def at_once(key: str, wait: float = 0.0, pad: str = "") -> str:
        note("at_once", key)
        return key

    @device.method
    async def later(key: str, wait: float = 0.0, pad: str = "") -> str:
        note("later", key)
        await anyio.sleep(wait)
        return key

    @device.method
    async def items(key: str, wait: float = 0.0, pad: str = "") -> AsyncIterator[str]:
        note("items", key)
        for _ in range(ITEMS):
            yield key
            await anyio.sleep(wait / ITEMS)

    return device


def leaks(server: Server, tasks: int) -> dict[str, int]:
    """What a server holds for nobody.

    Args:
        server: has been silent.
        tasks: of the event loop before anybody called.
    """
    for peer in server.peers:
        peer.check(anyio.current_time())
    budget, limits = server._house.budget, server._limits
    seals = [each for each in gc.get_objects() if isinstance(each, ServerSeal)]
    for seal in seals:
        seal.expire(anyio.current_time())
    return {
        "half-open sessions": sum(len(each._half_open) for each in seals),
        "old sessions": sum(len(each) - len(each._seats) for each in seals),
        "requests": limits.remembered - budget.entries,
        "bytes": limits.remembered_bytes - budget.byte_count,
        "busy": sum(peer.is_busy for peer in server.peers),
        "tasks": max(0, len(asyncio.all_tasks()) - tasks),
    }


async def main(log: str, url: str) -> None:
    async with serve(new_device(log), url) as server:
        with anyio.open_signal_receiver(signal.SIGUSR1) as signals:
            print(server.urls[0], flush=True)
            await anyio.sleep(0.2)  # until what serves runs
            tasks = len(asyncio.all_tasks())
            async for _ in signals:
                print(json.dumps(leaks(server, tasks)), flush=True)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2])
