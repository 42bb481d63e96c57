"""The demo's gateway: a Tuya lamp on a serial line, for callers over HTTP and MQTT.

The lamp's MCU knows numbered DataPoints and nothing of RPC. The gateway gives them names.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from jsonrpc_iot import Client, Gateway
from jsonrpc_iot.tuya import DataPoint, DataPointType, Point, TuyaDevice, TuyaMcu

_POINTS: dict[int, str | Point] = {1: "switch", 2: Point("brightness", min=10, max=1000)}
_AT_FIRST = DataPoint(1, DataPointType.BOOL, False), DataPoint(2, DataPointType.VALUE, 500)
_WAIT_SECONDS = 10.0  # for the lamp to answer the first heartbeat


@asynccontextmanager
async def lamp_behind_gateway() -> AsyncIterator[Gateway]:
    """A lamp, and the gateway that it is behind."""
    mcu = TuyaMcu("uart+pty://", "demo-lamp")
    mcu.set(*_AT_FIRST)
    for id in _POINTS:
        mcu.on_datapoint(id)(mcu.report)  # it obeys, and says so
    async with mcu:
        gateway = Gateway(title="demo gateway")
        gateway.add("lamp", TuyaDevice(mcu.address, _POINTS), wait=_WAIT_SECONDS)
        async with gateway:
            yield gateway


async def switch_lamp(client: Client, number: int) -> tuple[object, object]:
    """Switch it on or off, or ask it each third time; gives what is right, and what it says."""
    on = number % 2 == 0
    if number % 3 == 2:
        return number % 2 == 1, await client.call("lamp.switch")
    return {"switch": on}, await client.call("lamp.set", {"switch": on})
