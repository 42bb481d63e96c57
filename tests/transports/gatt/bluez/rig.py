"""What the tests of BlueZ share: a server, calls over a link, and bleak as a central."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from bleak import BleakScanner
from bleak.backends.bluezdbus import manager

from jsonrpc_iot import Server, serve
from tests.rig import Device
from tests.transports.gatt.rig import RawCentral
from tests.waiting import SECONDS

from .fake_link import Link

URL = "gatt://?name=lamp"


async def close_bleak() -> None:
    """Close the connection that bleak keeps for each event loop."""
    kept = manager._global_instances.pop(asyncio.get_running_loop(), None)
    if kept is not None and kept._bus is not None:
        kept._bus.disconnect()
        await kept._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]


@asynccontextmanager
async def serving(device: Device | None = None, url: str = URL) -> AsyncIterator[Server]:
    with anyio.fail_after(2 * SECONDS):
        async with serve((device or Device()).dispatcher, url, grace=0.2) as server:
            yield server


def request(id: int, method: str, *params: object) -> bytes:
    return json.dumps({"id": id, "method": method, "params": params}).encode()


async def call(link: Link, id: int, method: str, *params: object, kind: str = "request") -> Any:
    """A call over a link; its response. Notifications are passed over."""
    await link.write(request(id, method, *params), kind)
    while True:
        (heard,) = await link.hear()
        response = json.loads(heard)
        if "method" not in response:
            assert response["id"] == id
            return response


async def join(link: Link) -> None:
    await link.connect()
    await link.subscribe()


class Central(RawCentral):
    """bleak's BlueZ backend, connected and subscribed, with messages as what they say."""

    @classmethod
    @asynccontextmanager
    async def at(cls, link: Link) -> AsyncIterator["Central"]:
        device = await BleakScanner.find_device_by_address(link.address, timeout=SECONDS)
        assert device
        async with cls.connected(device) as central:
            yield central

    async def receive(self) -> Any:
        with anyio.fail_after(SECONDS):
            return json.loads(await self.heard.receive())

    async def ask(self, id: int, method: str, *params: object, response: bool = True) -> Any:
        await self.write(request(id, method, *params), response=response)
        reply = await self.receive()
        assert reply["id"] == id
        return reply
