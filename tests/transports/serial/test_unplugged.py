"""Serial lines whose adapter is pulled out and put back: what the ends know goes on."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import pytest

from jsonrpc_iot import (
    CallTimeout,
    Channel,
    ChannelClosed,
    connect,
    serve,
)
from jsonrpc_iot.testing import virtual_serial_pair
from jsonrpc_iot.transports import open_channel
from tests.waiting import SECONDS

from .dp_line import Home, needs_asyncio, serving
from .raw_line import Raw, frame, raw_device, text

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals"),
]


@needs_asyncio
async def test_datapoints_outlive_an_adapter_that_is_unplugged() -> None:
    point = {"id": 1, "type": "bool", "value": True}
    async with (
        virtual_serial_pair(paths=True) as line,
        serving(f"tuya-dp://{line.first}?role=mcu&gap=0"),
    ):
        url = f"tuya-dp://{line.second}?role=module&gap=0"
        async with connect(url) as module, module.notifications() as news:
            assert await module.call("give", [[point]]) == 1
            assert (await news.receive()).params == point
        await line.replug()
        async with connect(url) as module, module.notifications() as news:
            assert (await news.receive()).params == point


@needs_asyncio
async def test_both_ends_come_back_after_the_adapter_was_unplugged() -> None:
    async with virtual_serial_pair(paths=True) as line:
        with anyio.fail_after(SECONDS):
            async with (
                serve(Home().dispatcher, f"tuya-dp://{line.first}?gap=0", grace=0.2) as server,
                connect(f"tuya-dp://{line.second}?gap=0", reconnect=True, timeout=1) as client,
            ):
                assert server.urls == [f"tuya-dp://{line.first}?role=module&gap=0"]
                assert await client.call("echo", [1]) == 1
                await line.unplug()
                with pytest.raises((ChannelClosed, CallTimeout)):
                    await client.call("echo", [2])
                await line.replug()
                while True:
                    try:
                        assert await client.call("echo", [3], idempotent=True) == 3
                        break
                    except CallTimeout:
                        continue


@needs_asyncio
async def test_datapoints_of_a_connected_mcu_outlive_an_adapter_that_is_unplugged() -> None:
    point = {"id": 1, "type": "bool", "value": True}
    with anyio.fail_after(2 * SECONDS):
        async with (
            virtual_serial_pair(paths=True) as line,
            connect(f"tuya-dp://{line.first}?role=mcu&gap=0", reconnect=True, timeout=1) as mcu,
        ):
            url = f"tuya-dp://{line.second}?role=module&gap=0"
            async with connect(url) as module, module.notifications() as news:
                await mcu.notify("tuya.datapoint", point)
                assert (await news.receive()).params == point
            async with mcu.lost.values() as losses:
                await line.unplug()
                await losses.receive()
            await line.replug()
            async with connect(url) as module, module.notifications() as news:
                assert (await news.receive()).params == point


@asynccontextmanager
async def plugged_in_again(
    options: str, before: Callable[[Channel, Raw], Awaitable[object]]
) -> AsyncIterator[tuple[Channel, Raw]]:
    """A channel, and the other end in bytes, after that has happened to the one before it."""
    with anyio.fail_after(SECONDS), raw_device() as (first, path), raw_device() as (second, again):
        async with await open_channel(f"tuya-dp://{path}?gap=0&{options}") as channel:
            await before(channel, first)
        async with await open_channel(f"tuya-dp://{again}?gap=0&{options}") as next_channel:
            next_channel.follow(channel)
            yield next_channel, second


@needs_asyncio
async def test_the_cloud_gets_a_value_that_differs_also_after_the_adapter_was_unplugged() -> None:
    reply = b'{"id":1,"result":true}'

    async def before(mcu: Channel, module: Raw) -> None:
        await mcu.send(reply)
        await module.expect(frame(text(reply), 7, 3))

    async with plugged_in_again("role=mcu", before) as (mcu, module):
        await mcu.send(reply)
        await module.expect(frame(text(reply + b" "), 7, 3))


@needs_asyncio
async def test_what_an_mcu_repeats_when_it_is_asked_for_all_is_not_taken_twice() -> None:
    opened, closed = b'{"method":"door.opened"}', b'{"method":"door.closed"}'

    async def receive(module: Channel, mcu: Raw, *sent: bytes) -> bytes:
        """What the module gets of what an MCU sends when it is asked for all."""

        async def answer() -> None:
            for command, data in enumerate((b"\1", b"a product", b"", b"")):
                await mcu.data(command, 0)
                mcu.write(frame(data, command, 3))
            await mcu.expect(frame(command=8))
            for message in sent:
                mcu.write(frame(text(message), 7, 3))

        received: list[bytes] = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer)
            received.append(await module.receive())
        return received[0]

    async def before(module: Channel, mcu: Raw) -> None:
        assert await receive(module, mcu, opened) == opened

    async with plugged_in_again("role=module", before) as (module, mcu):
        assert await receive(module, mcu, opened, closed) == closed
