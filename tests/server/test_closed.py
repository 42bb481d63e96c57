"""A server that has ended, with a call still running."""

import logging
from contextlib import suppress

import anyio
import pytest

from jsonrpc_iot import Dispatcher, JsonRpcIotError, connect, serve
from tests.waiting import SECONDS

pytestmark = pytest.mark.anyio

URLS = [
    "memory://closed",
    "tcp://127.0.0.1:0",
    "udp://127.0.0.1:0",
    pytest.param("http://127.0.0.1:0/rpc", marks=pytest.mark.only_on("asyncio")),
    pytest.param("ws://127.0.0.1:0/rpc", marks=pytest.mark.only_on("asyncio")),
]


@pytest.mark.parametrize("url", URLS)
async def test_it_says_where_it_was_and_complains_of_nothing(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    device = Dispatcher()
    began = anyio.Event()

    @device.method
    async def hold() -> None:
        began.set()
        await anyio.sleep_forever()

    async def call(url: str) -> None:
        async with connect(url) as client:
            with suppress(JsonRpcIotError):
                await client.call("hold")

    with anyio.fail_after(SECONDS), caplog.at_level(logging.WARNING):
        async with anyio.create_task_group() as callers:
            async with serve(device, url, grace=0) as server:
                urls = server.urls
                callers.start_soon(call, urls[0])
                await began.wait()
            callers.cancel_scope.cancel()

    assert server.urls == urls
    assert [record.getMessage() for record in caplog.records] == []
