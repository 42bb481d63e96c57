"""What one message cannot show: calls in flight, calls by the device, dialects."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from jsonrpc_iot.testing.conformance.replies import (
    CANCELLED,
    DEADLINE_EXCEEDED,
    NOT_AN_OBJECT,
    UNPARSED,
    fail,
    ok,
)

from .link import (
    Link,
    both_ways,
    everywhere,
    for_calls_at_once,
    linked,
    on_lines_of_two,
    on_servers,
    on_shared_lines,
)
from .wire import Transport

pytestmark = pytest.mark.anyio


@everywhere
async def test_two_requests_in_flight_with_one_id_both_run(transport: Transport) -> None:
    async with linked(transport) as link:
        hold = b'{"id":7,"method":"hold"}'
        await link.send(hold, hold, b'{"id":8,"method":"release"}')
        await link.expect(ok(7, 1), ok(7, 2), ok(8, None))


@everywhere
async def test_slow_calls_hold_up_nothing(transport: Transport) -> None:
    async with linked(transport) as link:
        await link.send(b'{"id":1,"method":"hold"}', b'{"id":2,"method":"add","params":[1,2]}')
        await link.expect(ok(2, 3))
        await link.send(b'{"method":"release"}')
        await link.expect(ok(1, 1))


@everywhere
@pytest.mark.parametrize("id", ["5", '"five"', "null", "1.5", "123456789012345678901234567890"])
async def test_a_running_call_is_cancelled_by_its_id(transport: Transport, id: str) -> None:
    cancel = b'{"method":"rpc.cancel","params":{"id":%s}}'
    async with linked(transport) as link:
        await link.send(b'{"id":%s,"method":"forever"}' % id.encode())
        for other in (b'"5"', b"5.5", b"true", b"99", b'"null"'):
            await link.send(cancel % other)
        await link.expect_silence()
        await link.send(cancel % id.encode())
        await link.expect(fail(json.loads(id), CANCELLED))
        assert link.device.cancelled == 1
        await link.send(cancel % id.encode())
        await link.expect_silence()


@everywhere
async def test_a_call_ends_with_the_callers_time(transport: Transport) -> None:
    async with linked(transport) as link:
        await link.send(b'{"id":1,"method":"forever","timeout":0.02}')
        await link.expect(fail(1, DEADLINE_EXCEEDED))
        assert link.device.cancelled == 1
        await link.expect_silence()


@everywhere
async def test_an_async_notification_runs_and_stays_silent(transport: Transport) -> None:
    async with linked(transport) as link:
        await link.send(
            b'{"method":"hold"}',
            b'{"method":"async.fail"}',
            b'[{"method":"hold"},{"method":"async.fail"}]',
            b'{"id":1,"method":"hold"}',
            b'{"id":2,"method":"release"}',
        )
        await link.expect(ok(1), ok(2, None))
        await link.expect_silence()


@everywhere
async def test_one_peers_junk_does_not_reach_another(transport: Transport) -> None:
    async with linked(transport) as link:
        other = Link(link.device, link.open_wire, await link.open_wire())
        await link.send(b'{"id":[[[', b"\xff\xfe", b"[" * 1000, b'{"id":1,"method":"void"}')
        await other.send(b'{"id":1,"method":"add","params":[1,2]}')
        await other.expect(ok(1, 3))
        await link.wire.aclose()
        await other.send(b'{"id":1,"method":"add","params":[2,2]}')
        await other.expect(ok(1, 4))
        await other.wire.aclose()


# The server's own calls


@asynccontextmanager
async def asked(transport: Transport) -> AsyncIterator[tuple[Link, int]]:
    """A call by the device that waits for our answer; yields its id."""
    async with linked(transport) as link:
        await link.send(b'{"id":"ask","method":"ask","params":["peer.get"]}')
        request = await link.receive()
        assert request["method"] == "peer.get"
        assert request["params"] == ["from the server"]
        assert "jsonrpc" not in request
        id = request["id"]
        assert isinstance(id, int)
        yield link, id


@both_ways
async def test_the_device_may_call_us(transport: Transport) -> None:
    async with asked(transport) as (link, id):
        await link.send(b'{"id":%d,"result":{"a":null}}' % id)
        await link.expect(ok("ask", {"a": None}))


@both_ways
async def test_a_null_result_is_a_success(transport: Transport) -> None:
    async with asked(transport) as (link, id):
        await link.send(b'{"result":null,"id":%d}' % id)
        await link.expect(ok("ask", None))


@both_ways
async def test_both_ends_may_use_the_same_id(transport: Transport) -> None:
    async with asked(transport) as (link, id):
        await link.send(b'{"id":%d,"method":"echo","params":["mine"]}' % id)
        await link.expect(ok(id, "mine"))
        await link.send(b'{"id":%d,"result":"yours"}' % id)
        await link.expect(ok("ask", "yours"))


@both_ways
async def test_responses_with_other_ids_are_dropped(transport: Transport) -> None:
    async with asked(transport) as (link, id):
        for other in (b'"%d"' % id, b"true", b"%d.5" % id, b"null", b"[%d]" % id, b"%d" % (id + 9)):
            await link.send(b'{"id":%s,"result":"wrong"}' % other)
        await link.expect_silence()
        await link.send(b'{"id":%d,"result":"right"}' % id)
        await link.expect(ok("ask", "right"))
        await link.send(b'{"id":%d,"result":"late"}' % id)
        await link.expect_silence()


@both_ways
async def test_an_error_for_the_devices_call_reaches_its_handler(transport: Transport) -> None:
    async with asked(transport) as (link, id):
        await link.send(b'{"id":%d,"error":{"code":77,"message":"no","data":[1]}}' % id)
        await link.expect(fail("ask", 77, message="no", data=[1]))


@both_ways
@pytest.mark.parametrize(
    "body",
    [
        '"result":1,"error":{"code":1,"message":"m"}',
        '"error":5',
        '"error":{"code":"x","message":"m"}',
        '"x":1',
        '"params":[1]',
        '"jsonrpc":"2.0"',
    ],
)
@pytest.mark.parametrize("in_batch", [False, True], ids=["alone", "in-a-batch"])
async def test_a_malformed_response_fails_the_call_unanswered(
    transport: Transport, body: str, in_batch: bool
) -> None:
    async with asked(transport) as (link, id):
        response = b'{"id":%d,%s}' % (id, body.encode())
        await link.send(b"[%s]" % response if in_batch else response)
        failed = await link.receive()
        assert failed["id"] == "ask"
        assert "error" in failed
        await link.expect_silence()


@on_shared_lines
async def test_an_error_without_id_fails_no_call_where_others_share_the_link(
    transport: Transport,
) -> None:
    async with asked(transport) as (link, id):
        await link.send(b'{"id":null,"error":{"code":-32600,"message":"Invalid Request"}}')
        await link.expect_silence()
        await link.send(b'{"id":%d,"result":1}' % id)
        await link.expect(ok("ask", 1))


@on_lines_of_two
async def test_an_error_without_id_fails_the_only_open_call(transport: Transport) -> None:
    async with asked(transport) as (link, _):
        await link.send(b'{"id":null,"error":{"code":-32600,"message":"Invalid Request"}}')
        await link.expect(fail("ask", -32600, message="Invalid Request"))


@for_calls_at_once
async def test_an_error_without_id_fails_none_of_two_open_calls(transport: Transport) -> None:
    async with asked(transport) as (link, first):
        await link.send(b'{"id":"again","method":"ask","params":["peer.get"]}')
        second = (await link.receive())["id"]
        assert isinstance(second, int)
        assert second != first
        await link.send(b'{"id":null,"error":{"code":-32600,"message":"Invalid Request"}}')
        await link.expect_silence()
        await link.send(b'[{"id":%d,"result":2},{"id":%d,"result":1}]' % (second, first))
        await link.expect(ok("ask", 1), ok("again", 2))


# Dialects


@both_ways
async def test_pushes_come_in_the_dialect_of_the_last_valid_message(transport: Transport) -> None:
    iot, v2 = b'{"method":"announce"}', b'{"jsonrpc":"2.0","method":"announce"}'
    push = {"method": "device.changed", "params": {"on": True}}
    async with linked(transport) as link:
        for sent, expected in ((iot, False), (v2, True), (v2, True), (iot, False)):
            await link.send(sent)
            assert await link.receive() == (push | {"jsonrpc": "2.0"} if expected else push)


@on_servers
async def test_an_invalid_message_changes_no_dialect(transport: Transport) -> None:
    async with linked(transport) as link:
        await link.send(b'{"id":1,"method":"void"}', b'{"jsonrpc":"2.0","id":2,"method":5}', b"{")
        await link.expect(ok(1, None), fail(2, -32600, v2=True), UNPARSED)
        link.device.dispatcher.emit("device.changed", {"on": True})
        assert "jsonrpc" not in await link.receive()
        await link.send(b'{"jsonrpc":"2.0","id":3,"method":"void"}', b'{"id":4,"method":5}', b"1")
        await link.expect(ok(3, None, v2=True), fail(4, -32600), NOT_AN_OBJECT)
        link.device.dispatcher.emit("device.changed", {"on": True})
        assert (await link.receive())["jsonrpc"] == "2.0"


@both_ways
async def test_the_devices_calls_come_in_our_dialect(transport: Transport) -> None:
    async with linked(transport) as link:
        await link.send(b'{"jsonrpc":"2.0","id":"a","method":"ask","params":["peer.get"]}')
        request = await link.receive()
        assert request["jsonrpc"] == "2.0"
        await link.send(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": 1}).encode())
        await link.expect(ok("a", 1, v2=True))


@everywhere
@pytest.mark.parametrize("junk", [b"{", b"1", b"[]", b"nul"])
async def test_the_first_message_may_be_unreadable(transport: Transport, junk: bytes) -> None:
    async with linked(transport) as link:
        await link.send(junk)
        await link.expect(NOT_AN_OBJECT if junk in {b"1", b"[]"} else UNPARSED)
