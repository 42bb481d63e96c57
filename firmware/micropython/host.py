"""The lamp on a computer with the unix port of MicroPython.

micropython host.py udp 8805
micropython host.py tcp 8805
micropython host.py uart /dev/ttyUSB0
"""

import asyncio
import sys
import termios

from lamp import rpc

from jsonrpc_iot import Uart, Udp, serve_tcp


def open_line(path):
    """Open a serial line so that reading takes what is there, as from a `machine.UART`."""
    line = open(path, "r+b", buffering=0)  # noqa: SIM115  # as long as the program
    termios.setraw(line.fileno())
    settings = termios.tcgetattr(line.fileno())
    settings[6][5] = settings[6][6] = 0  # VTIME and VMIN of Linux
    termios.tcsetattr(line.fileno(), termios.TCSANOW, settings)
    return line


def serve_links(rpc, way, place):
    """Serve methods on a link, for ever."""
    if way == "udp":
        return Udp(rpc, int(place), "127.0.0.1").run()
    if way == "tcp":
        return serve_tcp(rpc, int(place), "127.0.0.1")
    return Uart(rpc, open_line(place)).run()


async def main(way, place):
    task = asyncio.create_task(serve_links(rpc, way, place))
    await asyncio.sleep(0)
    print("ready")
    await task


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
