"""Server and client in one program: the device asks the app before it opens the door."""

import anyio

from jsonrpc_iot import Context, Dispatcher, RpcError, connect, serve

device, app = Dispatcher(), Dispatcher()


@device.method("door.open")
async def open_door(context: Context) -> str:
    pin = await context.call("app.ask", {"question": "PIN?"}, result=str, timeout=5)
    if pin != "1234":
        raise RpcError(4001, "Wrong PIN")
    return "open"


@app.method("app.ask")
def ask(question: str) -> str:
    return "1234"


async def main() -> None:
    async with serve(device, "memory://door"), connect("memory://door", dispatcher=app) as door:
        print(await door.call("door.open"))


anyio.run(main)
