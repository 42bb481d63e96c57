"""What the stream tests share: raw ends of both kinds, and a device whose streams are watched."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
import anyio.lowlevel

from jsonrpc_iot import Channel, Client, Dispatcher, Limits, RpcError, connect, serve
from jsonrpc_iot.peer.lossy import LossyIncoming
from jsonrpc_iot.peer.peer import Peer
from jsonrpc_iot.protocol.messages import Dialect
from jsonrpc_iot.testing import memory_pair
from tests.waiting import Tally

SECONDS = 25.0


class Far:
    """The far end of a channel, played by the test."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel

    async def send(self, *messages: str | bytes | dict[str, Any] | list[Any]) -> None:
        for message in messages:
            text = message if isinstance(message, str | bytes) else json.dumps(message)
            await self.channel.send(text.encode() if isinstance(text, str) else text)

    async def receive_raw(self) -> str:
        with anyio.fail_after(SECONDS):
            return (await self.channel.receive()).decode()

    async def receive(self) -> Any:
        return json.loads(await self.receive_raw())

    async def expect(self, method: str) -> Any:
        """The next message, which must be that request or notification."""
        message = await self.receive()
        assert message["method"] == method, message
        return message

    async def items(self, count: int) -> list[Any]:
        """The next messages, which must be items in order."""
        received = [(await self.expect("rpc.item"))["params"] for _ in range(count)]
        first = received[0]["seq"]
        assert [each["seq"] for each in received] == list(range(first, first + count))
        return [each["item"] for each in received]

    async def silence(self) -> None:
        """Nothing more is on its way: the next message answers a ping that is sent last."""
        for number in range(3):  # whoever was woken has had its turn meanwhile
            await self.send({"id": f"silence {number}", "method": "rpc.ping"})
            assert await self.receive() == {"id": f"silence {number}", "result": True}

    async def more(self, id: Any, upto: int) -> None:
        await self.send({"method": "rpc.more", "params": {"id": id, "upto": upto}})


def item(id: Any, seq: Any, value: Any) -> dict[str, Any]:
    return {"method": "rpc.item", "params": {"id": id, "seq": seq, "item": value}}


class Device:
    """A dispatcher whose streams note how far they are and how they ended."""

    def __init__(self, limits: Limits = Limits()) -> None:
        self.made = Tally()
        self.closed = Tally()
        self.dispatcher = Dispatcher(limits=limits)
        self.dispatcher.method(self.count)
        self.dispatcher.method("in_turn", serial=True)(self.count)
        self.dispatcher.method("hurried", timeout=0.05)(self.count)
        self.dispatcher.method("secret", requires="secrets")(self.count)
        self.dispatcher.method(self.doze)
        self.dispatcher.method(self.fail)
        self.dispatcher.method(plain_list)
        self.dispatcher.method("threaded", thread=True)(plain_list)
        self.dispatcher.method(later_list)
        self.dispatcher.method(number)
        self.dispatcher.method(values)
        self.dispatcher.method(mixed)

    async def count(self, to: int) -> AsyncIterator[int]:
        try:
            for each in range(to):
                self.made.add(each)
                yield each
        finally:
            self.closed.add()

    async def doze(self, after: int) -> AsyncIterator[int]:
        try:
            for each in range(after):
                yield each
            await anyio.sleep_forever()
        finally:
            self.closed.add()

    async def fail(self, after: int, code: int = 0) -> AsyncIterator[int]:
        try:
            for each in range(after):
                yield each
            raise RpcError(code, "enough") if code else LookupError("secret")
        finally:
            self.closed.add()


def plain_list(to: int) -> list[int]:
    return list(range(to))


async def later_list(to: int) -> list[int]:
    await anyio.lowlevel.checkpoint()
    return list(range(to))


def number() -> int:
    return 5


async def values(sizes: list[int]) -> AsyncIterator[str]:
    for size in sizes:
        yield "x" * size


async def mixed(nan_at: int) -> AsyncIterator[float]:
    for each in range(nan_at):
        yield float(each)
    yield float("nan")


@asynccontextmanager
async def serving(
    device: Device | Dispatcher, *, limits: Limits | None = None, **options: Any
) -> AsyncIterator[tuple[Far, Peer]]:
    """A served device, and a caller that is played by the test."""
    dispatcher = device if isinstance(device, Dispatcher) else device.dispatcher
    near, far = memory_pair(**options)
    limits = limits or dispatcher.limits
    async with serve(dispatcher, near, limits=limits, grace=0) as server, far:
        yield Far(far), server.peers[0]


@asynccontextmanager
async def calling(
    *,
    extensions: bool | None = True,
    timeout: float | None = SECONDS,
    dialect: Dialect = "iot",
    **options: Any,
) -> AsyncIterator[tuple[Client, Far]]:
    """A client, and a device that is played by the test."""
    near, far = memory_pair(**options)
    with anyio.fail_after(2 * SECONDS):
        async with (
            connect(near, extensions=extensions, timeout=timeout, dialect=dialect) as client,
            far,
        ):
            yield client, Far(far)


class Reader:
    """Takes a stream in a task of its own."""

    def __init__(self) -> None:
        self.items = Tally()
        self.error: BaseException | None = None
        self.ended = anyio.Event()

    async def read(self, stream: Any) -> None:
        try:
            async for each in stream:
                self.items.add(each)
        except Exception as error:  # noqa: BLE001  # the test looks at it
            self.error = error
        self.ended.set()

    async def result(self) -> list[Any]:
        """All items, once the stream has ended; raises what ended it."""
        with anyio.fail_after(SECONDS):
            await self.ended.wait()
        if self.error is not None:
            raise self.error
        return self.items.items


@asynccontextmanager
async def reading(stream: Any) -> AsyncIterator[Reader]:
    """Takes a stream meanwhile."""
    reader = Reader()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reader.read, stream)
        yield reader
        tasks.cancel_scope.cancel()


def kept_bytes(peer: Peer) -> int:
    """Bytes that the server of a peer keeps."""
    assert isinstance(peer._incoming, LossyIncoming)
    return peer._incoming._seen.share.byte_count


@contextmanager
def whole_budget(peer: Peer) -> Iterator[None]:
    """Everything that is kept in the block must be given back, at the latest after 30 s."""
    before = kept_bytes(peer)
    yield
    peer.check(anyio.current_time() + 31)
    assert kept_bytes(peer) == before
