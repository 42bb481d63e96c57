"""Calls without a task: a callback is told what becomes of them."""

import time
from typing import Any

import pytest

from jsonrpc_iot import (
    CallTimeout,
    ChannelClosed,
    Client,
    Dispatcher,
    MethodNotFound,
    connect,
    serve,
)
from tests.rig import ANYWHERE, Device, far_end
from tests.waiting import Tally

pytestmark = [pytest.mark.anyio, pytest.mark.only_on("asyncio")]


def begin(client: Client, method: str, params: Any, timeout: float | None, ended: Tally) -> Any:
    call = client.begin_call(method, params, timeout, ended.add)
    assert call is not None
    return call


async def test_it_ends_with_the_raw_result_or_an_error() -> None:
    ended = Tally()
    async with serve(Device().dispatcher, ANYWHERE) as server, connect(server.urls[0]) as client:
        begin(client, "echo", {"value": [1]}, None, ended)
        await ended.reach(1)
        begin(client, "nothing", None, 5.0, ended)
        await ended.reach(2)
    result, error = ended.items
    assert bytes(result) == b"[1]"
    assert isinstance(error, MethodNotFound)


async def test_it_ends_when_its_time_is_over_also_if_the_program_was_busy() -> None:
    ended = Tally()
    async with far_end() as (url, accept), connect(url) as client:
        raw = await accept()  # which never answers
        async with raw.stream:
            begin(client, "x", None, 0.02, ended)
            time.sleep(0.06)  # noqa: ASYNC251  # which holds up the event loop
            await ended.reach(1)
    assert isinstance(ended.items[0], CallTimeout)


async def test_who_cancels_it_hears_no_more_and_the_other_end_stops() -> None:
    device, ended = Device(), Tally()
    async with serve(device.dispatcher, ANYWHERE) as server, connect(server.urls[0]) as client:
        await client.call("rpc.ping")
        call = begin(client, "hold", ["x"], None, ended)
        await device.began.reach(1)
        call.cancel()
        await device.cancelled.reach(1)
        assert ended.items == []


async def test_it_ends_with_the_connection() -> None:
    device, ended = Device(), Tally()
    async with serve(device.dispatcher, ANYWHERE) as server, connect(server.urls[0]) as client:
        begin(client, "hold", ["x"], None, ended)
        await device.began.reach(1)
        device.gate.set()
    await ended.reach(1)
    async with serve(Dispatcher(), ANYWHERE) as server:
        async with connect(server.urls[0]) as client:
            begin(client, "rpc.ping", None, None, ended)
        await ended.reach(2)
        assert isinstance(ended.items[1], ChannelClosed) or bytes(ended.items[1]) == b"true"
        assert client.begin_call("rpc.ping", None, None, ended.add) is None


@pytest.mark.parametrize("url", ["udp://127.0.0.1:0", "tcp://127.0.0.1:0?max=64"])
async def test_where_it_cannot_be_nothing_is_sent(url: str) -> None:
    ended = Tally()
    async with serve(Device().dispatcher, "tcp://127.0.0.1:0", "udp://127.0.0.1:0") as server:
        at = server.urls[0] + "?max=64" if "tcp" in url else server.urls[1]
        async with connect(at) as client:
            assert client.begin_call("echo", ["x" * 100], None, ended.add) is None
            assert await client.call("echo", ["x"]) == "x"
    assert ended.items == []
