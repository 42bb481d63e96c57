"""Streams of a service that are declared as `Stream`, at both ends."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator

import anyio
import pytest

from jsonrpc_iot import Dispatcher, RpcError, Stream, method, service, stream
from tests.waiting import SECONDS

from .proxied import calling, everywhere

pytestmark = pytest.mark.anyio


@service("meter")
class Meter(ABC):
    @method(timeout=30.0)
    @abstractmethod
    def pulses(self, step: int = 1) -> Stream[int]: ...


class FakeMeter(Meter):
    def __init__(self) -> None:
        self.closed = anyio.Event()

    @stream
    async def pulses(self, step: int = 1) -> AsyncIterator[int]:
        """Counts without an end."""
        number = 0
        try:
            while number < 1000:
                yield (number := number + step)
            raise RpcError(4001, "Worn out")
        finally:
            self.closed.set()


@everywhere
async def test_a_stream_of_a_proxy_is_left_with_its_block(url: str) -> None:
    device = FakeMeter()
    async with calling(url, device) as (_, client):
        async with client.proxy(Meter).pulses(step=2) as pulses:
            assert [await anext(pulses), await anext(pulses)] == [2, 4]
            assert not device.closed.is_set()
        await device.closed.wait()
        with pytest.raises(StopAsyncIteration):
            await anext(pulses)


async def test_a_stream_of_the_device_itself_is_left_with_its_block() -> None:
    device = FakeMeter()
    with anyio.fail_after(SECONDS):
        async with device.pulses(3) as pulses:
            assert [await anext(pulses), await anext(pulses)] == [3, 6]
        assert device.closed.is_set()


async def test_it_is_a_generator_for_all_the_rest() -> None:
    device = FakeMeter()
    async with calling("memory://meter", device) as (_, client):
        with pytest.raises(RpcError, match="Worn out"):
            await client.call("meter.pulses", [500])
        document = await client.call("rpc.discover", ["meter.pulses"])
    (described,) = document["methods"]
    assert described["x-stream"] is True
    assert described["result"]["schema"] == {"type": "array", "items": {"type": "integer"}}
    assert described["summary"] == "Counts without an end."


async def test_a_function_of_a_dispatcher_may_be_one() -> None:
    dispatcher = Dispatcher()

    @dispatcher.method
    @stream
    async def count(upto: int) -> AsyncIterator[int]:
        for number in range(upto):
            yield number

    reply = await dispatcher.dispatch(b'{"method":"count","params":[3],"id":1}')
    assert reply == b'{"id":1,"result":[0,1,2]}'
    assert [number async for number in count(3)] == [0, 1, 2]


def test_what_yields_nothing_is_no_stream() -> None:
    async def listed() -> list[int]:
        return [1]

    with pytest.raises(TypeError, match="is no async generator function"):
        stream(listed)  # type: ignore[arg-type]
