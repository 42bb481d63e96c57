"""`ChannelInfo.in_flight`: how many requests of one end are open at once."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import anyio
import pytest

from jsonrpc_iot import CallTimeout, ChannelClosed, Client, Dispatcher, MethodNotFound
from jsonrpc_iot.testing import Faults, LossyLink, served
from tests.waiting import SECONDS

from .streams.rig import Far, calling, item

pytestmark = pytest.mark.anyio


class Caller:
    """Calls in tasks of their own, one after the other, and what they came to."""

    def __init__(self, client: Client, tasks: anyio.abc.TaskGroup) -> None:
        self._client = client
        self._tasks = tasks
        self.outcomes: dict[str, Any] = {}

    async def start(self, *methods: str, timeout: float | None = SECONDS) -> None:
        """Begin calls; each has joined the queue when the next one begins."""
        for method in methods:
            self._tasks.start_soon(self._call, method, timeout)
            await anyio.wait_all_tasks_blocked()

    async def _call(self, method: str, timeout: float | None) -> None:
        try:
            self.outcomes[method] = await self._client.call(method, timeout=timeout)
        except (CallTimeout, ChannelClosed) as error:
            self.outcomes[method] = error


@asynccontextmanager
async def limited(in_flight: int = 1, **options: Any) -> AsyncIterator[tuple[Client, Far, Caller]]:
    async with (
        calling(in_flight=in_flight, **options) as (client, far),
        anyio.create_task_group() as tasks,
    ):
        yield client, far, Caller(client, tasks)


async def answer(far: Far, request: dict[str, Any], result: object = None) -> None:
    await far.send({"id": request["id"], "result": result})


@pytest.mark.parametrize("in_flight", [1, 2])
async def test_calls_leave_in_order_of_arrival_as_turns_become_free(in_flight: int) -> None:
    names = ["first", "second", "third", "fourth", "fifth"]
    async with limited(in_flight) as (_, far, caller):
        await caller.start(*names)
        opened = [await far.expect(name) for name in names[:in_flight]]
        for name in names[in_flight:]:
            await far.silence()
            await answer(far, opened.pop(0), 1)
            opened.append(await far.expect(name))
        for request in opened:
            await answer(far, request, 1)
    assert caller.outcomes == dict.fromkeys(names, 1)


async def test_any_number_are_open_where_there_is_no_limit() -> None:
    async with calling() as (client, far), anyio.create_task_group() as tasks:
        caller = Caller(client, tasks)
        await caller.start("first", "second")
        for name in ("first", "second"):
            await answer(far, await far.expect(name))


async def test_a_call_whose_time_is_over_while_it_waits_is_never_sent() -> None:
    async with limited() as (client, far, caller):
        await caller.start("open")
        request = await far.expect("open")
        with pytest.raises(CallTimeout, match=r"late: not sent within 0\.05 s"):
            await client.call("late", timeout=0.05)
        await caller.start("next")
        await far.silence()
        await answer(far, request)
        await answer(far, await far.expect("next"))


async def test_the_other_end_is_told_the_time_that_is_left() -> None:
    async with limited() as (_, far, caller):
        await caller.start("open")
        await caller.start("next", timeout=5.0)
        request = await far.expect("open")
        await anyio.sleep(0.05)  # of the second one's time
        await answer(far, request)
        waiting = await far.expect("next")
        assert 4.0 < waiting["timeout"] <= 4.95
        await answer(far, waiting)


async def test_a_call_that_is_given_up_makes_room() -> None:
    async with limited() as (client, far, caller):
        with anyio.move_on_after(0.05):
            await client.call("cancelled")
        with pytest.raises(CallTimeout, match="no answer within"):
            await client.call("late", timeout=0.05)
        await caller.start("next")
        for name in ("cancelled", "rpc.cancel", "late", "rpc.cancel"):
            await far.expect(name)
        await answer(far, await far.expect("next"))


async def test_a_waiting_call_that_is_cancelled_takes_no_turn_along() -> None:
    async with limited() as (client, far, caller):
        await caller.start("open")
        request = await far.expect("open")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.call, "unwanted")
            await anyio.wait_all_tasks_blocked()
            await caller.start("next")
            await answer(far, request)  # the turn and the cancellation come together
            tasks.cancel_scope.cancel()
        while (message := await far.receive())["method"] != "next":
            assert message["method"] in ("unwanted", "rpc.cancel")
        await answer(far, message)
    assert caller.outcomes.keys() == {"open", "next"}


async def test_the_end_of_the_channel_wakes_all_who_wait() -> None:
    names = ["open", "second", "third"]
    async with limited() as (client, far, caller):
        await caller.start(*names)
        async with anyio.create_task_group() as tasks:

            async def in_a_batch() -> None:
                async with client.batch() as batch:
                    batched.append(batch.call("batched"))

            batched: list[Any] = []
            tasks.start_soon(in_a_batch)
            await anyio.wait_all_tasks_blocked()
            await far.channel.aclose()
        with pytest.raises(ChannelClosed):
            batched[0].result()
        with pytest.raises(ChannelClosed):
            await client.call("after")
    assert [type(caller.outcomes[name]) for name in names] == [ChannelClosed] * 3


async def test_a_batch_counts_as_one_request_and_notifications_as_none() -> None:
    async with limited() as (client, far, caller), anyio.create_task_group() as tasks:

        async def call_two() -> None:
            async with client.batch() as batch:
                calls = [batch.call("one"), batch.call("two")]
            results.extend(call.result() for call in calls)

        results: list[Any] = []
        await caller.start("open")
        tasks.start_soon(call_two)
        await anyio.wait_all_tasks_blocked()
        await client.notify("note")
        async with client.batch() as batch:
            batch.notify("note in a batch")
        request = await far.expect("open")
        await far.expect("note")
        assert (await far.receive())[0]["method"] == "note in a batch"
        await answer(far, request)
        entries = await far.receive()
        await caller.start("next")
        await far.silence()
        await far.send([{"id": each["id"], "result": each["method"]} for each in entries])
        await answer(far, await far.expect("next"))
    assert results == ["one", "two"]


async def test_a_batch_whose_time_is_over_while_it_waits_is_never_sent() -> None:
    async with limited() as (client, far, caller):
        await caller.start("open")
        request = await far.expect("open")
        async with client.batch(timeout=0.05) as batch:
            calls = [batch.call("one"), batch.call("two")]
        for call in calls:
            with pytest.raises(CallTimeout, match="not sent"):
                call.result()
        await far.silence()
        await answer(far, request)
        await caller.start("next")
        await answer(far, await far.expect("next"))


async def test_who_reads_a_stream_may_call_meanwhile() -> None:
    async with limited() as (client, far, caller):
        results = []

        async def read() -> None:
            async for each in client.stream("count"):
                about = await client.call("about", [each])
                results.append(f"{each}: {about}")

        await caller.start("open")
        opened = await far.expect("open")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            await caller.start("next")
            await far.silence()
            await answer(far, opened)
            stream = await far.expect("count")
            await far.silence()  # nothing leaves before its first item has come
            await far.send(item(stream["id"], 0, "a"))
            await answer(far, await far.expect("next"))
            await answer(far, await far.expect("about"), 1)
            await far.send(item(stream["id"], 1, "b"))
            await answer(far, await far.expect("about"), 2)
            await answer(far, stream, {"count": 2})
    assert results == ["a: 1", "b: 2"]


@pytest.mark.parametrize("end", ["answer", "error", "timeout", "cancel"])
async def test_a_stream_without_items_gives_its_turn_back(end: str) -> None:
    async with limited() as (client, far, caller):
        timeout = 0.05 if end == "timeout" else SECONDS
        ended = anyio.Event()

        async def read() -> None:
            with anyio.move_on_after(0.05 if end == "cancel" else None):
                async with aclosing(client.stream("count", timeout=timeout)) as stream:
                    with pytest.raises((CallTimeout, MethodNotFound, StopAsyncIteration)):
                        await anext(stream)
            ended.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            stream = await far.expect("count")
            await caller.start("next")
            if end == "answer":
                await answer(far, stream, {"count": 0})
            elif end == "error":
                error = {"code": -32601, "message": "no such method"}
                await far.send({"id": stream["id"], "error": error})
            else:
                await far.expect("rpc.cancel")
            await answer(far, await far.expect("next"))
            await ended.wait()


async def test_a_stream_whose_time_is_over_while_it_waits_is_never_sent() -> None:
    async with limited() as (client, far, caller):
        await caller.start("open")
        request = await far.expect("open")
        with pytest.raises(CallTimeout, match="count: not sent"):
            await anext(client.stream("count", timeout=0.05))
        await far.silence()
        await answer(far, request)


async def test_a_stream_asks_for_the_extensions_in_its_turn() -> None:
    async with limited(extensions=None) as (client, far, caller):
        items = []

        async def read() -> None:
            items.extend([each async for each in client.stream("count")])

        async with anyio.create_task_group() as tasks:
            await caller.start("open")
            opened = await far.expect("open")  # no probe of the client's own went before
            tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            await far.silence()
            await answer(far, opened)
            await answer(far, await far.expect("rpc.ping"), True)
            stream = await far.expect("count")
            assert stream["stream"] is True
            await far.send(item(stream["id"], 0, "a"))
            await answer(far, stream, {"count": 1})
    assert items == ["a"]


async def test_one_at_a_time_over_a_lossy_link() -> None:
    running, most, done = 0, 0, []
    dispatcher = Dispatcher()

    @dispatcher.method
    async def work(number: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await anyio.sleep(0.005)
        running -= 1
        done.append(number)

    @dispatcher.method
    async def count() -> AsyncIterator[int]:
        for each in range(3):
            yield each

    faults = Faults(drop=0.2, duplicate=0.2, reorder=0.2)
    link = LossyLink(faults, seed=5, retry_seconds=0.02, in_flight=1)
    with anyio.fail_after(2 * SECONDS):
        async with served(dispatcher, link.client, link.server) as ends:
            async with anyio.create_task_group() as tasks:
                for number in range(20):
                    tasks.start_soon(ends.client.call, "work", [number])
                    if number % 5 == 0:
                        await anyio.sleep(0.01)
                assert [each async for each in ends.client.stream("count")] == [0, 1, 2]
            assert await ends.server.call("rpc.ping") is True
    assert sorted(done) == list(range(20))
    assert most == 1
