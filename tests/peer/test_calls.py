"""Calls over a connection: giving up, calling back, deadlines, late answers."""

import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from jsonrpc_iot import (
    CallTimeout,
    Cancelled,
    Client,
    DeadlineExceeded,
    Dispatcher,
    RpcError,
    connect,
    serve,
)
from jsonrpc_iot.transports import open_channel
from tests.rig import ANYWHERE, Device, Raw, far_end, response
from tests.waiting import SECONDS, Tally, eventually

pytestmark = pytest.mark.anyio

EVERYWHERE = pytest.mark.parametrize("url", [ANYWHERE, "memory://calls"])


@asynccontextmanager
async def linked(
    url: str = ANYWHERE, dispatcher: Dispatcher | None = None
) -> AsyncIterator[tuple[Device, Client]]:
    """A device, and a client that knows that the device understands the extensions."""
    device = Device()
    with anyio.fail_after(SECONDS):
        async with (
            serve(device.dispatcher, url, grace=0.2) as server,
            connect(server.urls[0], dispatcher=dispatcher) as client,
        ):
            await client.call("echo", [0])  # after the answer to the client's own rpc.ping
            yield device, client


@EVERYWHERE
async def test_a_timeout_cancels_the_handler(url: str) -> None:
    async with linked(url) as (device, client):
        with pytest.raises(CallTimeout):
            await client.call("hold", ["late"], timeout=0.05)
        await device.cancelled.reach(1)
        assert device.cancelled.items == ["late"]
        assert await client.call("echo", ["still there"]) == "still there"


@EVERYWHERE
async def test_a_cancelled_caller_cancels_the_handler(url: str) -> None:
    async with linked(url) as (device, client), anyio.create_task_group() as tasks:
        tasks.start_soon(client.call, "hold", ["unwanted"])
        await device.began.reach(1)
        tasks.cancel_scope.cancel()
    assert device.cancelled.items == ["unwanted"]


async def test_the_handler_knows_the_callers_deadline() -> None:
    async with linked() as (device, client), anyio.create_task_group() as tasks:
        before = anyio.current_time()
        for timeout in (5.0, None):
            tasks.start_soon(lambda t: client.call("hold", timeout=t), timeout)
            await device.began.reach(len(device.began.items) + 1)
        device.gate.set()
    limited, unlimited = sorted(math.inf if d is None else d for d in device.deadlines)
    assert before + 4.9 < limited < before + 5 + SECONDS
    assert unlimited == math.inf


async def test_the_server_ends_a_call_whose_time_is_over_by_itself() -> None:
    device = Device()
    async with (
        serve(device.dispatcher, ANYWHERE, grace=0.2) as server,
        Raw.to(server.urls[0]) as raw,
    ):
        await raw.request(1, "hold", "slow", timeout=0.05)
        assert await raw.replies(1) == {1: DeadlineExceeded.default_code}
        assert device.cancelled.items == ["slow"]


@pytest.mark.parametrize("ping", ['"error":{"code":-32601,"message":"?"}', '"result":1'])
async def test_an_end_that_knows_no_extensions_is_sent_none(ping: str) -> None:
    with anyio.fail_after(SECONDS):
        async with far_end() as (url, accept), connect(url) as client:
            raw = await accept()
            asked = await raw.receive()
            assert asked["method"] == "rpc.ping"
            await raw.send(f'{{"id":{asked["id"]},{ping}}}')
            with pytest.raises(CallTimeout):
                await client.call("a", timeout=0.05)
            await client.notify("after")
            assert set(await raw.receive()) == {"id", "method"}
            assert await raw.receive() == {"method": "after"}
            await raw.stream.aclose()


async def test_a_late_answer_is_dropped() -> None:
    with anyio.fail_after(SECONDS):
        async with far_end() as (url, accept), connect(url, extensions=True) as client:
            raw = await accept()
            with pytest.raises(CallTimeout):
                await client.call("slow", timeout=0.05)
            late = await raw.receive()
            assert late["timeout"] == 0.05
            assert await raw.receive() == {"method": "rpc.cancel", "params": {"id": late["id"]}}
            await raw.send(response(late["id"], "late"))
            await raw.send(response(late["id"], "later still"))
            async with anyio.create_task_group() as tasks:
                answer = Tally()

                async def ask() -> None:
                    answer.add(await client.call("next"))

                tasks.start_soon(ask)
                await raw.send(response((await raw.receive())["id"], "in time"))
            assert answer.items == ["in time"]
            await raw.stream.aclose()


async def test_a_waiting_serial_call_that_is_cancelled_never_runs() -> None:
    device = Device()
    async with (
        serve(device.dispatcher, ANYWHERE, grace=0.2) as server,
        Raw.to(server.urls[0]) as raw,
    ):
        for id in (1, 2, 3):
            await raw.request(id, "hold.serial", id)
        await device.began.reach(1)
        await raw.send('{"method":"rpc.cancel","params":{"id":2}}')
        assert await raw.replies(1) == {2: Cancelled.default_code}
        device.gate.set()
        assert await raw.replies(2) == {1: 1, 3: 3}
        assert device.began.items == [1, 3]


async def test_a_cancel_in_one_piece_with_its_request_reaches_it() -> None:
    device = Device()
    async with (
        serve(device.dispatcher, ANYWHERE, grace=0.2) as server,
        Raw.to(server.urls[0]) as raw,
    ):
        await raw.send(
            '{"id":1,"method":"hold"}',
            '{"method":"rpc.cancel","params":{"id":1}}',
            '{"id":2,"method":"echo","params":["after"]}',
        )
        assert await raw.replies(2) == {1: Cancelled.default_code, 2: "after"}


CANCEL = b'{"method":"rpc.cancel","params":{"id":%d}}'
TOGGLE = b'{"id":%d,"method":"toggle","params":["%s"]}'


async def arrives_at_once(url: str, *messages: bytes) -> tuple[list[str], list[object]]:
    """What ran, and what was answered, where messages have arrived together."""
    ran: list[str] = []
    dispatcher = Dispatcher()
    dispatcher.method("toggle")(ran.append)
    replies: list[object] = []
    with anyio.fail_after(SECONDS):
        async with (
            serve(dispatcher, url, grace=0.2) as server,
            await open_channel(server.urls[0]) as channel,
        ):
            await channel.send_batch([*messages, b'{"id":"last","method":"rpc.ping"}'])
            while not replies or replies[-1] != "last":
                reply = json.loads(await channel.receive())
                each = reply if isinstance(reply, list) else [reply]
                replies += [one.get("error", {}).get("code", one["id"]) for one in each]
    return ran, replies[:-1]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("url", [ANYWHERE, "ws://127.0.0.1:0"])
async def test_what_is_cancelled_by_what_came_with_it_does_not_run(url: str) -> None:
    ran, replies = await arrives_at_once(
        url,
        TOGGLE % (1, b"unwanted"),
        TOGGLE % (2, b"wanted"),
        CANCEL % 1,
        TOGGLE % (1, b"with an id that is free again"),
        CANCEL % 9,
        b'{"method":"rpc.cancel","params":{}}',
    )
    assert ran == ["wanted", "with an id that is free again"]
    assert replies == [Cancelled.default_code, 2, 1]


async def test_a_batch_that_is_cancelled_as_a_whole_does_not_run() -> None:
    unwanted = b"[%s,%s]" % (TOGGLE % (1, b"a"), TOGGLE % (2, b"b"))
    wanted = b"[%s,%s]" % (TOGGLE % (3, b"c"), TOGGLE % (4, b"d"))
    told = b'[%s,{"method":"toggle","params":["e"]}]' % (TOGGLE % (5, b"f"))
    cancellations = [CANCEL % id for id in (1, 2, 4, 5)]
    ran, replies = await arrives_at_once(ANYWHERE, unwanted, wanted, told, *cancellations)
    assert ran == ["c", "d", "f", "e"]
    assert replies == [*[Cancelled.default_code] * 2, 3, 4, 5]


# Calls by the server


@EVERYWHERE
async def test_the_server_calls_its_client(url: str) -> None:
    answers = Dispatcher()

    @answers.method
    def double(value: int) -> int:
        return 2 * value

    async with linked(url, answers) as (_, client):
        assert await client.call("ask", ["double", [21]]) == 42
        with pytest.raises(RpcError):
            await client.call("ask", ["no.such", []])


@EVERYWHERE
async def test_a_cancelled_server_call_cancels_the_clients_handler(url: str) -> None:
    inner = Device()
    async with linked(url, inner.dispatcher) as (device, client):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.call, "ask", ["hold", ["chain"]])
            await inner.began.reach(1)
            tasks.cancel_scope.cancel()
        await device.cancelled.reach(1)
        await inner.cancelled.reach(1)
        assert inner.cancelled.items == ["chain"]


async def test_both_ends_call_each_other_at_once() -> None:
    async with linked(dispatcher=Device().dispatcher) as (_, client):
        found: set[int] = set()

        async def ask(number: int) -> None:
            found.add(await client.call("ask", ["echo", [number]], result=int))

        async with anyio.create_task_group() as tasks:
            for number in range(100):
                tasks.start_soon(ask, number)
        assert found == set(range(100))


async def test_a_handler_may_go_on_calling_after_its_own_call_was_answered() -> None:
    device = Device()
    pushed = Tally()
    answers = Dispatcher()
    answers.notification("hold")(pushed.add)
    with anyio.fail_after(SECONDS):
        async with (
            serve(device.dispatcher, ANYWHERE, grace=0.2) as server,
            connect(server.urls[0], dispatcher=answers),
        ):
            await eventually(lambda: len(server.peers) == 1)
            await server.peers[0].notify("hold", [1])
            assert await server.peers[0].call("rpc.ping", result=bool)
            assert pushed.items == [1]
