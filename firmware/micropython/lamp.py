"""A lamp on a board with MicroPython, called over its second UART: copy it to the board as main.py.

`host.py` runs it on a computer.
"""

import asyncio

from jsonrpc_iot import Rpc, Uart

rpc = Rpc()
levels = [0]


def shine(level):
    """Set the lamp: on a board, the duty of a `machine.PWM`."""
    levels.append(level)
    del levels[:-101]  # the present one and a hundred before it


@rpc.method("lamp.get", idempotent=True)
def get():
    return levels[-1]


@rpc.method("lamp.set", ("level", range(101)))
def set_level(level):
    before = levels[-1]
    shine(level)
    return before


@rpc.method("lamp.toggle")
async def toggle():
    shine(0 if levels[-1] else 100)
    await rpc.notify("lamp.changed", {"on": levels[-1] > 0})
    return levels[-1] > 0


@rpc.method("lamp.blink", ("times", range(1, 1001)), ("seconds", float, 0.05))
async def blink(times, seconds):
    for _ in range(times):
        await asyncio.sleep(seconds)


@rpc.method("lamp.history", idempotent=True, items=True)
def history():
    return iter(levels[1:])


@rpc.method("lamp.clock", peer=True)
async def clock(link, address):
    return await link.call("clock.now", timeout=5, idempotent=True, to=address)


if __name__ == "__main__":
    from machine import UART

    asyncio.run(Uart(rpc, UART(1, 115200, rxbuf=1100)).run())
