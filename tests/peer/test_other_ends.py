"""Ends that are no peers: devices that answer anything with `ERR`, and lines that echo."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import pytest

from jsonrpc_iot import CallTimeout, Channel, Limits, connect
from jsonrpc_iot.transports import open_listener
from tests.waiting import SECONDS, Tally

pytestmark = pytest.mark.anyio

JUNK = b"ERR unknown command"
ECHOING = [
    "tcp://127.0.0.1:0",
    "udp://127.0.0.1:0",
    "udp://127.0.0.1:0?segment=1&max=60",
    pytest.param("uart+pty://", marks=pytest.mark.only_on("asyncio")),
    pytest.param("tuya-dp+pty://?gap=0", marks=pytest.mark.only_on("asyncio")),
]
Far = Callable[[Channel, bytes], Awaitable[None]]


@asynccontextmanager
async def far_end(url: str, answer: Far) -> AsyncIterator[tuple[str, Tally]]:
    """An end in bytes that does `answer` with each message; its URL, and what it has heard."""
    heard = Tally()

    async def serve(channel: Channel) -> None:
        async with channel, anyio.create_task_group() as tasks:
            channel.start(tasks)
            try:
                while True:
                    message = await channel.receive()
                    heard.add(message)
                    await answer(channel, message)
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                tasks.cancel_scope.cancel()

    async with await open_listener(url, Limits()) as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve, tasks)
        yield listener.addresses[0], heard
        tasks.cancel_scope.cancel()


async def complain(channel: Channel, message: bytes) -> None:
    """Answer as a device does that knows no JSON."""
    await channel.send(JUNK)


async def echo(channel: Channel, message: bytes) -> None:
    """Send a message back as it came."""
    await channel.send(message)


async def answer_after_echo(channel: Channel, message: bytes) -> None:
    """Do as a device does on a line that echoes."""
    await channel.send(message)
    request = json.loads(message)
    if request.get("method") == "toggle":
        await channel.send(json.dumps({"id": request["id"], "result": "on"}).encode())


@pytest.mark.parametrize("url", ["pipe://err?dir=.", *ECHOING])
async def test_two_ends_do_not_answer_each_other_for_ever(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with far_end(url, complain) as (address, heard), connect(address) as client:
        with pytest.raises(CallTimeout, match=r"nothing that can be read: `ERR unknown command ?`"):
            await client.call("status", timeout=1.0)
        assert 2 <= len(heard.items) < 30


@pytest.mark.parametrize("url", ECHOING)
async def test_an_echo_is_not_answered(url: str) -> None:
    async with far_end(url, echo) as (address, heard), connect(address) as client:
        with pytest.raises(CallTimeout, match="came back as an echo"):
            await client.call("rpc.ping", timeout=1.0)
        with pytest.raises(CallTimeout, match="came back as an echo"):
            await client.call("relay.toggle", ["x" * 40], timeout=1.0)
        assert not any(b"error" in message or b"result" in message for message in heard.items)


@pytest.mark.parametrize("url", ECHOING)
async def test_a_line_that_echoes_carries_calls(url: str) -> None:
    async with far_end(url, answer_after_echo) as (address, heard), connect(address) as client:
        assert [await client.call("toggle", timeout=SECONDS) for _ in range(3)] == ["on"] * 3
    # Nobody but the echo has answered `rpc.ping`, so the device is told no timeout.
    assert not any(b"timeout" in message for message in heard.items)


@pytest.mark.parametrize("url", ["pipe://ids?dir=.", *ECHOING])
async def test_ids_begin_at_random_where_an_echo_may_come(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = []
    for _ in range(2):
        async with (
            far_end(url, complain) as (address, heard),
            connect(address) as client,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(partial(client.call, "status", timeout=None))
            await heard.reach(1)
            tasks.cancel_scope.cancel()
        first.append(json.loads(heard.items[0])["id"])
    if url.startswith("pipe"):
        assert first == [1, 1]
    else:
        assert first[0] != first[1]
        assert max(first) <= (1 << 30) + 1
