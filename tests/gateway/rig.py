"""Gateways and devices for the tests, all in memory unless a test wants sockets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import anyio

from jsonrpc_iot import Client, Dispatcher, Gateway, Server, connect, serve
from tests.waiting import SECONDS, Tally

_places = count()


def anywhere() -> str:
    """A URL in memory that nobody has used yet."""
    return f"memory://gateway-{next(_places)}"


@asynccontextmanager
async def forwarding(
    device: Dispatcher, *, at: str | None = None, device_at: str | None = None, **options: Any
) -> AsyncIterator[Client]:
    """A client of a dispatcher that forwards `dev` to a device."""
    near = Dispatcher()
    async with serve(device, device_at or anywhere()) as far:
        near.forward("dev", far.urls[0], **options)
        async with serve(near, at or anywhere()) as server, connect(server.urls[0]) as client:
            yield client


@asynccontextmanager
async def running(gateway: Gateway, *urls: str, **options: Any) -> AsyncIterator[Server]:
    """A gateway that runs and is served."""
    async with gateway, serve(gateway, *(urls or (anywhere(),)), **options) as server:
        yield server


class Changes:
    """What becomes of a gateway's devices."""

    def __init__(self, gateway: Gateway) -> None:
        self.tally = Tally()
        gateway.changed.subscribe(self.tally.add)

    async def reach(self, name: str, *, online: bool) -> Any:
        """Wait until a device is there, or away; gives its state."""
        with anyio.fail_after(SECONDS):
            while True:
                for each in reversed(self.tally.items):
                    if each.name == name:
                        if each.online is online and not each.removed:
                            return each
                        break
                await self.tally.reach(len(self.tally.items) + 1)
