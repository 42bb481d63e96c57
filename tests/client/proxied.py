"""What the tests of proxies share: a service as an interface, its device, and how to call it."""

import enum
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import Annotated, Any

import anyio
import pytest
from msgspec import Meta, Struct

from jsonrpc_iot import (
    Client,
    Context,
    Dispatcher,
    Event,
    RpcError,
    Server,
    connect,
    method,
    notification,
    serve,
    service,
)
from tests.waiting import SECONDS, Tally

Channel = Annotated[int, Meta(ge=1, le=3)]


class Mode(enum.Enum):
    MANUAL = "manual"
    AUTO = "auto"


class Status(Struct):
    channel: Channel
    on: bool


class Entry(Struct):
    number: int
    at: datetime
    raw: bytes = b""


@service("relay")
class Relay(ABC):
    """The interface; callers see `relay.set` and so on."""

    changed = Event[Status]("status")
    names = Event[list[str]]()

    @method("set")
    @abstractmethod
    async def switch(self, channel: Channel, on: bool = True, *, mode: Mode = Mode.AUTO) -> Mode:
        """Switch a channel."""

    @method(idempotent=True)
    @abstractmethod
    async def get(self, channel: Channel) -> Status: ...

    @method
    async def entries(self, count: int, at: datetime, raw: bytes = b"") -> AsyncIterator[Entry]:
        for number in range(count):
            yield Entry(number, at, raw)

    @method
    @abstractmethod
    def numbers(self, count: int) -> AsyncIterator[int]: ...

    @method(timeout=30.0)
    async def slow(self) -> float:
        """Takes its time, it says."""
        return 1.5

    @method
    def label(self) -> str:
        return "relay"

    @method
    async def who(self, suffix: str = "", *, context: Context | None = None) -> str:
        assert context is not None
        return context.method + suffix

    @notification
    async def toggle(self, channel: Channel, times: int = 1) -> None:
        raise NotImplementedError

    @notification("all_off")
    @abstractmethod
    async def everything_off(self) -> None: ...

    def not_for_callers(self) -> None:
        raise NotImplementedError


class FakeRelay(Relay):
    """The device, whose own defaults are others than the declared ones."""

    def __init__(self) -> None:
        self.on = dict.fromkeys(range(1, 4), False)
        self.noted = Tally()
        self.params: list[Any] = []

    async def switch(self, channel: int, on: bool = False, *, mode: Mode = Mode.MANUAL) -> Mode:
        if channel == 3:
            raise RpcError(4001, "Welded")
        self.on[channel] = on
        self.changed.emit(Status(channel, on))
        return mode

    async def get(self, channel: int) -> Status:
        return Status(channel, self.on[channel])

    async def numbers(self, count: int) -> AsyncIterator[int]:
        for number in range(count):
            yield number

    async def toggle(self, channel: int, times: int = 1) -> None:
        self.noted.add((channel, times))

    async def everything_off(self) -> None:
        self.noted.add("off")


@asynccontextmanager
async def calling(
    url: str, *devices: object, prefix: str = "", **options: Any
) -> AsyncIterator[tuple[Server, Client]]:
    """A server of these services, and a client of it, within a test's time."""
    dispatcher = Dispatcher()
    for device in devices:
        dispatcher.include(device, prefix)
    with within_time():
        async with serve(dispatcher, url) as server, connect(server.urls[0], **options) as client:
            await client.call("rpc.ping")
            yield server, client


@contextmanager
def within_time() -> Iterator[None]:
    with anyio.fail_after(SECONDS):
        yield


everywhere = pytest.mark.parametrize("url", ["memory://proxied", "tcp://127.0.0.1:0"])
