"""A lamp that a NovaCloud platform can watch and switch, also with a bad network.

NOVACLOUD_DEVICE_KEY=... python nova_device.py HOST PORT DEVICE_ID
"""

import contextlib
import sys

import anyio

from jsonrpc_iot.novacloud import NovaDevice

host, port, device_id = sys.argv[1:]
device = NovaDevice(host, int(port), device_id=device_id, outbox="lamp.outbox")
lamp = {"light": False}


@device.command("light_switch")
async def switch(value: bool) -> bool:
    lamp["light"] = value
    await device.report(lamp)
    return value


async def main() -> None:
    async with device:
        while True:
            await device.report({**lamp, "temperature": 21.5})
            await anyio.sleep(60)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        anyio.run(main)
