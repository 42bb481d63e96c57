"""The way there and back: `client.call`, with both ends on one event loop.

Each link is held against the least that the same loop can do over it, a bare echo of the same
bytes: asyncio's protocols, and on uvloop and trio what anyio has. TCP is held against aiorpcX too,
which takes async handlers only.

glibc gives and takes the 256 KiB that asyncio's transports receive into by system calls, until the
program has freed a larger piece; that makes its echo take more than twice as long. So one is freed
before anything is measured, and the floors are the lowest there are.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from types import ModuleType
from typing import Any, TypeAlias

import anyio
import anyio.lowlevel
from anyio.abc import ByteStream, SocketAttribute
from anyio.from_thread import BlockingPortal, start_blocking_portal

from jsonrpc_iot import Dispatcher, Limits, connect, serve

from ._harness import Options, Report, Timed, measure

Call: TypeAlias = Callable[[], Awaitable[object]]

SYNC, ASYNC, YIELDS = "sync handler", "async handler", "handler that gives way once"
HANDLERS = {SYNC: "echo", ASYNC: "echo_async", YIELDS: "echo_later"}
MANY = "tcp, 100 tasks"
PROTOCOL, DATAGRAMS = "asyncio.Protocol echo", "asyncio.DatagramProtocol echo"
STREAMS, MEMORY = "anyio echo", "anyio memory streams"
AIORPCX, AIORPCX_MANY = "aiorpcX, tcp", "aiorpcX, tcp, 100 tasks"

_PARAMS = {"value": "x"}
_MESSAGE = b'{"method":"echo","id":12345,"params":{"value":"x"},"timeout":10.0}\n'
_TASKS = 100
_LIMITS = Limits(remembered=1 << 22, remembered_bytes=1 << 30)  # that many calls of one peer
_FREED_BYTES = 1 << 22

# What is to be reached, by backend: the numerator, the floor, and the target.
_TARGETS: dict[str, list[tuple[str, str, float]]] = {
    "asyncio": [
        (f"tcp, {SYNC}", PROTOCOL, 1.5),
        (f"tcp, {ASYNC}", PROTOCOL, 1.9),
        (f"tcp, {ASYNC}", AIORPCX, 0.55),
        (f"udp, {SYNC}", DATAGRAMS, 1.1),
        (f"udp, {ASYNC}", DATAGRAMS, 1.4),
        (f"memory, {SYNC}", MEMORY, 1.7),
        (f"{MANY}, {SYNC}", AIORPCX_MANY, 0.2),
        (f"{MANY}, {ASYNC}", AIORPCX_MANY, 0.35),
    ],
    "uvloop": [(f"tcp, {SYNC}", STREAMS, 1.0), (f"udp, {SYNC}", STREAMS, 1.3)],
    "trio": [(f"tcp, {SYNC}", STREAMS, 2.4), (f"tcp, {ASYNC}", STREAMS, 3.6)],
}

device = Dispatcher()


@device.method
def echo(value: str) -> str:
    """Give back a text at once."""
    return value


@device.method
async def echo_async(value: str) -> str:
    """Give it back without waiting."""
    return value


@device.method
async def echo_later(value: str) -> str:
    """Let others run first."""
    await anyio.lowlevel.checkpoint()
    return value


def run(options: Options) -> Report:
    """Measure and compare."""
    backend = options.backend
    report = Report("latency", [f"echo of a short text, both ends on one event loop: {backend}"])
    bytearray(_FREED_BYTES)
    with ExitStack() as stack:
        backend_options = {"use_uvloop": backend == "uvloop"} if backend != "trio" else {}
        loop = "trio" if backend == "trio" else "asyncio"
        portal = stack.enter_context(start_blocking_portal(loop, backend_options))
        contenders = _ours(portal, stack, backend)
        contenders |= _floors(portal, stack, backend)
        if backend != "trio" and (aiorpcx := report.peer("aiorpcx", "aiorpcX")):
            call = stack.enter_context(portal.wrap_async_context_manager(_aiorpcx(aiorpcx)))
            contenders[AIORPCX] = _timed(portal, call)
            contenders[AIORPCX_MANY] = _timed(portal, call, _TASKS)
        samples = measure(contenders, rounds=options.rounds(15), seconds=options.seconds(0.1))
    for name, seconds in samples.items():
        report.add(name, "us", [1e6 * each for each in seconds])
    for name, floor, target in _TARGETS[backend]:
        if name in samples and floor in samples:
            report.compare(f"{name} / {floor}", samples[name], samples[floor], "<=", target)
    return report


def _timed(portal: BlockingPortal, call: Call, tasks: int = 1) -> Timed:
    return lambda count: portal.call(_seconds, call, tasks, count)


async def _seconds(call: Call, tasks: int, count: int) -> float:
    """Make so many calls in so many tasks."""

    async def some(count: int) -> None:
        for _ in range(count):
            await call()

    begin = anyio.current_time()
    if tasks == 1:
        await some(count)
    else:
        async with anyio.create_task_group() as group:
            for number in range(tasks):
                group.start_soon(some, len(range(number, count, tasks)))
    return anyio.current_time() - begin


def _ours(portal: BlockingPortal, stack: ExitStack, backend: str) -> dict[str, Timed]:
    urls = ["memory://latency", "tcp://127.0.0.1:0", "udp://127.0.0.1:0"]
    if backend == "asyncio":
        urls.append("uart+pty://")
    timed = {}
    for url in urls:
        link = url.partition(":")[0].partition("+")[0]
        served = serve(device, url, limits=_LIMITS)
        server = stack.enter_context(portal.wrap_async_context_manager(served))
        client = stack.enter_context(portal.wrap_async_context_manager(connect(server.urls[0])))
        for handler, method in HANDLERS.items():
            call = partial(client.call, method, _PARAMS)
            timed[f"{link}, {handler}"] = _timed(portal, call)
            if link == "tcp":
                timed[f"{MANY}, {handler}"] = _timed(portal, call, _TASKS)
    return timed


def _floors(portal: BlockingPortal, stack: ExitStack, backend: str) -> dict[str, Timed]:
    floors = {MEMORY: _memory, STREAMS: _streams}
    if backend != "trio":
        floors |= {PROTOCOL: _protocol, DATAGRAMS: _datagrams}
    return {
        name: _timed(portal, stack.enter_context(portal.wrap_async_context_manager(floor())))
        for name, floor in floors.items()
    }


@asynccontextmanager
async def _memory() -> AsyncIterator[Call]:
    there, from_here = anyio.create_memory_object_stream[bytes](8)
    back, from_there = anyio.create_memory_object_stream[bytes](8)

    async def answer() -> None:
        async for message in from_here:
            await back.send(message)

    async def call() -> None:
        await there.send(_MESSAGE)
        await from_there.receive()

    async with anyio.create_task_group() as tasks:
        with there, from_here, back, from_there:
            tasks.start_soon(answer)
            yield call
            tasks.cancel_scope.cancel()


@asynccontextmanager
async def _streams() -> AsyncIterator[Call]:
    async def answer(stream: ByteStream) -> None:
        async with stream:
            async for data in stream:
                await stream.send(data)

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, answer)
        port = listener.extra(SocketAttribute.local_port)
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:

            async def call() -> None:
                await stream.send(_MESSAGE)
                await stream.receive()

            yield call
        tasks.cancel_scope.cancel()


class _Near(asyncio.Protocol, asyncio.DatagramProtocol):
    """Waits for what it sent to come back."""

    answer: "asyncio.Future[bytes]"

    def data_received(self, data: bytes) -> None:
        self.answer.set_result(data)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.answer.set_result(data)


class _Far(asyncio.Protocol, asyncio.DatagramProtocol):
    """Sends back what comes."""

    transport: Any

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.transport.sendto(data, addr)


@asynccontextmanager
async def _protocol() -> AsyncIterator[Call]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Far, "127.0.0.1", 0)
    transport, near = await loop.create_connection(_Near, *server.sockets[0].getsockname())

    async def call() -> None:
        near.answer = loop.create_future()
        transport.write(_MESSAGE)
        await near.answer

    yield call
    transport.close()
    server.close()


@asynccontextmanager
async def _datagrams() -> AsyncIterator[Call]:
    loop = asyncio.get_running_loop()
    far, _ = await loop.create_datagram_endpoint(_Far, local_addr=("127.0.0.1", 0))
    place = far.get_extra_info("sockname")
    transport, near = await loop.create_datagram_endpoint(_Near, remote_addr=place)

    async def call() -> None:
        near.answer = loop.create_future()
        transport.sendto(_MESSAGE)
        await near.answer

    yield call
    transport.close()
    far.close()


@asynccontextmanager
async def _aiorpcx(aiorpcx: ModuleType) -> AsyncIterator[Call]:
    class Session(aiorpcx.RPCSession):  # type: ignore[name-defined]
        async def handle_request(self, request: Any) -> Any:
            return await aiorpcx.handler_invocation(echo_async, request)()

    server = await aiorpcx.serve_rs(Session, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with aiorpcx.connect_rs("127.0.0.1", port) as session:
        yield partial(session.send_request, "echo", _PARAMS)
    server.close()
