"""The device of the vectors, which takes commands and is told the time: a JSON object a line."""

import asyncio
import json
import sys
import time

import jsonrpc_iot_calls
import jsonrpc_iot_items
import jsonrpc_iot_stream
import jsonrpc_iot_tcp
import jsonrpc_iot_uart

import jsonrpc_iot

# Later than the true time, by which asyncio wakes those that wait for an event.
CLOCK = [time.ticks_ms() + 1_000_000_000]
NOTED, SENT, OUTCOMES, LOGGED = [], [], [], []


def ticks():
    return CLOCK[0]


for module in (jsonrpc_iot, jsonrpc_iot_calls, jsonrpc_iot_items, jsonrpc_iot_stream):
    module.ticks_ms = ticks
asyncio.core.ticks = ticks


class Desk(jsonrpc_iot.Link):
    """A link that ends here."""

    async def put(self, message, address):
        SENT.append(message.decode())


def note(value):
    NOTED.append(value)
    return value


async def later(seconds):
    NOTED.append(seconds)
    await asyncio.sleep(seconds)
    return "done"


def fail():
    raise OSError("unforeseen")


def make(lossy, limit, remembered=64):
    rpc = jsonrpc_iot.Rpc(remembered)
    rpc.log = lambda error: LOGGED.append(repr(error))
    rpc.method("echo", ("value", object), idempotent=True)(lambda value: value)
    rpc.method("add", ("a", int), ("b", int), idempotent=True)(lambda a, b: a + b)
    rpc.method("void", idempotent=True)(lambda: None)
    rpc.method("note", ("value", object))(note)
    rpc.method("read", ("value", object), idempotent=True)(note)
    rpc.method("later", ("seconds", float))(later)
    rpc.method("wait", ("seconds", float), idempotent=True)(later)
    rpc.method("fail")(fail)
    rpc.method("count", ("to", int))(lambda to: list(range(to)))
    rpc.method("nan")(lambda: float("nan"))
    rpc.method("raises", ("code", int), ("data", object, None))(raises)
    link = Desk(rpc, limit)
    link.first = 0.5 if lossy else 0
    return link


def raises(code, data):
    raise jsonrpc_iot.RpcError(code, "as it was wished", data)


async def settle():
    for _ in range(30):
        await asyncio.sleep(0)


async def ask(link, command):
    options = {key: command[key] for key in ("timeout", "idempotent", "to") if key in command}
    try:
        result = await link.call(command["method"], command.get("params"), **options)
        OUTCOMES.append({"result": result})
    except jsonrpc_iot.RpcError as error:
        OUTCOMES.append({"code": error.code, "message": error.message, "data": error.data})
    except (asyncio.TimeoutError, ValueError, OSError) as error:
        OUTCOMES.append({"failed": type(error).__name__})


def pieces(data, step):
    return [data[at : at + step] for at in range(0, len(data), step)]


def split(framing, data, step, silent):
    found = []
    for piece in pieces(data, step):
        found += list(framing.feed(piece))
    while silent and framing.rest:
        found += list(framing.expire())
    return found


async def main():
    link, start = None, ticks()
    while True:
        line = sys.stdin.readline()
        if not line:
            return
        command = json.loads(line)
        do = command["do"]
        start = ticks() if do == "new" else start
        CLOCK[0] = start + command["at"] if "at" in command else ticks()
        if do == "new" and link:
            link.close()
            await settle()
        for each in (NOTED, SENT, OUTCOMES, LOGGED):
            each[:] = []
        more = {}
        if do == "new":
            link = make(command["lossy"], command["limit"], command.get("remembered", 64))
        elif do == "take":
            await link.receive(bytes.fromhex(command["hex"]), command.get("from"))
        elif do == "call":
            asyncio.create_task(ask(link, command))
        elif do in ("lines", "frames"):
            limit = command["limit"]
            is_line = do == "lines"
            framing = (
                jsonrpc_iot_tcp.Lines(limit) if is_line else jsonrpc_iot_uart.Frames(limit, 9600)
            )
            data = bytes.fromhex(command["hex"])
            found = split(framing, data, command["step"], not is_line)
            more = {"found": [each.hex() for each in found], "rest": bytes(framing.rest).hex()}
        await settle()
        reply = {"sent": SENT, "noted": NOTED, "outcomes": OUTCOMES, "logged": LOGGED}
        reply.update(more)
        print(json.dumps(reply))


asyncio.run(main())
