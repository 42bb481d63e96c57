"""The cases that fit a BLE packet, over GATT on a virtual radio."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from jsonrpc_iot import Limits, serve
from jsonrpc_iot.testing import virtual_radio
from jsonrpc_iot.transports import open_channel

from .device import Device
from .model import Case
from .wire import NAME, OpenWire, PacketWire, Transport, Wire

LARGEST = 220
LARGE_REPLIES = {"batch-of-every-scalar", "call-methods"}


def fits(case: Case) -> bool:
    """Whether a case and its replies fit packets."""
    return len(case.sent) <= LARGEST and case.name not in LARGE_REPLIES


@asynccontextmanager
async def _by_gatt(device: Device, options: str, limits: Limits) -> AsyncIterator[OpenWire]:
    """Serve with room for every reply to such a case."""
    async with (
        virtual_radio() as radio,
        serve(device.dispatcher, radio.url(NAME, max=512), limits=limits, grace=0) as server,
    ):

        async def open_wire() -> Wire:
            return PacketWire(await open_channel(server.urls[0]))

        yield open_wire


GATT = [
    Transport("gatt", _by_gatt, stream=False, takes=fits, backends=("asyncio", "asyncio+uvloop"))
]
