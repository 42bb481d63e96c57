"""A lamp with aiorpcX over TCP, one message a line.

python aiorpcx_lamp.py PORT
"""

import asyncio
import sys
from typing import Any

import aiorpcx


async def get() -> int:
    return 40


class Lamp(aiorpcx.RPCSession):
    """A session that knows one method, and hangs up on nobody who makes mistakes, however many."""

    cost_hard_limit = 0

    async def handle_request(self, request: Any) -> Any:
        handler = {"lamp.get": get}.get(request.method)
        return await aiorpcx.handler_invocation(handler, request)()


async def main(port: int) -> None:
    await aiorpcx.serve_rs(Lamp, "127.0.0.1", port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
