"""What does not fit a channel (section 1, "Batch", "Error codes"), and stream framing (3.1)."""

import anyio
import pytest

from jsonrpc_iot import Limits
from jsonrpc_iot.testing.conformance.replies import (
    NOT_AN_OBJECT,
    TOO_LARGE,
    UNPARSED,
    Reply,
    fail,
    ok,
    strict_json,
)

from .link import Link, linked, on_streams, where_max_holds
from .wire import Transport

pytestmark = pytest.mark.anyio


@where_max_holds
async def test_a_result_that_does_not_fit_becomes_an_error(transport: Transport) -> None:
    async with linked(transport, "max=300") as link:
        await link.send(b'{"id":"a","method":"big","params":[1000]}')
        received = await link.receive()
        assert fail("a", TOO_LARGE).faults(received) == []
        error = received["error"]
        assert isinstance(error, dict)
        assert error["data"]["limit"] == 300
        assert error["data"]["size"] > 1000
        await link.send(b'{"id":1,"method":"big","params":[200]}')
        await link.expect(ok(1, "x" * 200))


@where_max_holds
async def test_each_result_of_a_batch_that_does_not_fit_becomes_its_own_error(
    transport: Transport,
) -> None:
    async with linked(transport, "max=300") as link:
        await link.send(
            b'[{"id":1,"method":"big","params":[1000]},{"id":2,"method":"big","params":[5]},'
            b'{"method":"big","params":[1000]},{"id":3,"method":"void"}]'
        )
        await link.expect((fail(1, TOO_LARGE), ok(2, "xxxxx"), ok(3, None)))


@where_max_holds
async def test_results_that_fit_only_one_by_one_become_errors_until_they_fit(
    transport: Transport,
) -> None:
    async with linked(transport, "max=400") as link:
        call = b'{"id":%d,"method":"big","params":[150]}'
        await link.send(b"[" + b",".join(call % id for id in (1, 2, 3)) + b"]")
        received = await link.wire.receive()
        assert len(received) <= 400
        replies = strict_json(received)
        assert isinstance(replies, list)
        assert sorted(reply["id"] for reply in replies) == [1, 2, 3]
        codes = [reply["error"]["code"] for reply in replies if "error" in reply]
        assert set(codes) == {TOO_LARGE}
        assert 0 < len(codes) < 3


@where_max_holds
async def test_errors_that_fit_only_without_their_texts_lose_these(transport: Transport) -> None:
    async with linked(transport, "max=220") as link:
        await link.send(b"[1,2,3]")
        replies = strict_json(await link.wire.receive())
        assert isinstance(replies, list)
        assert [(reply["id"], reply["error"]["code"]) for reply in replies] == 3 * [(None, -32600)]


@where_max_holds
async def test_an_error_that_does_not_fit_loses_data_then_message(transport: Transport) -> None:
    async with linked(transport, "max=200") as link:
        await link.send(b'{"id":1,"method":"fail.long_data"}')
        await link.expect(fail(1, 1234, message="short", data=None))
        await link.send(b'{"id":2,"method":"fail.long_message"}')
        await link.expect(fail(2, 1234, message="", data=None))
        await link.send(b'{"id":"%s","method":"fail.rpc"}' % (b"i" * 300))
        await link.expect_silence()


# Streams


@on_streams
async def test_requests_byte_by_byte(transport: Transport) -> None:
    text = rb'{"id":1,"method":"echo","params":["}]\"{[\\"]}'
    async with linked(transport) as link:
        for byte in b" \r\n" + text + text + b"[" + text + b"]":
            await link.stream_send(bytes([byte]))
        one = ok(1, '}]"{[\\')
        await link.expect(one, one, (one,))


@on_streams
async def test_a_balanced_message_needs_no_newline(transport: Transport) -> None:
    async with linked(transport) as link:
        await link.stream_send(b'{"id":1,"method":"void"}')
        await link.expect(ok(1, None))
        await link.stream_send(b'[{"id":2,"method":"void"}]')
        await link.expect((ok(2, None),))


@on_streams
async def test_a_scalar_waits_for_its_newline(transport: Transport) -> None:
    async with linked(transport) as link:
        for part in (b"tr", b"ue", b"\n1", b"2", b"\n"):
            await link.stream_send(part)
        await link.expect(NOT_AN_OBJECT, NOT_AN_OBJECT)
        await link.expect_silence()


@on_streams
async def test_an_unfinished_message_ends_the_connection(transport: Transport) -> None:
    async with linked(transport, limits=Limits(message_seconds=0.05)) as link:
        await link.send(b'{"jsonrpc":"2.0","id":1,"method":"void"}')
        await link.expect(ok(1, None, v2=True))
        await link.stream_send(b'{"id":2,"method":"void"')
        await _expect_end(link, UNPARSED)


@on_streams
@pytest.mark.parametrize("start", [b'{"id":1,"method":"', b"[", b'"', b"1", b"x"])
async def test_a_message_over_the_limit_ends_the_connection(
    transport: Transport, start: bytes
) -> None:
    async with linked(transport, "max=1000", Limits(receive_bytes=1000)) as link:
        fits = b'{"jsonrpc":"2.0","id":1,"method":"echo","params":["%s"]}' % (b"x" * 900)
        await link.send(fits)
        await link.expect(ok(1, "x" * 900, v2=True))
        await link.stream_send(start + b"1" * 1000)
        await _expect_end(link, fail(None, TOO_LARGE, v2=True))


async def _expect_end(link: Link, *messages: Reply) -> None:
    await link.expect(*messages)
    with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
        await link.wire.receive()
