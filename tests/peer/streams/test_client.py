"""Streams as a client takes them from a device that is played by the test."""

import gc
import subprocess
import sys
from contextlib import suppress
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from msgspec import Struct

from jsonrpc_iot import (
    CallTimeout,
    ChannelClosed,
    MalformedResponse,
    MessageTooLarge,
    RpcError,
)

from .rig import SECONDS, Far, calling, item, reading

pytestmark = pytest.mark.anyio


class Point(Struct):
    x: int


async def begin(far: Far, method: str = "m") -> int:
    """Take the request of a stream; returns its id."""
    request = await far.expect(method)
    assert request["stream"] is True
    assert isinstance(request["id"], int)
    id: int = request["id"]
    return id


async def test_the_messages_of_a_stream() -> None:
    async with (
        calling(dialect="jsonrpc2") as (client, far),
        reading(client.stream("m", {"a": 1}, item=int)) as reader,
    ):
        received = await far.receive_raw()
        members = '"id":1,"params":{"a":1},"stream":true'
        assert received == f'{{"method":"m","jsonrpc":"2.0",{members}}}'
        for seq in range(4):
            await far.send({"jsonrpc": "2.0", **item(1, seq, seq)})
        more = '"params":{"id":1,"upto":12}'
        assert await far.receive_raw() == f'{{"method":"rpc.more","jsonrpc":"2.0",{more}}}'
        await far.send({"jsonrpc": "2.0", "id": 1, "result": {"count": 4}})
        assert await reader.result() == [0, 1, 2, 3]


async def test_a_window_is_announced_at_once() -> None:
    async with calling() as (client, far), reading(client.stream("m", window=100)) as reader:
        id = await begin(far)
        assert (await far.expect("rpc.more"))["params"] == {"id": id, "upto": 100}
        await far.send(*(item(id, seq, seq) for seq in range(50)))
        assert (await far.expect("rpc.more"))["params"] == {"id": id, "upto": 150}
        await far.send({"id": id, "result": {"count": 50}})
        assert await reader.result() == list(range(50))


@pytest.mark.parametrize("window", [0, -1, -100])
async def test_a_window_that_is_none_is_refused(window: int) -> None:
    async with calling() as (client, _):
        with pytest.raises(ValueError, match="window"):
            client.stream("m", window=window)


@pytest.mark.parametrize("window", [1, 2, 3])
async def test_a_small_window_goes_on_after_the_first_credit(window: int) -> None:
    async with calling() as (client, far):
        stream = client.stream("m", window=window)
        async with reading(stream) as reader:
            id = await begin(far)
            sent = 0
            upto = 8
            while sent < 30:
                while sent < min(upto, 30):
                    await far.send(item(id, sent, sent))
                    sent += 1
                if sent < 30:
                    while upto <= sent:
                        upto = (await far.expect("rpc.more"))["params"]["upto"]
                    assert upto <= max(8, sent + window)
            await far.send({"id": id, "result": {"count": 30}})
            assert await reader.result() == list(range(30))


async def test_items_in_any_order_doubled_strange_and_beyond_the_credit() -> None:
    async with calling() as (client, far), reading(client.stream("m")) as reader:
        id = await begin(far)
        await far.send(
            *(item(id, seq, seq) for seq in (2, 1, 2, 8, 9, 10**6, 10**30)),
            item(id, 1, "another one"),
            *(item(wrong, 0, "stray") for wrong in (id + 1, 0, -1, str(id), None, 1.5, True, [id])),
            *(item(id, wrong, "stray") for wrong in (-1, "0", None, 0.5, True)),
            '{"method":"rpc.item","params":{"id":1,"seq":0}}',
            '{"method":"rpc.item","params":[1,0,5]}',
            '{"method":"rpc.item"}',
            item(id, 0, 0),
            item(id, 0, "again"),
            {"id": id, "result": {"count": 3}},
        )
        assert await reader.result() == [0, 1, 2]


async def test_an_item_of_the_wrong_type_ends_the_stream() -> None:
    async with calling() as (client, far), reading(client.stream("m", item=Point)) as reader:
        id = await begin(far)
        await far.send(item(id, 0, {"x": 1}), item(id, 1, {"x": "y"}), item(id, 2, {"x": 2}))
        with pytest.raises(MalformedResponse, match="m: an item"):
            await reader.result()
        assert reader.items.items == [Point(1)]
        assert (await far.expect("rpc.cancel"))["params"] == {"id": id}


@pytest.mark.parametrize(
    "result",
    ['{"count":3}', '{"count":10000000000}', '{"count":-1}', '{"count":"2"}', "{}", "2", "null"],
)
async def test_an_end_that_does_not_fit_the_items(result: str) -> None:
    async with calling() as (client, far), reading(client.stream("m")) as reader:
        id = await begin(far)
        await far.send(item(id, 0, 0), item(id, 1, 1), f'{{"id":{id},"result":{result}}}')
        with pytest.raises(MalformedResponse):
            await reader.result()


@pytest.mark.parametrize("count", [0, 1])
async def test_an_end_before_items_that_came(count: int) -> None:
    async with calling() as (client, far), reading(client.stream("m")) as reader:
        id = await begin(far)
        await far.send(*(item(id, seq, seq) for seq in (0, 1, 3)))
        await far.send({"id": id, "result": {"count": count}})
        assert await reader.result() == [0, 1]


async def test_items_after_the_end_are_strays() -> None:
    async with calling() as (client, far):
        async with reading(client.stream("m")) as reader:
            id = await begin(far)
            await far.send({"id": id, "result": {"count": 0}})
            assert await reader.result() == []
        await far.send(item(id, 0, 0), {"id": 7, "method": "rpc.ping"})
        assert await far.receive() == {"id": 7, "result": True}


@pytest.mark.parametrize("items", [[], [1], list(range(100))], ids=len)
async def test_a_device_that_answers_with_the_list(items: list[int]) -> None:
    async with calling() as (client, far), reading(client.stream("m", item=int)) as reader:
        await far.send({"id": await begin(far), "result": items})
        assert await reader.result() == items


async def test_a_list_after_items_is_no_end() -> None:
    async with calling() as (client, far), reading(client.stream("m")) as reader:
        id = await begin(far)
        await far.send(item(id, 0, 0), {"id": id, "result": [0]})
        with pytest.raises(MalformedResponse, match="m: the result"):
            await reader.result()


@pytest.mark.parametrize("count", [0, 1, 8])
async def test_an_error_comes_after_the_items_before_it(count: int) -> None:
    async with calling() as (client, far), reading(client.stream("m")) as reader:
        id = await begin(far)
        await far.send(*(item(id, seq, seq) for seq in range(count)))
        await far.send({"id": id, "error": {"code": 7, "message": "enough"}})
        with pytest.raises(RpcError, match="enough"):
            await reader.result()
        assert reader.items.items == list(range(count))


@pytest.mark.parametrize("error", ["5", "{}", '{"code":"x","message":1}'])
async def test_an_error_that_is_none(error: str) -> None:
    async with calling() as (client, far), reading(client.stream("m")) as reader:
        await far.send(f'{{"id":{await begin(far)},"error":{error}}}')
        with pytest.raises(MalformedResponse):
            await reader.result()


async def test_a_response_that_is_none() -> None:
    async with calling() as (client, far), reading(client.stream("m")) as reader:
        await far.send(f'{{"id":{await begin(far)}}}')
        with pytest.raises(MalformedResponse):
            await reader.result()


async def test_the_channel_ends_in_the_middle() -> None:
    async with calling() as (client, far), reading(client.stream("m", timeout=None)) as reader:
        id = await begin(far)
        await far.send(item(id, 0, 0), item(id, 1, 1), item(id, 3, 3))
        await far.channel.aclose()
        with pytest.raises(ChannelClosed):
            await reader.result()
        assert reader.items.items == [0, 1]


async def test_the_channel_ends_after_the_result() -> None:
    async with calling() as (client, far):
        stream = client.stream("m")
        async with anyio.create_task_group() as tasks:

            async def answer() -> None:
                id = await begin(far)
                await far.send(*(item(id, seq, seq) for seq in range(3)))
                await far.send({"id": id, "result": {"count": 3}})
                await far.channel.aclose()

            tasks.start_soon(answer)
            assert await anext(stream) == 0
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(ChannelClosed):
            await client.call("m")
        assert [each async for each in stream] == [1, 2]


async def test_a_closed_channel_streams_nothing() -> None:
    async with calling() as (client, far):
        await far.channel.aclose()
        await anyio.wait_all_tasks_blocked()
        for _ in range(2):
            with pytest.raises(ChannelClosed):
                await anext(client.stream("m"))


@pytest.mark.parametrize("extensions", [True, None])
async def test_a_device_that_never_answers(extensions: bool | None) -> None:
    async with calling(extensions=extensions) as (client, far):
        stream = client.stream("m", timeout=0.02)
        with pytest.raises(CallTimeout):
            await anext(stream)
        assert [each async for each in stream] == []
        if extensions:
            id = await begin(far)
            assert (await far.expect("rpc.cancel"))["params"] == {"id": id}


async def test_the_time_is_for_each_item() -> None:
    async with calling(timeout=0.3) as (client, far):
        stream = client.stream("m")
        async with reading(stream) as reader:
            id = await begin(far)
            begun = anyio.current_time()
            for seq in range(6):
                await anyio.sleep(0.1)
                await far.send(item(id, seq, seq))
            with pytest.raises(CallTimeout, match="m: no item"):
                await reader.result()
            assert anyio.current_time() - begun > 0.8
            assert reader.items.items == list(range(6))


async def test_a_peer_without_extensions_gets_a_plain_call() -> None:
    async with calling(extensions=False) as (client, far):
        async with reading(client.stream("m", [1], item=int)) as reader:
            assert await far.receive() == {"method": "m", "id": 1, "params": [1]}
            await far.send({"id": 1, "result": [1, 2, 3]})
            assert await reader.result() == [1, 2, 3]
        async with reading(client.stream("m", item=int)) as reader:
            await far.expect("m")
            await far.send({"id": 2, "result": [1, "2"]})
            with pytest.raises(MalformedResponse):
                await reader.result()
            assert not reader.items.items


@pytest.mark.parametrize(
    "answer", ['"result":true', '"result":1', '"error":{"code":1,"message":""}']
)
async def test_it_is_asked_first_what_the_device_understands(answer: str) -> None:
    async with calling(extensions=None) as (client, far), reading(client.stream("m")) as reader:
        knows = answer == '"result":true'
        pings = [await far.expect("rpc.ping") for _ in range(2)]
        await far.send(*(f'{{"id":{ping["id"]},{answer}}}' for ping in pings))
        request = await far.expect("m")
        assert request.get("stream", False) is knows
        result = {"count": 0} if knows else []
        await far.send({"id": request["id"], "result": result})
        assert await reader.result() == []


async def leave_by_break(client: Any) -> None:
    async for _ in client.stream("m"):
        break


async def leave_by_exception(client: Any) -> None:
    with suppress(LookupError):
        async for _ in client.stream("m"):
            raise LookupError


async def leave_by_cancellation(client: Any) -> None:
    with anyio.CancelScope() as scope:
        async for _ in client.stream("m", timeout=None):
            scope.cancel()


async def leave_while_waiting(client: Any) -> None:
    with anyio.move_on_after(0.05):
        async for _ in client.stream("m", timeout=None):
            pass


async def leave_by_closing(client: Any) -> None:
    stream = client.stream("m")
    await anext(stream)
    await stream.aclose()
    await stream.aclose()
    assert [each async for each in stream] == []
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def leave_a_block(client: Any) -> None:
    async with client.stream("m") as stream:
        assert await anext(stream) == 0
    assert [each async for each in stream] == []


@pytest.mark.parametrize(
    "leave",
    [
        leave_by_break,
        leave_by_exception,
        leave_by_cancellation,
        leave_while_waiting,
        leave_by_closing,
        leave_a_block,
    ],
)
async def test_who_leaves_the_loop_cancels_the_call(leave: Any) -> None:
    async with calling() as (client, far), anyio.create_task_group() as tasks:
        tasks.start_soon(leave, client)
        id = await begin(far)
        await far.send(item(id, 0, 0))
        assert (await far.expect("rpc.cancel"))["params"] == {"id": id}
        # Neither the answer to that nor late items disturb anybody.
        await far.send(item(id, 1, 1), {"id": id, "error": {"code": -32003, "message": "x"}})
        await far.send({"id": 7, "method": "rpc.ping"})
        assert await far.receive() == {"id": 7, "result": True}


async def test_a_stream_may_be_waited_for_again_after_a_cancellation() -> None:
    async with calling() as (client, far):
        stream = client.stream("m", timeout=None)
        with anyio.move_on_after(0.02):
            await anext(stream)
        id = await begin(far)
        await far.send(item(id, 0, "late"), {"id": id, "result": {"count": 1}})
        assert [each async for each in stream] == ["late"]


async def test_a_stream_that_is_over_cancels_nothing() -> None:
    async with calling() as (client, far):
        async with client.stream("m") as stream, reading(stream) as reader:
            id = await begin(far)
            await far.send(item(id, 0, 0), {"id": id, "result": {"count": 1}})
            assert await reader.result() == [0]
        await far.send({"id": 7, "method": "rpc.ping"})
        assert await far.receive() == {"id": 7, "result": True}


async def test_a_stream_that_nobody_iterates_sends_nothing() -> None:
    async with calling() as (client, far):
        stream = client.stream("m")
        async with client.stream("n"):
            pass
        del stream
        gc.collect()
        await far.send({"id": 7, "method": "rpc.ping"})
        assert await far.receive() == {"id": 7, "result": True}


async def test_a_request_that_does_not_fit_is_not_sent() -> None:
    async with calling(max_message=100) as (client, far):
        with pytest.raises(MessageTooLarge):
            await anext(client.stream("m", ["x" * 100]))
        await far.send({"id": 7, "method": "rpc.ping"})
        assert await far.receive() == {"id": 7, "result": True}


async def test_many_streams_at_once_on_one_channel() -> None:
    async with calling() as (client, far):
        results: dict[int, list[int]] = {}

        async def read(number: int) -> None:
            stream = client.stream("m", [number], item=int)
            results[number] = [each async for each in stream]

        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(read, number)
            numbers = {}
            for _ in range(50):
                request = await far.expect("m")
                numbers[request["id"]] = request["params"][0]
            for seq in (1, 0, 2):
                for id, number in numbers.items():
                    await far.send(item(id, seq, 10 * number + seq))
            await far.send(*({"id": id, "result": {"count": 3}} for id in numbers))
        assert results == {n: [10 * n, 10 * n + 1, 10 * n + 2] for n in range(50)}


# In development mode asyncio warns of every step that takes long, as all do on a busy machine.
LEFT_BEHIND = """
import anyio, gc, logging
from jsonrpc_iot import Dispatcher, connect, serve

logging.getLogger("asyncio").setLevel(logging.ERROR)
device = Dispatcher()

@device.method
async def count():
    for number in range(100):
        yield number

kept = []

async def main():
    async with serve(device, "memory://left", grace=0), connect("memory://left") as client:
        for _ in range(3):
            kept.append(client.stream("count"))
            assert await anext(kept[-1]) == 0
        {leave}

{run}
del kept[1:]
gc.collect()
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(
    ("leave", "catch"), [("pass", False), ("raise SystemExit", True), ("raise LookupError", True)]
)
def test_garbage_after_the_event_loop_says_nothing(backend: str, leave: str, catch: bool) -> None:
    run = f"anyio.run(main, backend={backend!r})"
    if catch:
        run = f"try:\n    {run}\nexcept BaseException:\n    pass"
    program = LEFT_BEHIND.replace("{leave}", leave).replace("{run}", run)
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-"],
        input=program,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


async def test_garbage_collected_in_another_thread_does_no_harm() -> None:
    async with calling() as (client, far):
        streams = [client.stream("m")]
        async with anyio.create_task_group() as tasks:

            async def first() -> None:
                await anext(streams[0])

            tasks.start_soon(first)
            id = await begin(far)
            await far.send(item(id, 0, 0))
        await anyio.to_thread.run_sync(streams.clear)
        await far.send({"id": 7, "method": "rpc.ping"})
        assert await far.receive() == {"id": 7, "result": True}


LOSSY: dict[str, Any] = {"reliable": False, "retry_seconds": 0.02}


async def test_on_a_lossy_link_the_request_is_repeated_and_all_that_may_be_lost_asked_for() -> None:
    async with calling(**LOSSY) as (client, far), reading(client.stream("m")) as reader:
        request = await far.expect("m")
        id = request["id"]
        assert await far.receive() == {**request, "retry": True}
        assert (await far.expect("rpc.more"))["params"] == {"id": id, "upto": 8}
        assert (await far.expect("rpc.more"))["params"] == {"id": id, "missing": list(range(8))}
        await far.send(item(id, 1, 1))
        while 0 not in (await far.receive()).get("params", {}).get("missing", ()):
            pass
        await far.send(item(id, 0, 0), {"id": id, "result": {"count": 3}})
        while (await far.receive()).get("params") != {"id": id, "missing": [2]}:
            pass
        await far.send(item(id, 2, 2))
        assert await reader.result() == [0, 1, 2]


async def test_an_error_is_known_though_the_time_is_over() -> None:
    async with (
        calling(reliable=False, retry_seconds=0.5) as (client, far),
        reading(client.stream("m", timeout=0.1)) as reader,
    ):
        id = await begin(far)
        await far.send(item(id, 0, 0), {"id": id, "error": {"code": 7, "message": "enough"}})
        with pytest.raises(RpcError, match="enough"):
            await reader.result()
