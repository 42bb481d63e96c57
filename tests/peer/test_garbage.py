"""Calls leave nothing behind that only the garbage collector can free.

Cycles would be found by it at some time, and in a program with a thousand connections each of its
full passes keeps everybody waiting for a quarter of a second.
"""

import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

import anyio
import pytest

from jsonrpc_iot import (
    CallTimeout,
    Client,
    Dispatcher,
    Gateway,
    RpcError,
    ServerError,
    connect,
    serve,
)
from tests.rig import ANYWHERE

pytestmark = pytest.mark.anyio

CALLS = 20


async def waits() -> None:
    await anyio.sleep(0.001)


async def fails() -> None:
    raise ServerError("no")


async def counts() -> AsyncIterator[int]:
    yield 1
    yield 2


def shapes(client: Client, prefix: str) -> dict[str, Callable[[], Awaitable[object]]]:
    async def streams() -> None:
        async with client.stream(f"{prefix}counts") as items:
            assert [item async for item in items] == [1, 2]

    async def batches() -> None:
        async with client.batch() as batch:
            batch.call(f"{prefix}waits")
            batch.call(f"{prefix}waits")

    async def fails_with(method: str) -> None:
        with suppress(RpcError):
            await client.call(f"{prefix}{method}")

    async def is_late() -> None:
        with suppress(CallTimeout, RpcError):
            await client.call(f"{prefix}waits", timeout=0.0001)

    return {
        "a result": lambda: client.call(f"{prefix}waits"),
        "an error": lambda: fails_with("fails"),
        "no such method": lambda: fails_with("nothing"),
        "a notification": lambda: client.notify(f"{prefix}waits"),
        "a stream": streams,
        "a batch": batches,
        "too late": is_late,
    }


@contextmanager
def uncollected() -> Iterator[None]:
    gc.disable()
    gc.freeze()  # nothing but what comes now is looked through
    try:
        yield
    finally:
        gc.unfreeze()
        gc.enable()


async def check(client: Client, prefix: str = "") -> None:
    left = {}
    for name, call in shapes(client, prefix).items():
        for _ in range(3):
            await call()
        await anyio.sleep(0.02)  # what was called in vain ends meanwhile
        with uncollected():
            for _ in range(CALLS):
                await call()
            await anyio.sleep(0.02)
            left[name] = gc.collect()
    assert {name: count for name, count in left.items() if count >= CALLS} == {}


@pytest.fixture
def device() -> Dispatcher:
    dispatcher = Dispatcher()
    for function in (waits, fails, counts):
        dispatcher.method(function)
    return dispatcher


@pytest.mark.parametrize("url", [ANYWHERE, "udp://127.0.0.1:0"])
async def test_calls_leave_no_cycles(device: Dispatcher, url: str) -> None:
    async with serve(device, url) as server, connect(server.urls[0]) as client:
        await check(client)


@pytest.mark.parametrize("url", [ANYWHERE, "udp://127.0.0.1:0"])
async def test_calls_through_a_gateway_leave_no_cycles(device: Dispatcher, url: str) -> None:
    gateway = Gateway()
    async with serve(device, url) as there:
        gateway.add("lamp", there.urls[0])
        async with gateway, serve(gateway, ANYWHERE) as server, connect(server.urls[0]) as client:
            await check(client, "lamp.")
