"""Programs that asyncio itself runs: in callbacks of its loop nothing says what runs it."""

import asyncio
from pathlib import Path

import anyio
import pytest

from jsonrpc_iot import Dispatcher, connect, serve
from tests.waiting import SECONDS

from .certificates import Certificates
from .links import TRANSPORTS, Urls

URLS: dict[str, Urls] = {
    **TRANSPORTS,
    "udp": lambda folder, certificates: ("udp://127.0.0.1:0", ""),
    "uart": lambda folder, certificates: ("uart+pty://", ""),
}


@pytest.mark.parametrize("name", URLS)
def test_both_ends_answer_with_async_handlers(
    name: str, tmp_path: Path, certificates: Certificates
) -> None:
    url, suffix = URLS[name](tmp_path, certificates)
    device = Dispatcher()

    @device.method
    async def echo(value: int) -> int:
        await anyio.lowlevel.checkpoint()
        return value

    async def converse() -> None:
        with anyio.fail_after(SECONDS):
            async with (
                serve(device, url) as server,
                connect(server.urls[0] + suffix, dispatcher=device) as client,
            ):
                assert await client.call("rpc.ping") is True  # now both ends wait
                assert await server.peers[0].call("rpc.ping") is True
                for value in range(3):
                    assert await client.call("echo", [value]) == value
                    assert await server.peers[0].call("echo", [value]) == value

    asyncio.run(converse())
