"""Who sends much at once does not keep the rest of the program waiting."""

from itertools import pairwise

import anyio
import pytest

from jsonrpc_iot import Dispatcher, serve

pytestmark = pytest.mark.anyio

MANY = 3000
MOST_IN_A_TURN = 2 * 256  # trio may begin two rounds of its tasks with the same one


async def test_others_have_their_turns_while_a_flood_is_handled() -> None:
    device, heard, so_far = Dispatcher(), 0, [0]

    @device.notification("news")
    def news() -> None:
        nonlocal heard
        heard += 1

    async with serve(device, "tcp://127.0.0.1:0") as server:
        port = int(server.urls[0].rpartition(":")[2])
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(b'{"method":"news"}\n' * MANY)
            with anyio.fail_after(10):
                while heard < MANY:
                    await anyio.lowlevel.checkpoint()
                    so_far.append(heard)
    turns = [now - before for before, now in pairwise(so_far)]
    assert max(turns) <= MOST_IN_A_TURN
