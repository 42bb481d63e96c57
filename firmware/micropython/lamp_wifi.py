"""The lamp on a board with Wi-Fi, called over UDP and TCP."""

import asyncio

import network
from lamp import rpc

from jsonrpc_iot import Udp, serve_tcp


async def join(ssid, psk):
    """Join a network."""
    radio = network.WLAN(network.STA_IF)
    radio.active(True)
    radio.connect(ssid, psk)
    while not radio.isconnected():
        await asyncio.sleep(0.2)
    return radio.ifconfig()[0]


async def main():
    print("lamp at", await join("home", "correct horse"))
    await asyncio.gather(Udp(rpc).run(), serve_tcp(rpc))


asyncio.run(main())
