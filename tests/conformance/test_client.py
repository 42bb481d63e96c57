"""How the client matches responses to its calls (section 1, "Client"), byte for byte."""

import json
import logging

import anyio
import pytest

from jsonrpc_iot import (
    BatchedCall,
    ChannelClosed,
    Dispatcher,
    InvalidRequest,
    MalformedResponse,
    MessageTooLarge,
    RpcError,
)

from .far_end import far_end

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("null", None),
        ("true", True),
        ("0", 0),
        ('""', ""),
        ("[]", []),
        ('{"a":[1.5,"é"]}', {"a": [1.5, "é"]}),
        ("123456789012345678901234567890", 123456789012345678901234567890),
    ],
)
async def test_a_result_is_returned(text: str, value: object) -> None:
    async with far_end() as far:
        opened = await far.opened()
        await far.send(f'{{"id":{opened.id},"result":{text}}}')
        assert await opened.call.result() == value


@pytest.mark.parametrize(
    "shape",
    [
        '{"result":1,"id":%d,"jsonrpc":"2.0"}',
        '{"jsonrpc":"2.0","result":1,"id":%d}',
        '{"id":%d,"result":1,"x":{"id":2}}',
        r'{"\u0069d":%d,"r\u0065sult":1}',
        '{"id":77,"result":2,"result":1,"id":%d}',
        '[{"id":%d,"result":1}]',
        '\ufeff{"id":%d,"result":1}',
        ' {"id" : %d , "result" : 1 } ',
    ],
)
async def test_a_response_may_be_written_in_many_ways(shape: str) -> None:
    async with far_end() as far:
        opened = await far.opened()
        await far.send(shape % opened.id)
        assert await opened.call.result() == 1


@pytest.mark.parametrize(
    ("error", "code", "message", "data"),
    [
        ('{"code":-32601,"message":"Method not found"}', -32601, "Method not found", None),
        ('{"code":1234,"message":"","data":{"a":[1]}}', 1234, "", {"a": [1]}),
        ('{"code":0,"message":"zero","data":null}', 0, "zero", None),
        ('{"code":-32006,"message":"m","x":1}', -32006, "m", None),
        ('{"message":"m","data":false,"code":1}', 1, "m", False),
    ],
)
async def test_an_error_is_raised(error: str, code: int, message: str, data: object) -> None:
    async with far_end() as far:
        opened = await far.opened()
        await far.send(f'{{"id":{opened.id},"error":{error}}}')
        with pytest.raises(RpcError) as caught:
            await opened.call.result()
        assert (caught.value.code, caught.value.message, caught.value.data) == (code, message, data)


MALFORMED = [
    '"result":1,"error":{"code":1,"message":"m"}',
    '"result":null,"error":{"code":1,"message":"m"}',
    '"error":null',
    '"error":5',
    '"error":"broken"',
    '"error":true',
    '"error":[]',
    '"error":{}',
    '"error":{"message":"m"}',
    '"error":{"code":1}',
    '"error":{"code":"1","message":"m"}',
    '"error":{"code":true,"message":"m"}',
    '"error":{"code":null,"message":"m"}',
    '"error":{"code":1.5,"message":"m"}',
    '"error":{"code":1,"message":5}',
    '"error":{"code":1,"message":null}',
    '"x":1',
    '"params":[1]',
    '"jsonrpc":"2.0"',
]


@pytest.mark.parametrize("body", MALFORMED)
async def test_a_malformed_response_fails_that_call_only(body: str) -> None:
    async with far_end() as far:
        first = await far.opened()
        second = await far.opened()
        await far.send(f'{{"id":{first.id},{body}}}')
        with pytest.raises(MalformedResponse):
            await first.call.result()
        await far.expect_silence()
        assert not second.call.done
        await far.send(f'{{"id":{second.id},"result":2}}')
        assert await second.call.result() == 2


async def test_an_error_that_is_null_counts_as_absent() -> None:
    async with far_end() as far:
        opened = await far.opened()
        await far.send(f'{{"id":{opened.id},"result":1,"error":null}}')
        assert await opened.call.result() == 1


async def test_a_result_of_another_type_fails_that_call_only() -> None:
    async with far_end() as far:
        first = await far.opened(result=int)
        second = await far.opened(result=int)
        await far.send(f'{{"id":{first.id},"result":"x"}}')
        with pytest.raises(MalformedResponse):
            await first.call.result()
        await far.send(f'{{"id":{second.id},"result":2}}')
        assert await second.call.result() == 2


OTHER_IDS = ['"%d"', "true", "null", "[%d]", '{"id":%d}', "%d.5", "-%d", '" %d"', "%d000", '"%d.0"']


@pytest.mark.parametrize("id", OTHER_IDS)
async def test_an_id_of_another_type_or_value_resolves_nothing(id: str) -> None:
    async with far_end() as far:
        opened = await far.opened()
        other = id % opened.id if "%" in id else id
        await far.send(f'{{"id":{other},"result":"wrong"}}')
        await far.expect_silence()
        assert not opened.call.done
        await far.send(f'{{"id":{opened.id},"result":"right"}}')
        assert await opened.call.result() == "right"


async def test_true_does_not_resolve_call_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.randint", lambda first, last: 1)  # where ids start
    async with far_end() as far:
        opened = await far.opened()
        assert opened.id == 1
        for other in ("true", '"1"', "false", "0", '"true"'):
            await far.send(f'{{"id":{other},"result":"wrong"}}')
        await far.expect_silence()
        await far.send('{"id":1,"result":"right"}')
        assert await opened.call.result() == "right"


async def test_an_id_written_as_a_double_harms_nothing() -> None:
    async with far_end() as far:
        opened = await far.opened()
        await far.send(f'{{"id":{opened.id}.0,"result":"double"}}')
        await far.expect_silence()
        await far.send(f'{{"id":{opened.id},"result":"integer"}}')
        assert await opened.call.result() in {"double", "integer"}
        await far.expect_silence()


async def test_responses_come_in_any_order() -> None:
    async with far_end() as far:
        calls = [await far.opened(params=[number]) for number in range(20)]
        assert len({opened.id for opened in calls}) == 20
        for opened in reversed(calls):
            await far.send(f'{{"id":{opened.id},"result":{opened.request["params"][0]}}}')
        assert [await opened.call.result() for opened in calls] == list(range(20))


@pytest.mark.parametrize("outcome", ['"result":1', '"error":{"code":1,"message":"m"}', '"error":5'])
@pytest.mark.parametrize("id", ["99", '"x"', "null", "0", "123456789012345678901234567890"])
async def test_responses_to_no_open_call_are_dropped_unanswered(id: str, outcome: str) -> None:
    async with far_end() as far:
        await far.send(f'{{"id":{id},{outcome}}}')
        await far.expect_silence()
        opened = await far.opened()
        await far.send(f'{{"id":{opened.id},"result":1}}')
        assert await opened.call.result() == 1
        await far.send(f'{{"id":{opened.id},{outcome}}}')  # a second response
        await far.expect_silence()


async def test_an_error_without_id_fails_the_only_open_call() -> None:
    async with far_end() as far:
        opened = await far.opened()
        await far.send('{"id":null,"error":{"code":-32600,"message":"Invalid Request"}}')
        with pytest.raises(InvalidRequest):
            await opened.call.result()
        await far.expect_silence()


async def test_an_error_without_id_fails_none_of_two(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "jsonrpc_iot"):
        async with far_end() as far:
            first = await far.opened()
            second = await far.opened()
            await far.send('{"id":null,"error":{"code":-32600,"message":"who sent that"}}')
            await far.expect_silence()
            assert not first.call.done
            assert not second.call.done
            assert "who sent that" in caplog.text
            await far.send(f'{{"id":{first.id},"result":1}}')
            assert await first.call.result() == 1
            await far.send('{"id":null,"error":{"code":-32600,"message":"now it is clear"}}')
            with pytest.raises(InvalidRequest, match="now it is clear"):
                await second.call.result()


async def test_a_result_without_id_fails_nothing() -> None:
    async with far_end() as far:
        opened = await far.opened()
        await far.send('{"id":null,"result":1}')
        await far.expect_silence()
        assert not opened.call.done
        await far.send(f'{{"id":{opened.id},"result":2}}')
        assert await opened.call.result() == 2


@pytest.mark.parametrize(
    "junk", ["{", "nul", "5", "[]", "[1,2]", '{"id":5}', '{"a":NaN}', "[" * 99]
)
async def test_junk_fails_no_call(junk: str) -> None:
    async with far_end() as far:
        opened = await far.opened()
        await far.send(junk)
        await far.send(f'{{"id":{opened.id},"result":1}}')
        assert await opened.call.result() == 1


async def test_our_ids_and_the_other_ends_are_separate() -> None:
    dispatcher = Dispatcher()

    @dispatcher.method
    def echo(value: str) -> str:
        return value

    async with far_end(dispatcher=dispatcher) as far:
        opened = await far.opened()
        await far.send(f'{{"id":{opened.id},"method":"echo","params":["theirs"]}}')
        assert await far.receive() == {"id": opened.id, "result": "theirs"}
        assert not opened.call.done
        await far.send(f'{{"id":{opened.id},"result":"ours"}}')
        assert await opened.call.result() == "ours"


async def test_open_calls_fail_when_the_link_ends() -> None:
    async with far_end() as far:
        calls = [await far.opened() for _ in range(3)]
        await far.wire.aclose()
        for opened in calls:
            with pytest.raises(ChannelClosed):
                await opened.call.result()


async def test_notifications_are_never_answered() -> None:
    async with far_end() as far:
        for text in ('{"method":"x"}', '{"method":"rpc.nope","params":5}', '[{"method":"x"}]'):
            await far.send(text)
        await far.expect_silence()


async def test_a_notification_has_no_id() -> None:
    async with far_end() as far:
        await far.client.notify("sensor.report", {"value": 1})
        assert await far.receive() == {"method": "sensor.report", "params": {"value": 1}}


async def test_a_batch_is_one_message_with_replies_in_any_order() -> None:
    async with far_end() as far, anyio.create_task_group() as task_group:
        found: list[object] = []

        async def call_in_a_batch() -> None:
            async with far.client.batch() as batch:
                first: BatchedCall[str] = batch.call("a", [1])
                batch.notify("b")
                second: BatchedCall[str] = batch.call("c", {"x": 1})
            found.extend([first.result(), second.result()])

        task_group.start_soon(call_in_a_batch)
        line = await far.wire.receive()
        assert line.startswith(b"[")
        sent = {item["method"]: item for item in json.loads(line)}
        assert list(sent) == ["a", "b", "c"]
        assert set(sent["b"]) == {"method"}
        first, second = sent["a"]["id"], sent["c"]["id"]
        await far.send(f'[{{"id":{second},"result":"second"}},{{"id":{first},"result":"first"}}]')
    assert found == ["first", "second"]


async def test_a_request_that_does_not_fit_is_not_sent() -> None:
    async with far_end(options="?max=100") as far:
        with pytest.raises(MessageTooLarge) as caught:
            await far.client.call("get", ["x" * 200])
        assert caught.value.limit == 100
        assert caught.value.size > 200
        await far.expect_silence()
        opened = await far.opened()
        await far.send(f'{{"id":{opened.id},"result":1}}')
        assert await opened.call.result() == 1
