"""The radios that one suite runs on: simulated, and driven by a mocked NetworkManager."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from jsonrpc_iot.services.wifi import Wifi
from jsonrpc_iot.services.wifi.networkmanager import NetworkManagerWifi

from ._wifi import instant
from .networkmanager.mock import MockedManager, mocked_manager

NAMES = ["simulated", "mocked"]


class Radio(NamedTuple):
    """One in a neighbourhood with the networks of `DEFAULT_NETWORKS`.

    Args:
        wifi: the service.
        name: which one it is.
        patience: seconds for what takes a few.
    """

    wifi: Wifi
    name: str
    patience: float = 10.0


OpenRadio = Callable[[], AbstractAsyncContextManager[Radio]]


@asynccontextmanager
async def radios(name: str, folder: Path) -> AsyncIterator[OpenRadio]:
    """What gives a fresh radio of that name, again and again."""
    if name == "simulated":
        yield simulated
    else:
        async with mocked_manager(folder) as manager:
            yield partial(mocked, manager)


@asynccontextmanager
async def simulated() -> AsyncIterator[Radio]:
    yield Radio(instant(connect_time=0.02), "simulated")


@asynccontextmanager
async def mocked(manager: MockedManager) -> AsyncIterator[Radio]:
    await manager.reset()
    await manager.add_neighbourhood(await manager.add_radio())
    async with NetworkManagerWifi() as wifi:
        yield Radio(wifi, "mocked")
