"""Set the lamp's brightness, and hear of it."""

import sys

import anyio

from jsonrpc_iot import ConnectFailed, InvalidParams, connect


async def main(url: str) -> None:
    async with connect(url) as lamp, lamp.notifications() as news:
        print("was", await lamp.call("lamp.set", {"level": 40}, result=int))
        print("news", await news.receive())
        await lamp.call("lamp.set", {"level": 400})


try:
    anyio.run(main, sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:8805")
except InvalidParams as error:
    print("refused", error.data)
except ConnectFailed as error:
    sys.exit(str(error))
