"""Batches by the client, and messages that do not fit."""

import anyio
import pytest

from jsonrpc_iot import (
    BatchedCall,
    CallTimeout,
    ChannelClosed,
    Client,
    MessageTooLarge,
    MethodNotFound,
    TooLarge,
    Unencodable,
    connect,
    serve,
)
from tests.rig import ANYWHERE, Device, Raw, far_end
from tests.waiting import SECONDS

pytestmark = pytest.mark.anyio

EVERYWHERE = pytest.mark.parametrize("url", [ANYWHERE, "memory://batches"])


class Mine(Exception):
    """What the user's block raises."""


async def expect_no_open_call(client: Client, raw: Raw) -> None:
    """Nothing was sent, and no call is open: an error without an id belongs to the only one."""
    async with anyio.create_task_group() as tasks:

        async def call() -> None:
            with pytest.raises(MethodNotFound):
                await client.call("next")

        tasks.start_soon(call)
        assert (await raw.receive())["method"] == "next"
        await raw.send('{"id":null,"error":{"code":-32601,"message":"Method not found"}}')


@EVERYWHERE
async def test_a_batch_brings_each_its_own_outcome(url: str) -> None:
    device = Device()
    device.gate.set()
    async with serve(device.dispatcher, url) as server, connect(server.urls[0]) as client:
        async with client.batch() as batch:
            first = batch.call("echo", [1], result=int)
            batch.notify("hold.note", ["noted"])
            missing: BatchedCall[object] = batch.call("no.such.method")
            late = batch.call("big.later", [3], result=str)
            with pytest.raises(RuntimeError):
                first.result()
        assert (first.result(), late.result()) == (1, "xxx")
        with pytest.raises(MethodNotFound):
            missing.result()
        await device.began.reach(1)
        assert device.began.items == ["noted"]


async def test_a_batch_with_nothing_to_wait_for_does_not_wait() -> None:
    with anyio.fail_after(SECONDS):
        async with far_end() as (url, accept), connect(url, extensions=False) as client:
            raw = await accept()
            async with client.batch():
                pass
            async with client.batch() as batch:
                batch.notify("a")
                batch.notify("b", [1])
            assert await raw.receive() == [{"method": "a"}, {"method": "b", "params": [1]}]
            await raw.stream.aclose()


@pytest.mark.parametrize("error", [Mine, Unencodable])
async def test_an_exception_in_the_block_sends_nothing(error: type[Exception]) -> None:
    with anyio.fail_after(SECONDS):
        async with far_end() as (url, accept), connect(url, extensions=True) as client:
            raw = await accept()
            with pytest.raises(error):  # noqa: PT012
                async with client.batch() as batch:
                    batch.call("a")
                    batch.notify("b")
                    if error is Unencodable:
                        batch.call("c", [float("nan")])
                    raise Mine
            await expect_no_open_call(client, raw)
            await raw.stream.aclose()


async def test_an_unanswered_batch_times_out_and_is_cancelled() -> None:
    device = Device()
    async with serve(device.dispatcher, ANYWHERE) as server, connect(server.urls[0]) as client:
        await client.call("echo", [1])
        async with client.batch(timeout=0.1) as batch:
            calls: list[BatchedCall[object]] = [batch.call("hold", [tag]) for tag in range(3)]
        for call in calls:
            with pytest.raises(CallTimeout):
                call.result()
        await device.cancelled.reach(3)


async def test_a_batch_that_loses_its_channel_fails() -> None:
    with anyio.fail_after(SECONDS):
        async with far_end() as (url, accept), connect(url, extensions=False) as client:
            raw = await accept()

            async def cut() -> None:
                await raw.receive()
                await raw.stream.aclose()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(cut)
                async with client.batch(timeout=None) as batch:
                    calls: list[BatchedCall[object]] = [batch.call("x"), batch.call("y")]
            for call in calls:
                with pytest.raises(ChannelClosed):
                    call.result()
            with pytest.raises(ChannelClosed):
                async with client.batch() as batch:
                    batch.call("z")


@pytest.mark.parametrize("extensions", [False, True])
async def test_what_does_not_fit_is_refused_before_anything_is_sent(extensions: bool) -> None:
    with anyio.fail_after(SECONDS):
        async with (
            far_end() as (url, accept),
            connect(url + "?max=200", extensions=extensions) as client,
        ):
            raw = await accept()
            for method in (client.call, client.notify):
                with pytest.raises(MessageTooLarge) as caught:
                    await method("x", ["y" * 300])
                assert caught.value.limit == 200
                assert caught.value.size > 300
            with pytest.raises(MessageTooLarge):  # noqa: PT012
                async with client.batch() as batch:
                    for _ in range(10):
                        batch.call("x" * 50)
            await expect_no_open_call(client, raw)
            await raw.stream.aclose()


@pytest.mark.parametrize("method", ["big", "big.later"])
@pytest.mark.parametrize("url", [ANYWHERE + "?max=2000", "memory://sizes?max=2000"])
async def test_a_reply_that_does_not_fit_is_an_error(url: str, method: str) -> None:
    async with serve(Device().dispatcher, url) as server, connect(server.urls[0]) as client:
        with pytest.raises(TooLarge) as caught:
            await client.call(method, [5000])
        assert caught.value.data["limit"] == 2000
        assert caught.value.data["size"] > 5000
        assert await client.call(method, [1000]) == "x" * 1000


async def test_big_messages_go_both_ways_at_once() -> None:
    big = "é" * 200_000
    calls: list[tuple[str, list[object]]] = [("echo", [big]), ("ask", ["echo", [big]])]
    async with (
        serve(Device().dispatcher, ANYWHERE) as server,
        connect(server.urls[0], dispatcher=Device().dispatcher) as client,
        anyio.create_task_group() as tasks,
    ):

        async def exchange(method: str, params: list[object]) -> None:
            assert await client.call(method, params, timeout=SECONDS) == big

        for _ in range(5):
            for method, params in calls:
                tasks.start_soon(exchange, method, params)
