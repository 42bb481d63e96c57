"""A lamp that a NovaCloud platform reaches, and others by UDP and a serial line.

NOVACLOUD_DEVICE_KEY=... python nova_ways.py HOST PORT DEVICE_ID URL...
"""

import contextlib
import sys

import anyio

from jsonrpc_iot import Dispatcher, serve
from jsonrpc_iot.novacloud import NovaDevice

host, port, device_id, *urls = sys.argv[1:]
lamp = Dispatcher()
device = NovaDevice(host, int(port), device_id=device_id, dispatcher=lamp)
state = {"light": False}


@lamp.method
async def light_switch(value: bool) -> bool:
    state["light"] = value
    await device.report(state)
    return value


@lamp.method
async def light() -> bool:
    return state["light"]


async def main() -> None:
    async with device, serve(lamp, *urls) as server:
        print(*server.urls, sep="\n", flush=True)
        await anyio.sleep_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        anyio.run(main)
