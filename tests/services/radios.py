"""The radios that one suite runs on: simulated, mocked, and, in a virtual machine, real."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import anyio

from jsonrpc_iot.services.wifi import Wifi
from jsonrpc_iot.services.wifi.networkmanager import NetworkManagerWifi
from jsonrpc_iot.services.wifi.networkmanager.names import PROFILE
from tests.waiting import SECONDS
from tests.wifi_vm.radio import world

from ._wifi import instant
from .networkmanager.mock import MockedManager, mocked_manager

NAMES = os.environ.get("WIFI_RADIOS", "simulated mocked").split()


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
    elif name == "mocked":
        async with mocked_manager(folder) as manager:
            yield partial(mocked, manager)
    else:
        async with world() as (_, daemons):
            with daemons.running():
                yield real


@asynccontextmanager
async def simulated() -> AsyncIterator[Radio]:
    yield Radio(instant(connect_time=0.02), "simulated")


@asynccontextmanager
async def mocked(manager: MockedManager) -> AsyncIterator[Radio]:
    await manager.reset()
    await manager.add_neighbourhood(await manager.add_radio())
    async with NetworkManagerWifi() as wifi:
        yield Radio(wifi, "mocked")


@asynccontextmanager
async def real() -> AsyncIterator[Radio]:
    async with NetworkManagerWifi() as wifi:
        await wifi.disconnect()
        await forget_all(wifi)
        yield Radio(wifi, "real", patience=20.0)


async def forget_all(wifi: NetworkManagerWifi) -> None:
    """Have a real NetworkManager know no network."""
    manager, deleted = wifi._manager, []
    for path in list(manager.mirror.paths(PROFILE)):
        (settings,) = await manager.call(path, PROFILE, "GetSettings")
        if "802-11-wireless" in settings:
            await manager.call(path, PROFILE, "Delete")
            deleted.append(path)
    with anyio.fail_after(SECONDS):
        await manager.until(lambda: not any(manager.mirror.has(path, PROFILE) for path in deleted))
