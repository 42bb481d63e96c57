"""What the tests of BlueZ share: a server, calls over a link, and bleak as a central."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from bleak import BleakClient, BleakScanner
from bleak.backends.bluezdbus import manager

from jsonrpc_iot import Server, serve

from ....connections.rig import SECONDS, Device
from .fake_link import Link

SERVICE = "55535343-fe7d-4ae5-8fa9-9fafd205e455"
TX = "49535343-8841-43f4-a8d4-ecbe34729bb3"
RX = "49535343-1e4d-4bd9-ba61-23c647249616"
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


class Central:
    """bleak's BlueZ backend, connected and subscribed."""

    def __init__(self, client: BleakClient) -> None:
        self.client = client
        self.gone = anyio.Event()
        self._send, self._receive = anyio.create_memory_object_stream[bytes](100)

    @classmethod
    @asynccontextmanager
    async def connected(cls, link: Link) -> AsyncIterator["Central"]:
        device = await BleakScanner.find_device_by_address(link.address, timeout=SECONDS)
        assert device
        async with BleakClient(device, lambda _: central.gone.set(), timeout=SECONDS) as client:
            central = cls(client)
            with central._send, central._receive:
                await client.start_notify(RX, lambda _, value: central._hear(bytes(value)))
                yield central

    def _hear(self, value: bytes) -> None:
        self._send.send_nowait(value)

    async def receive(self) -> Any:
        with anyio.fail_after(SECONDS):
            return json.loads(await self._receive.receive())

    async def call(self, id: int, method: str, *params: object, response: bool = True) -> Any:
        await self.client.write_gatt_char(TX, request(id, method, *params), response)
        reply = await self.receive()
        assert reply["id"] == id
        return reply
