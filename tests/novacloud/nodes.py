"""Two nodes of a platform in one process, on one PostgreSQL, as the tests of nodes need them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from jsonrpc_iot.novacloud import PlatformSettings
from jsonrpc_iot.novacloud.bus.bus import Bus
from jsonrpc_iot.novacloud.bus.local import LocalBus
from jsonrpc_iot.novacloud.bus.postgres import PostgresBus
from jsonrpc_iot.novacloud.store.postgres.store import PostgresStore

from .rig import NO_PAUSES, Rig, running

FLAPPING = msgspec.structs.replace(NO_PAUSES, flap_delay=0.0)


class Pair(NamedTuple):
    """Two nodes.

    Attributes:
        url: of their database.
    """

    north: Rig
    south: Rig
    url: str


@asynccontextmanager
async def node(
    url: str, name: str, folder: Path, *, bus: Bus | None = None, **more: Any
) -> AsyncIterator[Rig]:
    """One node; without a bus it finds by looking what the other one does."""
    settings: PlatformSettings = more.pop("settings", FLAPPING)
    store: Any = PostgresStore(url)
    async with running(folder, settings, store, bus=bus or LocalBus(), node=name, **more) as rig:
        yield rig


@asynccontextmanager
async def pair(url: str, folder: Path, *, with_bus: bool = True) -> AsyncIterator[Pair]:
    """Two nodes; without a bus between them they find by looking what the other does."""
    async with AsyncExitStack() as stack:
        rigs = [
            await stack.enter_async_context(
                node(url, name, folder, bus=PostgresBus(url) if with_bus else None)
            )
            for name in ("north", "south")
        ]
        north, south = rigs
        yield Pair(north, south, url)
