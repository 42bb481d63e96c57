"""More calls at once than a peer may have running."""

import json

import anyio
import pytest

from jsonrpc_iot import Busy, Dispatcher, Limits, connect, serve
from tests.rig import ANYWHERE, Device, Raw, response
from tests.waiting import SECONDS, eventually

pytestmark = pytest.mark.anyio

TWO = Limits(in_flight=2)


async def test_what_is_over_the_limit_waits_in_order_and_nothing_is_lost() -> None:
    device = Device(TWO)
    async with (
        serve(device.dispatcher, ANYWHERE, grace=0.2) as server,
        Raw.to(server.urls[0]) as raw,
    ):
        for id in range(50):
            await raw.request(id, "hold.serial", id)
        await raw.request(99, "echo", "last")
        await device.began.reach(1)
        assert device.began.items == [0]
        device.gate.set()
        assert await raw.replies(51) == {id: id for id in range(50)} | {99: "last"}
        assert device.began.items == list(range(50))


async def test_no_more_calls_run_than_may() -> None:
    device = Device(TWO)
    async with (
        serve(device.dispatcher, ANYWHERE, grace=0.2) as server,
        Raw.to(server.urls[0]) as raw,
        Raw.to(server.urls[0]) as other,
    ):
        for id in range(4):
            await raw.request(id, "hold", id)
        await other.request(9, "hold", 9)  # the limit is each peer's own
        await device.began.reach(3)
        await other.request(8, "echo", "served")
        assert await other.replies(1) == {8: "served"}
        assert sorted(device.began.items) == [0, 1, 9]
        device.gate.set()
        assert await raw.replies(4) == {0: 0, 1: 1, 2: 2, 3: 3}
        assert await other.replies(1) == {9: 9}


async def test_a_batch_may_be_larger_than_the_limit() -> None:
    device = Device(TWO)
    device.gate.set()
    async with (
        serve(device.dispatcher, ANYWHERE, grace=0.2) as server,
        Raw.to(server.urls[0]) as raw,
    ):
        calls = ",".join(
            json.dumps({"id": id, "method": "hold", "params": [id]}) for id in range(20)
        )
        await raw.send(f"[{calls}]")
        replies = await raw.receive()
        assert sorted(reply["result"] for reply in replies) == list(range(20))


async def test_nothing_but_messages_is_sent_while_calls_wait() -> None:
    device = Device(TWO)
    async with (
        serve(device.dispatcher, ANYWHERE, grace=0.2) as server,
        Raw.to(server.urls[0]) as raw,
    ):
        for id in range(6):
            await raw.request(id, "hold", id)
        await device.began.reach(2)
        device.gate.set()
        received = b""
        with anyio.fail_after(SECONDS):
            while received.count(b'"id"') < 6:
                received += await raw.stream.receive()
        assert b"" not in received.removesuffix(b"\n").split(b"\n")


@pytest.mark.parametrize("url", [ANYWHERE, "memory://full"])
async def test_handlers_that_call_back_on_a_full_server_come_to_an_end(url: str) -> None:
    """Who waits does not read, and would miss the very answer that makes room."""
    device = Device(TWO)
    outcomes: list[object] = []
    waits: list[float] = []
    with anyio.fail_after(SECONDS):
        async with (
            serve(device.dispatcher, url, grace=0.2) as server,
            connect(server.urls[0], dispatcher=Device().dispatcher) as client,
        ):

            async def ask(number: int) -> None:
                try:
                    outcomes.append(await client.call("ask", ["echo", [number]]))
                except Busy as busy:
                    outcomes.append("busy")
                    waits.append(busy.data["retry_after"])

            async with anyio.create_task_group() as tasks:
                for number in range(40):
                    tasks.start_soon(ask, number)
            assert len(outcomes) == 40
            assert all(seconds > 0 for seconds in waits)
            assert set(outcomes) & set(range(40))
            assert await client.call("ask", ["echo", ["afterwards"]]) == "afterwards"


async def test_a_call_back_from_a_server_that_waits_already_gets_its_answer() -> None:
    device = Device(TWO)
    go = anyio.Event()

    @device.dispatcher.method
    async def ask_later() -> object:
        device.began.add("later")
        await go.wait()
        return await server.peers[0].call("echo", ["call back"])

    async with (
        serve(device.dispatcher, ANYWHERE, grace=0.2) as server,
        Raw.to(server.urls[0]) as raw,
    ):
        await raw.request(1, "ask_later")
        await raw.request(2, "hold", 2)
        await raw.request(3, "hold", 3)  # for which there is no room
        await device.began.reach(2)
        go.set()
        found = {}
        for _ in range(4):
            message = await raw.receive()
            if message.get("method") == "echo":
                await raw.send(response(message["id"], "answered"))
            elif message.get("method") == "rpc.ping":
                await raw.send(response(message["id"], True))
            else:
                found[message["id"]] = message
        assert found[1]["result"] == "answered"
        assert found[3]["error"]["code"] == Busy.default_code
        device.gate.set()
        assert await raw.replies(1) == {2: 2}


async def test_notifications_that_take_time_are_limited_too() -> None:
    device = Device(TWO)
    async with (
        serve(device.dispatcher, ANYWHERE, grace=0.2) as server,
        Raw.to(server.urls[0]) as raw,
    ):
        for tag in range(5):
            await raw.send(json.dumps({"method": "hold.note", "params": [tag]}))
        await device.began.reach(2)
        await raw.request(1, "echo", "behind them")
        device.gate.set()
        assert await raw.replies(1) == {1: "behind them"}
        await device.ended.reach(5)


async def test_a_clients_own_limit_holds_too() -> None:
    inner = Device(TWO)
    with anyio.fail_after(SECONDS):
        async with (
            serve(Dispatcher(), ANYWHERE) as server,
            connect(server.urls[0], dispatcher=inner.dispatcher),
        ):
            await eventually(lambda: len(server.peers) == 1)
            peer = server.peers[0]
            async with anyio.create_task_group() as tasks:
                for tag in range(6):
                    tasks.start_soon(peer.call, "hold", [tag])
                await inner.began.reach(2)
                assert len(inner.began.items) == 2
                inner.gate.set()
            assert sorted(inner.ended.items) == list(range(6))


async def test_time_in_which_nobody_reads_does_not_count_against_a_message() -> None:
    device = Device(Limits(in_flight=1, message_seconds=0.05))
    async with (
        serve(device.dispatcher, ANYWHERE, grace=0.2) as server,
        Raw.to(server.urls[0]) as raw,
    ):
        await raw.request(1, "hold", 1)
        await raw.stream.send(b'{"id":2,"method":"hold"}\n{"id":3,"meth')
        await device.began.reach(1)
        await raw.stream.send(b'od":"echo","params":["whole"]}\n')
        await anyio.sleep(0.15)
        device.gate.set()
        assert await raw.replies(3) == {1: 1, 2: None, 3: "whole"}
