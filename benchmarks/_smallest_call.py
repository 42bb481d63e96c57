"""The smallest program that calls a method from the command line; `startup` runs it."""

import argparse

import anyio
import msgspec


class Response(msgspec.Struct):
    """What the server sends."""

    result: msgspec.Raw


async def call(host: str, port: int, method: str, params: str) -> None:
    async with await anyio.connect_tcp(host, port) as stream:
        request = {"method": method, "params": msgspec.Raw(params.encode()), "id": 1}
        await stream.send(msgspec.json.encode(request) + b"\n")
        response = msgspec.json.decode(await stream.receive(), type=Response)
        print(bytes(response.result).decode())


parser = argparse.ArgumentParser()
parser.add_argument("host")
parser.add_argument("port", type=int)
parser.add_argument("method")
parser.add_argument("params")
given = parser.parse_args()
anyio.run(call, given.host, given.port, given.method, given.params)
