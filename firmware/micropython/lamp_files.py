"""The lamp on a board that takes files and new versions of itself."""

import asyncio

import machine
from jsonrpc_iot_files import Files
from jsonrpc_iot_update import FileTarget, Updates
from lamp import rpc

from jsonrpc_iot import Uart


async def main():
    Files(rpc, "/files")
    target = FileTarget("/images", version="1.0.0", space=200_000)
    image = await target.boot()  # what is to run: None, or a path
    print("running", image)
    updates = Updates(rpc, target, "/incoming", machine.reset, model="lamp-2")
    line = Uart(rpc, machine.UART(1, 115200, rxbuf=1100))
    await asyncio.gather(line.run(), updates.run())


asyncio.run(main())
