"""Many devices on UDP, and what leads to all of them: links alone, or a gateway."""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

import anyio

MANY = 1000

Ready = Callable[[str], object]
"""Is told the address, or several with spaces between."""

_PATIENCE = 30.0


def name_of(number: int) -> str:
    """A device's name at the gateway."""
    return f"d{number}"


async def devices(ready: Ready) -> None:
    """Serve `MANY` devices that are alike, each at a port of its own."""
    from jsonrpc_iot import Dispatcher, serve

    dispatcher = Dispatcher()
    dispatcher.method("wifi.connect")(_connect)
    async with AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(serve(dispatcher, "udp://127.0.0.1:0"))
            for _ in range(MANY)
        ]
        ready(" ".join(each.urls[0].rpartition(":")[2] for each in opened))
        await anyio.sleep_forever()


def _connect(ssid: str, psk: str) -> None:
    pass


async def links(ports: Sequence[str], ready: Ready) -> None:
    """Keep a client of each device, which has been called once."""
    from jsonrpc_iot import connect

    async with AsyncExitStack() as stack:
        for port in ports:
            client = await stack.enter_async_context(connect(f"udp://127.0.0.1:{port}"))
            await client.call("wifi.connect", ["home", "secret"])
        ready("0")
        await anyio.sleep_forever()


async def gateway(ports: Sequence[str], url: str, ready: Ready) -> None:
    """Serve a gateway of all devices, each of which has been called once."""
    from jsonrpc_iot import Gateway, connect, serve

    made = Gateway()
    async with made, serve(made, url) as server, connect(server.urls[0]) as client:
        for number, port in enumerate(ports):
            made.add(name_of(number), f"udp://127.0.0.1:{port}", wait=_PATIENCE)
        for number in range(len(ports)):
            await client.call(f"{name_of(number)}.wifi.connect", ["home", "secret"])
        ready(server.urls[0].removesuffix("/rpc").rpartition(":")[2])
        await anyio.sleep_forever()
