"""The module's end of a Tuya lamp: sees its switch, sets it, and calls its methods."""

import sys

import anyio

from jsonrpc_iot import connect
from jsonrpc_iot.tuya import DataPoint, DataPointType, TuyaModule

SWITCH = 1


async def main(url: str) -> None:
    tell, values = anyio.create_memory_object_stream[DataPoint](16)
    module = TuyaModule(url)
    module.on_datapoint(SWITCH)(tell.send_nowait)
    with tell, values:
        async with module:
            await module.wait_online()
            assert module.product is not None
            print("product", module.product.id)
            print("switch", (await values.receive()).value)
            await module.set(DataPoint(SWITCH, DataPointType.BOOL, True))
            print("switch", (await values.receive()).value)
            async with connect(module.rpc_channel()) as lamp:
                print("toggled to", await lamp.call("lamp.toggle", result=bool))
            print("switch", (await values.receive()).value)
            async with connect(module.datapoint_channel()) as lamp:
                print("toggled to", await lamp.call("lamp.toggle", result=bool))


anyio.run(main, sys.argv[1])
