"""Calls the blind through the class that `jsonrpc-iot generate` has made of its description."""

import sys

import anyio
from blinds_api import Blinds

from jsonrpc_iot import ConnectFailed, connect


async def main(url: str) -> None:
    async with connect(url) as client:
        blinds = client.proxy(Blinds)
        async with blinds.moved.values() as news:
            print("moved to", (await blinds.move(10)).open)
            print("news", await news.receive())
        async for position in blinds.follow(50, step=20):
            print("passes", position.open)
        await blinds.stop()


try:
    anyio.run(main, sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:8805")
except ConnectFailed as error:
    sys.exit(str(error))
