"""Many callers with equal ids, and a device that vanishes in mid-call and returns."""

import socket
from collections import Counter
from typing import Any

import anyio
import pytest

from jsonrpc_iot import Dispatcher, Gateway, connect, serve
from tests.peer.lossy.rig import raw
from tests.ports import free_port
from tests.rig import ANYWHERE, Raw, Restarts
from tests.waiting import SECONDS, Tally, eventually

from .rig import Changes, running

pytestmark = pytest.mark.anyio

CALLERS = 30
CALLS = 6
KNOWN = {-32002, -32010, -32011}
"""What a caller may be told of a device that comes and goes."""


class Counting:
    """A device that counts what it runs, and takes a moment for it."""

    def __init__(self) -> None:
        self.dispatcher = Dispatcher()
        self.dispatcher.method(self.run)
        self.ran: Counter[str] = Counter()

    async def run(self, token: str) -> str:
        self.ran[token] += 1
        await anyio.sleep(0.005)
        return token


@pytest.mark.parametrize("at", [ANYWHERE, "udp://127.0.0.1:0"])
async def test_each_call_ends_once_with_its_own_answer(at: str) -> None:
    device, gateway = Counting(), Gateway()
    changes, ended = Changes(gateway), Tally()
    async with anyio.create_task_group() as tasks:
        restarts = Restarts(device, tasks, at)
        await restarts.start()
        gateway.add("lamp", restarts.url, wait=0.2)
        async with running(gateway, ANYWHERE) as server:
            await changes.reach("lamp", online=True)

            async def call(caller: int) -> None:
                async with Raw.to(server.urls[0]) as raw:
                    for number in range(CALLS):
                        token = f"{caller}.{number}"
                        await raw.request(1, "lamp.run", token, timeout=2)
                        while "id" not in (reply := await raw.receive()):
                            pass  # which tells of the device
                        ended.add((token, reply))

            async with anyio.create_task_group() as callers:
                for caller in range(CALLERS):
                    callers.start_soon(call, caller)
                for part in (1, 2):
                    await ended.reach(part * CALLERS * CALLS // 4)
                    await restarts.stop()
                    await restarts.start()
            for token, reply in ended.items:
                check(token, reply)
            assert len(ended.items) == CALLERS * CALLS
            assert device.ran
            assert max(device.ran.values()) == 1
            await eventually(lambda: not server.peers)
        await restarts.stop()


def check(token: str, reply: dict[str, Any]) -> None:
    assert reply["id"] == 1
    assert reply.get("result") == token or reply["error"]["code"] in KNOWN, (token, reply)


async def test_the_next_gateway_does_not_run_again_what_the_one_before_has_run() -> None:
    device, at = Counting(), f"udp://127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
    call = {"id": 1, "method": "lamp.run", "params": ["x"], "timeout": 20}
    async with serve(device.dispatcher, "udp://127.0.0.1:0") as lamp:

        async def ask(**members: Any) -> Any:
            gateway = Gateway()
            gateway.add("lamp", lamp.urls[0], wait=SECONDS)
            async with running(gateway, at, grace=0):
                caller.send(**call, **members)
                with anyio.fail_after(SECONDS):
                    while "method" in (reply := await caller.receive()):
                        pass  # which tells of the device
                return reply

        with raw(at) as caller:
            assert await ask() == {"id": 1, "result": "x"}
            again = await ask(retry=True)  # as if that had been lost
            assert again["error"]["code"] == -32011
            assert again["error"]["data"]["listening"] < SECONDS
    assert device.ran == {"x": 1}


async def test_late_copies_of_its_first_call_to_a_device_are_known_as_such() -> None:
    gateway = Gateway()
    with raw() as device:
        gateway.add("lamp", device.url)
        async with (
            running(gateway, ANYWHERE) as server,
            connect(server.urls[0]) as client,
            anyio.create_task_group() as tasks,
        ):
            with anyio.fail_after(SECONDS):
                device.send(id=(await device.take())["id"], result=True)  # rpc.ping
                device.send(id=(await device.take())["id"], error={"code": -32601, "message": ""})
                tasks.start_soon(client.call, "lamp.run")
                call = await device.take()
            assert call["method"] == "run"
            assert "timeout" in call
            device.send(id=call["id"], result=None)
