"""The MCU of a lamp: a switch for Tuya's app, and RPC on the same line."""

import signal
import sys

import anyio

from jsonrpc_iot import Dispatcher, serve
from jsonrpc_iot.tuya import DataPoint, DataPointType, TuyaMcu

SWITCH = 1


def switch(on: bool) -> DataPoint:
    return DataPoint(SWITCH, DataPointType.BOOL, on)


async def main(url: str) -> None:
    lamp = Dispatcher()
    mcu = TuyaMcu(url, product="lamp-demo")
    mcu.set(switch(False))
    state = {"on": False}

    async def turn(on: bool) -> None:
        state["on"] = on
        await mcu.report(switch(on))
        lamp.emit("lamp.changed", state)

    @mcu.on_datapoint(SWITCH)
    async def switched(point: DataPoint) -> None:
        if isinstance(point.value, bool):
            await turn(point.value)

    @lamp.method("lamp.toggle")
    async def toggle() -> bool:
        await turn(not state["on"])
        return state["on"]

    async with mcu, serve(lamp, mcu.rpc_channel(), mcu.datapoint_channel()):
        print(mcu.address, flush=True)
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                break


anyio.run(main, sys.argv[1] if len(sys.argv) > 1 else "uart+pty://")
