"""A gateway in a process of its own: `python -m tests.gateway.chaos.gateway OPTIONS`.

It prints its URLs once it listens, and at each SIGUSR1 one line of JSON: what it holds.
"""

import json
import os
import signal
import sys

import anyio
import msgspec
from msgspec import Struct

from jsonrpc_iot import Client, Gateway, Server, serve
from tests.peer.lossy.chaos.device import leaks


class Options(Struct, frozen=True, kw_only=True):
    """What the gateway is.

    Args:
        devices: their URLs, by name.
        urls: where it serves.
        wait: seconds that calls wait for a device that is away.
    """

    devices: dict[str, str]
    urls: list[str]
    wait: float = 1.0


def open_calls(target: object) -> int:
    """The calls that a device has not answered."""
    peers = target._peers() if isinstance(target, Client) else ()
    return sum(each.session.open_calls for each in peers)


def held(gateway: Gateway, server: Server) -> dict[str, int]:
    """What it holds, and how many devices it does not reach."""
    return {
        **leaks(server, tasks=0),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "open calls": sum(open_calls(each.target) for each in gateway._devices.values()),
        "devices away": sum(not each.online for each in gateway.devices()),
    }


async def main(text: str) -> None:
    options = msgspec.json.decode(text, type=Options)
    gateway = Gateway()
    for name, url in options.devices.items():
        gateway.add(name, url, wait=options.wait)
    with anyio.open_signal_receiver(signal.SIGUSR1) as signals:
        async with gateway, serve(gateway, *options.urls) as server:
            print(*server.urls, flush=True)
            async for _ in signals:
                print(json.dumps(held(gateway, server)), flush=True)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1])
