"""Streams as the wire shows them, from a server to a caller that is played by the test."""

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from jsonrpc_iot import Call, Context, Dispatcher, Limits

from .rig import Device, serving

pytestmark = pytest.mark.anyio


def code(reply: dict[str, Any]) -> int:
    assert "result" not in reply
    found: int = reply["error"]["code"]
    return found


@pytest.mark.parametrize(
    "id", ["1", '"one"', '""', "1.50", "-0", "-1", "123456789012345678901234567890", "null"]
)
@pytest.mark.parametrize("dialect", ["", '"jsonrpc":"2.0",'], ids=["iot", "jsonrpc2"])
async def test_the_messages_of_a_stream(id: str, dialect: str) -> None:
    async with serving(Device()) as (far, _):
        await far.send(f'{{{dialect}"id":{id},"method":"count","params":[9],"stream":true}}')
        for seq in range(9):
            if seq == 8:
                await far.silence()
                more = f'{{{dialect}"method":"rpc.more","params":{{"id":{id},"upto":16}}}}'
                await far.send(more)
            received = await far.receive_raw()
            params = f'{{"id":{id},"seq":{seq},"item":{seq}}}'
            member = '"jsonrpc":"2.0",' if dialect else ""
            assert received == f'{{"method":"rpc.item",{member}"params":{params}}}'
        received = await far.receive_raw()
        assert received == f'{{{dialect}"id":{id},"result":{{"count":9}}}}'
        await far.silence()


@pytest.mark.parametrize("method", ["count", "in_turn", "plain_list", "threaded", "later_list"])
async def test_any_list_streams(method: str) -> None:
    async with serving(Device()) as (far, _):
        await far.send({"id": 1, "method": method, "params": [3], "stream": True})
        assert await far.items(3) == [0, 1, 2]
        assert await far.receive() == {"id": 1, "result": {"count": 3}}
        await far.send({"id": 2, "method": method, "params": [0], "stream": True})
        assert await far.receive() == {"id": 2, "result": {"count": 0}}
        await far.send({"id": 3, "method": method, "params": [10]})
        assert await far.receive() == {"id": 3, "result": list(range(10))}
        await far.send({"id": 4, "method": method, "params": [10], "stream": False})
        assert await far.receive() == {"id": 4, "result": list(range(10))}


async def test_the_names_of_the_methods_stream() -> None:
    device = Device()
    async with serving(device) as (far, _):
        await far.send({"id": 1, "method": "rpc.methods"})
        names = (await far.receive())["result"]
        assert len(names) > 8
        await far.send({"id": 2, "method": "rpc.methods", "stream": True})
        await far.more(2, 100)
        assert await far.items(len(names)) == names
        assert await far.receive() == {"id": 2, "result": {"count": len(names)}}


async def test_what_is_no_list_is_answered_whole() -> None:
    async with serving(Device()) as (far, _):
        await far.send({"id": 1, "method": "number", "stream": True})
        assert await far.receive() == {"id": 1, "result": 5}


async def test_a_notification_streams_nothing() -> None:
    device = Device()
    async with serving(device) as (far, _):
        await far.send({"method": "count", "params": [20], "stream": True})
        await device.closed.reach(1)
        assert len(device.made.items) == 20
        await far.silence()


@pytest.mark.parametrize("timeout", [-1, 0, "1", True])
async def test_a_stream_with_a_time_that_is_none_is_refused(timeout: object) -> None:
    device = Device()
    async with serving(device) as (far, _):
        request = {"id": 1, "method": "count", "params": [1], "stream": True, "timeout": timeout}
        await far.send(request)
        assert code(await far.receive()) == -32600
        assert not device.made.items


@pytest.mark.parametrize("stream", ["yes", 1, [], {"a": 1}])
async def test_a_wish_that_is_neither_true_nor_false_is_refused(stream: object) -> None:
    async with serving(Device()) as (far, _):
        await far.send({"id": 1, "method": "count", "params": [1], "stream": stream})
        assert code(await far.receive()) == -32600


async def test_credit_is_honoured_to_the_item() -> None:
    device = Device()
    async with serving(device) as (far, _):
        await far.send({"id": 1, "method": "count", "params": [1000], "stream": True})
        seen = await far.items(8)
        for upto in (9, 10, 13, 13, 5, -7, 14, 40):
            await far.more(1, upto)
            new = max(0, upto - len(seen))
            if new:
                seen += await far.items(new)
            await far.silence()
            assert len(device.made.items) == len(seen) + 1
        assert seen == list(range(40))


async def test_streams_do_not_share_credit() -> None:
    async with serving(Device()) as (far, _):
        for id in (1, 2):
            await far.send({"id": id, "method": "count", "params": [9], "stream": True})
            assert await far.items(8) == list(range(8))
        await far.more(2, 9)
        assert (await far.expect("rpc.item"))["params"] == {"id": 2, "seq": 8, "item": 8}
        assert await far.receive() == {"id": 2, "result": {"count": 9}}
        await far.silence()


async def test_a_cancelled_stream() -> None:
    device = Device()
    async with serving(device) as (far, _):
        await far.send({"id": "a", "method": "count", "params": [100], "stream": True})
        await far.items(8)
        await far.send({"method": "rpc.cancel", "params": {"id": "a"}})
        reply = await far.receive()
        assert (reply["id"], code(reply)) == ("a", -32003)
        await device.closed.reach(1)
        await far.more("a", 100)
        await far.silence()


@pytest.mark.parametrize("members", [{"timeout": 0.05}, {}], ids=["caller's", "handler's"])
async def test_a_stream_must_end_in_time(members: dict[str, Any]) -> None:
    device = Device()
    async with serving(device) as (far, _):
        method = "count" if members else "hurried"
        await far.send({"id": 1, "method": method, "params": [100], "stream": True, **members})
        await far.items(8)
        assert code(await far.receive()) == -32002
        await device.closed.reach(1)


async def test_a_stream_may_be_in_time() -> None:
    request = {"id": 1, "method": "count", "params": [2], "stream": True, "timeout": 60.5}
    async with serving(Device()) as (far, _):
        await far.send(request)
        assert await far.items(2) == [0, 1]
        assert await far.receive() == {"id": 1, "result": {"count": 2}}


async def test_a_stream_inside_a_batch() -> None:
    async with serving(Device()) as (far, _):
        call = {"id": 1, "method": "count", "params": [10], "stream": True}
        junk = {"id": 3, "method": "what"}
        await far.send([call, {"id": 2, "method": "number"}, junk])
        assert await far.items(8) == list(range(8))
        await far.silence()
        await far.more(1, 16)
        assert await far.items(2) == [8, 9]
        replies = {reply["id"]: reply for reply in await far.receive()}
        assert replies[1] == {"id": 1, "result": {"count": 10}}
        assert replies[2] == {"id": 2, "result": 5}
        assert code(replies[3]) == -32601
        await far.silence()


async def test_two_requests_with_one_id_both_stream() -> None:
    device = Device()
    async with serving(device) as (far, _):
        for to in (9, 10):
            await far.send({"id": 1, "method": "count", "params": [to], "stream": True})
            await far.items(8)
        await far.more(1, 16)
        rest = [await far.receive() for _ in range(5)]
        counts = [message["result"]["count"] for message in rest if "result" in message]
        assert sorted(counts) == [9, 10]
        assert sorted(m["params"]["seq"] for m in rest if "params" in m) == [8, 8, 9]


async def test_a_stream_needs_permission() -> None:
    device = Device()
    async with serving(device) as (far, _):
        await far.send({"id": 1, "method": "secret", "params": [3], "stream": True})
        assert code(await far.receive()) == -32005
        await far.send({"id": 2, "method": "count", "params": ["x"], "stream": True})
        assert code(await far.receive()) == -32602
        await far.send({"id": 3, "method": "nothing", "stream": True})
        assert code(await far.receive()) == -32601
        assert not device.made.items


async def test_serial_streams_wait_for_each_other() -> None:
    device = Device()
    async with serving(device) as (far, _):
        await far.send({"id": 1, "method": "in_turn", "params": [9], "stream": True})
        await far.send({"id": 2, "method": "in_turn", "params": [1], "stream": True})
        await far.items(8)
        await far.silence()
        await far.more(1, 9)
        assert await far.items(1) == [8]
        assert await far.receive() == {"id": 1, "result": {"count": 9}}
        assert await far.items(1) == [0]
        assert await far.receive() == {"id": 2, "result": {"count": 1}}


@pytest.mark.parametrize("after", [0, 3, 8])
async def test_an_error_comes_after_the_items_before_it(after: int) -> None:
    device = Device()
    async with serving(device) as (far, _):
        await far.send({"id": 1, "method": "fail", "params": [after, 7], "stream": True})
        if after:
            assert await far.items(after) == list(range(after))
        assert await far.receive() == {"id": 1, "error": {"code": 7, "message": "enough"}}
        await device.closed.reach(1)
        await far.silence()


async def test_an_exception_nobody_foresaw_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(Device()) as (far, _):
        await far.send({"id": 1, "method": "fail", "params": [1], "stream": True})
        await far.items(1)
        error = {"code": -32603, "message": "Internal error"}
        assert await far.receive() == {"id": 1, "error": error}
    assert "secret" in caplog.text


async def test_an_item_that_does_not_fit() -> None:
    async with serving(Device(), max_message=120) as (far, _):
        fits = 120 - len('{"method":"rpc.item","params":{"id":1,"seq":0,"item":""}}')
        params = [[fits, fits + 1, 1]]
        await far.send({"id": 1, "method": "values", "params": params, "stream": True})
        assert await far.items(1) == ["x" * fits]
        reply = await far.receive()
        assert code(reply) == -32001
        assert reply["error"]["data"] == {"size": 121, "limit": 120}
        await far.silence()


async def test_an_item_with_nan(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(Device()) as (far, _):
        caplog.clear()  # of what is said of the server itself
        await far.send({"id": None, "method": "mixed", "params": [2], "stream": True})
        assert await far.items(2) == [0.0, 1.0]
        reply = await far.receive()
        assert (reply["id"], code(reply)) == (None, -32603)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_an_item_of_null() -> None:
    dispatcher = Dispatcher()

    @dispatcher.method
    def nothing() -> list[Any]:
        return [None, [], {"id": 1}]

    async with serving(dispatcher) as (far, _):
        await far.send({"id": None, "method": "nothing", "stream": True})
        assert await far.items(3) == [None, [], {"id": 1}]
        assert await far.receive() == {"id": None, "result": {"count": 3}}


async def test_middleware_is_around_the_stream() -> None:
    device = Device()
    seen: list[tuple[str, int]] = []

    @device.dispatcher.middleware
    async def note(
        call: Call, context: Context, next: Callable[[Call, Context], Awaitable[Any]]
    ) -> Any:
        seen.append((call.method, 0))
        try:
            value = await next(call, context)
        finally:
            seen.append((call.method, len(device.closed.items)))
        return [*value, 99] if call.method == "plain_list" else value

    async with serving(device) as (far, _):
        await far.send({"id": 1, "method": "count", "params": [3], "stream": True})
        assert await far.items(3) == [0, 1, 2]
        assert await far.receive() == {"id": 1, "result": {"count": 3}}
        assert seen == [("count", 0), ("count", 1)]
        await far.send({"id": 2, "method": "plain_list", "params": [1], "stream": True})
        assert await far.items(2) == [0, 99]
        assert await far.receive() == {"id": 2, "result": {"count": 2}}


HOSTILE: list[Any] = [
    {"id": "no such call", "upto": 100},
    {"id": "1", "upto": 100},
    {"id": 1.0, "upto": 100},
    {"id": True, "upto": 100},
    {"id": [1], "upto": 100},
    {"id": {}, "upto": 100},
    {"id": None, "upto": 100},
    {"upto": 100},
    {},
    [],
    [2, 100],
    None,
    {"id": 1},
    {"id": 1, "upto": -1},
    {"id": 1, "upto": 8},
    {"id": 1, "upto": 8.5},
    {"id": 1, "upto": "100"},
    {"id": 1, "upto": None},
    {"id": 1, "upto": True},
    {"id": 1, "upto": [100]},
    {"id": 1, "missing": 0},
    {"id": 1, "missing": ["0"]},
    {"id": 1, "missing": [0.5]},
    {"id": 1, "missing": [None]},
    {"id": 1, "missing": {}},
    {"id": 1, "missing": []},
    {"id": 1, "missing": [-1, 8, 9, 10**30]},
    {"id": 1, "missing": [-1] * 20_000},
    {"id": "1", "missing": [0]},
    {"id": 1, "upto": 100, "more": 1},
]


@pytest.mark.parametrize("reliable", [True, False], ids=["reliable", "lossy"])
async def test_hostile_credit_is_silent_and_harmless(reliable: bool) -> None:
    device = Device()
    async with serving(device, reliable=reliable) as (far, _):
        await far.send({"id": 1, "method": "count", "params": [20], "stream": True})
        await far.items(8)
        for params in HOSTILE[:-1]:
            await far.send({"method": "rpc.more", "params": params})
        await far.silence()
        assert len(device.made.items) == 9
        await far.send({"method": "rpc.more", "params": {"id": 1, "upto": 10**30}})
        assert await far.items(12) == list(range(8, 20))
        assert await far.receive() == {"id": 1, "result": {"count": 20}}


async def test_credit_as_a_request_is_no_method() -> None:
    async with serving(Device()) as (far, _):
        await far.send({"id": 5, "method": "rpc.more", "params": {"id": 1, "upto": 9}})
        assert code(await far.receive()) == -32601


async def test_credit_in_a_batch_counts() -> None:
    async with serving(Device()) as (far, _):
        await far.send({"id": 1, "method": "count", "params": [9], "stream": True})
        await far.items(8)
        await far.send([{"method": "rpc.more", "params": {"id": 1, "upto": 9}}])
        assert await far.items(1) == [8]
        assert await far.receive() == {"id": 1, "result": {"count": 9}}


async def test_items_that_nobody_asked_for_are_counted() -> None:
    async with serving(Device()) as (far, peer):
        junk: list[Any] = [{"id": 1, "seq": 0, "item": 5}, {"id": "1"}, [], None, {"seq": -1}]
        for params in junk:
            await far.send({"method": "rpc.item", "params": params})
        await far.silence()
        assert peer.session.strays == 5


async def test_a_caller_that_cannot_be_called_gets_the_list() -> None:
    async with serving(Device(), can_call_back=False) as (far, _):
        await far.send({"id": 1, "method": "count", "params": [10], "stream": True})
        assert await far.receive() == {"id": 1, "result": list(range(10))}


async def test_without_a_connection_there_is_the_list() -> None:
    request = {"id": 1, "method": "count", "params": [10], "stream": True}
    reply = await Device().dispatcher.dispatch(json.dumps(request).encode())
    assert reply is not None
    assert json.loads(reply) == {"id": 1, "result": list(range(10))}


async def test_a_caller_that_leaves_ends_the_stream() -> None:
    device = Device()
    async with serving(device, limits=Limits(linger_seconds=0.05)) as (far, _):
        await far.send({"id": 1, "method": "count", "params": [100], "stream": True})
        await far.items(8)
        await far.channel.aclose()
        await device.closed.reach(1)
    assert len(device.made.items) == 9


async def test_a_stream_without_credit_ends_with_the_channel() -> None:
    device = Device()
    async with serving(device) as (far, _):
        await far.send({"id": 1, "method": "count", "params": [100], "stream": True})
        await far.items(8)
        await far.channel.aclose()
        with anyio.fail_after(0.3):
            await device.closed.reach(1)


async def test_a_server_that_stops_ends_its_streams() -> None:
    device = Device()
    async with serving(device) as (far, _):
        await far.send({"id": 1, "method": "count", "params": [100], "stream": True})
        await far.items(8)
    assert len(device.closed.items) == 1


async def test_where_nothing_gets_lost_nothing_is_sent_again() -> None:
    async with serving(Device()) as (far, _):
        await far.send({"id": 1, "method": "count", "params": [9], "stream": True})
        await far.items(8)
        await far.send({"method": "rpc.more", "params": {"id": 1, "missing": [0]}})
        await far.silence()


async def test_credit_counts_while_much_waits_and_a_call_is_open() -> None:
    dispatcher = Dispatcher()

    @dispatcher.method
    async def ask(context: Context) -> Any:
        return await context.call("what", timeout=None)

    @dispatcher.method
    def big() -> list[str]:
        return ["x" * 1000] * 60

    async with serving(dispatcher, limits=Limits(queue_bytes=500)) as (far, _):
        await far.send({"id": 1, "method": "ask"})
        await far.expect("rpc.ping")
        await far.expect("what")
        await far.send(*({"id": id, "method": "big", "stream": True} for id in range(2, 12)))
        await anyio.wait_all_tasks_blocked()  # the channel is full, and the last streams wait
        for id in range(2, 12):
            await far.more(id, 60)
        await anyio.wait_all_tasks_blocked()
        ended = 0
        while ended < 10:
            ended += "id" in await far.receive()
