"""A device on HTTP. It is served on asyncio alone."""

from collections.abc import AsyncIterator

import anyio
import pytest

from jsonrpc_iot import Context, Dispatcher
from tests.conftest import ASYNCIO


@pytest.fixture(scope="module", params=ASYNCIO)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    backend: tuple[str, dict[str, object]] = request.param
    return backend


class Device:
    """What the tests call.

    Attributes:
        dispatcher: has the methods.
        started: `wait` has begun.
        ended: `wait` was cancelled, or `count` has ended.
        heard: what `note` was told.
    """

    def __init__(self) -> None:
        self.dispatcher = Dispatcher(title="Lamp")
        self.started = anyio.Event()
        self.ended = anyio.Event()
        self.heard: list[int] = []
        for function in (self.add, self.wait, self.count, self.back, self.note):
            self.dispatcher.method(function)
        self.dispatcher.method(requires="admin")(self.reset)

    def add(self, a: int, b: int) -> int:
        return a + b

    def note(self, number: int) -> None:
        self.heard.append(number)

    async def wait(self) -> None:
        self.started.set()
        try:
            await anyio.sleep_forever()
        finally:
            self.ended.set()

    async def count(self, upto: int) -> AsyncIterator[int]:
        try:
            for number in range(upto):
                yield number
        finally:
            self.ended.set()

    async def back(self, context: Context) -> None:
        await context.call("client.method")

    def reset(self) -> str:
        return "done"


@pytest.fixture
def device() -> Device:
    return Device()
