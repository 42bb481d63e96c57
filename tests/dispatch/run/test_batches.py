"""Many messages in one."""

import json

import anyio
import pytest

from jsonrpc_iot import ChannelInfo, Context, Dispatcher, Limits
from tests.dispatch._messages import batch, code, notice, request, values_by_id

pytestmark = pytest.mark.anyio


class Meeting:
    """Calls that end when as many as are expected have come."""

    def __init__(self, expected: int) -> None:
        self.left = expected
        self.all_here = anyio.Event()

    async def meet(self, name: str = "") -> str:
        self.left -= 1
        if self.left == 0:
            self.all_here.set()
        await self.all_here.wait()
        return name


async def test_async_calls_run_together() -> None:
    dispatcher = Dispatcher()
    dispatcher.method(Meeting(3).meet)
    calls = [request("meet", [name], id=name) for name in "abc"]
    with anyio.fail_after(5):
        found = values_by_id(await dispatcher.dispatch(batch(*calls)))
    assert found == {"a": "a", "b": "b", "c": "c"}


async def test_notifications_run_together_with_calls() -> None:
    dispatcher = Dispatcher()
    dispatcher.method(Meeting(2).meet)
    with anyio.fail_after(5):
        reply = await dispatcher.dispatch(batch(notice("meet", ["n"]), request("meet", ["c"])))
    assert values_by_id(reply) == {1: "c"}


async def test_plain_calls_run_in_order() -> None:
    log: list[int] = []
    dispatcher = Dispatcher()

    @dispatcher.method
    def note(number: int) -> int:
        log.append(number)
        return number

    calls = [notice("note", [n]) if n % 3 else request("note", [n], id=n) for n in range(20)]
    found = values_by_id(await dispatcher.dispatch(batch(*calls)))
    assert log == list(range(20))
    assert found == {n: n for n in range(0, 20, 3)}


async def test_quick_entries_do_not_wait_for_slow_ones() -> None:
    dispatcher = Dispatcher()
    released = anyio.Event()

    @dispatcher.method
    async def wait() -> str:
        await released.wait()
        return "waited"

    @dispatcher.method
    def release() -> str:
        released.set()
        return "released"

    calls = batch(request("wait", id=1), request("release", id=2))
    with anyio.fail_after(5):
        assert values_by_id(await dispatcher.dispatch(calls)) == {1: "waited", 2: "released"}


async def test_notifications_alone_are_silent() -> None:
    log: list[str] = []
    dispatcher = Dispatcher()
    dispatcher.method("plain")(lambda: log.append("plain"))

    @dispatcher.method
    async def coroutine() -> None:
        log.append("coroutine")

    @dispatcher.method
    async def fail() -> None:
        raise LookupError

    messages = batch(notice("coroutine"), notice("plain"), notice("fail"), notice("no.such"))
    assert await dispatcher.dispatch(messages) is None
    assert sorted(log) == ["coroutine", "plain"]
    assert dispatcher.dispatch_sync(messages) is None


async def test_responses_to_nobody_are_silent() -> None:
    dispatcher = Dispatcher()
    assert await dispatcher.dispatch(b'[{"id":1,"result":2}]') is None


async def test_one_failure_leaves_the_others_alone() -> None:
    dispatcher = Dispatcher()

    @dispatcher.method
    async def fail() -> None:
        await anyio.lowlevel.checkpoint()
        raise LookupError

    @dispatcher.method
    async def work() -> str:
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        return "done"

    calls = batch(request("fail", id=1), request("work", id=2), request("no.such", id=3), b"{}")
    found = values_by_id(await dispatcher.dispatch(calls))
    assert found[2] == "done"
    assert {id: found[id]["code"] for id in (1, 3, None)} == {1: -32603, 3: -32601, None: -32600}


async def test_each_entry_is_answered_in_its_own_dialect() -> None:
    dispatcher = Dispatcher()
    dispatcher.method("x")(lambda: 0)
    calls = batch(request("x", id=1), request("x", id=2, jsonrpc="2.0"))
    reply = await dispatcher.dispatch(calls)
    assert reply is not None
    responses = {each["id"]: each for each in json.loads(reply)}
    assert responses == {
        1: {"id": 1, "result": 0},
        2: {"jsonrpc": "2.0", "id": 2, "result": 0},
    }


async def test_the_limit_counts_every_entry() -> None:
    log: list[int] = []
    dispatcher = Dispatcher(limits=Limits(batch=3))
    dispatcher.method("note")(lambda: log.append(1))
    assert await dispatcher.dispatch(batch(*[notice("note")] * 3)) is None
    assert len(log) == 3
    reply = await dispatcher.dispatch(batch(*[notice("note")] * 4))
    assert reply is not None
    assert json.loads(reply)["error"]["code"] == -32600
    assert json.loads(reply)["id"] is None
    assert len(log) == 3


def small(limit: int) -> Context:
    return Context(info=ChannelInfo(transport="udp", max_message=limit))


def wordy() -> Dispatcher:
    dispatcher = Dispatcher()

    @dispatcher.method
    def say(size: int) -> str:
        return "x" * size

    @dispatcher.method
    async def say_later(size: int) -> str:
        await anyio.lowlevel.checkpoint()
        return "y" * size

    return dispatcher


@pytest.mark.parametrize("method", ["say", "say_later"])
async def test_in_a_reply_too_large_some_results_give_way(method: str) -> None:
    sizes = (1, 300, 5, 200)
    calls = batch(*(request(method, [size], id=size) for size in sizes))
    dispatcher = wordy()
    whole = await dispatcher.dispatch(calls)
    assert whole is not None
    found = values_by_id(await dispatcher.dispatch(calls, small(len(whole))))
    assert {id: len(result) for id, result in found.items()} == {size: size for size in sizes}
    reply = await dispatcher.dispatch(calls, small(len(whole) - 1))
    assert reply is not None
    assert len(reply) < len(whole)
    found = values_by_id(reply)
    assert found.keys() == set(sizes)
    refused = {id for id, result in found.items() if isinstance(result, dict)}
    assert len(refused) == 1
    for id, result in found.items():
        if id in refused:
            assert result["code"] == -32001
            assert result["data"].keys() == {"size", "limit"}
        else:
            assert len(result) == id


@pytest.mark.parametrize("limit", range(0, 400, 7))
async def test_a_reply_to_a_batch_never_exceeds_the_limit(limit: int) -> None:
    calls = batch(*(request("say", [size], id=size) for size in (1, 50, 5, 200)))
    reply = await wordy().dispatch(calls, small(limit))
    if reply is not None:
        assert len(reply) <= limit
        assert set(values_by_id(reply)) <= {1, 50, 5, 200}


@pytest.mark.parametrize("method", ["say", "say_later"])
async def test_a_single_result_that_does_not_fit_is_an_error(method: str) -> None:
    dispatcher = wordy()
    whole = await dispatcher.dispatch(request(method, [200]))
    assert whole is not None
    assert await dispatcher.dispatch(request(method, [200]), small(len(whole))) == whole
    reply = await dispatcher.dispatch(request(method, [200]), small(len(whole) - 1))
    assert code(reply) == -32001
    assert reply is not None
    found = json.loads(reply)["error"]["data"]
    assert found == {"size": len(whole), "limit": len(whole) - 1}


@pytest.mark.parametrize("limit", range(0, 120, 3))
async def test_an_error_shrinks_until_it_fits(limit: int) -> None:
    whole = (
        b'{"id":1,"error":{"code":-32601,"message":"Method not found","data":{"method":"no.such"}}}'
    )
    plain = b'{"id":1,"error":{"code":-32601,"message":"Method not found"}}'
    bare = b'{"id":1,"error":{"code":-32601,"message":""}}'
    expected = next((each for each in (whole, plain, bare) if len(each) <= limit), None)
    assert await Dispatcher().dispatch(request("no.such"), small(limit)) == expected
