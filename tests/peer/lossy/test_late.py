"""Calls that outlast what a device remembers: their copies run nothing, and still ask."""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import anyio
import pytest

from jsonrpc_iot import Client, Dispatcher, OutcomeUnknown
from jsonrpc_iot.protocol.messages import CodecName
from jsonrpc_iot.testing import Faults, LossyLink, served
from tests.services._wifi import on_virtual_time

DEAF = Faults(drop=1.0)


class Device:
    def __init__(self, seconds: float = 0.0) -> None:
        self.ran = 0
        self._seconds = seconds
        self.dispatcher = Dispatcher()
        self.dispatcher.method(self.toggle)
        self.dispatcher.method(self.items)

    async def toggle(self) -> int:
        self.ran += 1
        await anyio.sleep(self._seconds)
        return self.ran

    async def items(self) -> AsyncIterator[int]:
        self.ran += 1
        yield self.ran


async def call(client: Client) -> int:
    return await client.call("toggle", result=int, timeout=120)


async def read(client: Client) -> int:
    return [item async for item in client.stream("items", item=int, timeout=120)][-1]


@pytest.mark.parametrize("ask", [call, read])
@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_what_the_device_has_forgotten_does_not_run_again(
    ask: Callable[[Client], Awaitable[int]], codec: CodecName
) -> None:
    device, link = Device(), LossyLink(codec=codec)

    async def main() -> None:
        async with served(device.dispatcher, link.client, link.server, extensions=True) as ends:
            link.to_client.faults = DEAF
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(hear_again, link, 35.0))
                with pytest.raises(OutcomeUnknown):
                    await ask(ends.client)

    on_virtual_time(main)
    assert device.ran == 1


@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_the_answer_of_a_call_that_takes_long_is_asked_for_again(codec: CodecName) -> None:
    device, link = Device(seconds=50.0), LossyLink(codec=codec)

    async def main() -> None:
        async with (
            served(device.dispatcher, link.client, link.server, extensions=True) as ends,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(partial(hear_again, link, 51.0))
            link.to_client.faults = DEAF
            assert await call(ends.client) == 1

    on_virtual_time(main)
    assert device.ran == 1


async def hear_again(link: LossyLink, after: float) -> None:
    await anyio.sleep(after)
    link.to_client.faults = Faults()
