"""What every transport's channel does, whatever carries it."""

import contextlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from jsonrpc_iot import Channel, FramingError, Limits

from .certificates import Certificates
from .links import TRANSPORTS, WEBSOCKETS, Link, linked

pytestmark = pytest.mark.anyio

Linked = Callable[..., AbstractAsyncContextManager[Link]]
NO_MORE = (anyio.EndOfStream, anyio.BrokenResourceError)
CLOSED = (anyio.ClosedResourceError, anyio.BrokenResourceError)


PARAMS = [
    pytest.param(name, marks=[pytest.mark.only_on("asyncio")] if name in WEBSOCKETS else [])
    for name in TRANSPORTS
]


@pytest.fixture(params=PARAMS)
def link(
    request: pytest.FixtureRequest, tmp_path: Path, certificates: Certificates
) -> Callable[[], AbstractAsyncContextManager[Link]]:
    """Open both ends of a channel over each transport."""
    return lambda limits=Limits(): linked(request.param, tmp_path, certificates, limits)  # type: ignore[misc]


async def receive(channel: Channel, count: int) -> list[bytes]:
    """That many messages, one by one and in batches by turns."""
    messages: list[bytes] = []
    while len(messages) < count:
        if len(messages) % 2:
            messages.append(await channel.receive())
        else:
            messages += await channel.receive_batch()
    return messages


async def test_messages_arrive_whole_and_in_order(link: Linked) -> None:
    sent = [b'{"number":%d,"pad":"%s"}' % (n, b"x" * (n * 37 % 3000)) for n in range(300)]
    async with link() as (client, server, tasks):
        for here, there in ((client, server), (server, client)):

            async def send(channel: Channel = here) -> None:
                for message in sent[:100]:
                    await channel.send(message)
                for start in range(100, 300, 50):
                    await channel.send_batch(sent[start : start + 50])

            tasks.start_soon(send)
            assert await receive(there, 300) == sent


async def test_both_directions_at_once(link: Linked) -> None:
    count, size = 40, 50_000
    async with link() as (client, server, tasks):

        async def send(channel: Channel, letter: bytes) -> None:
            for number in range(count):
                await channel.send(b'["%d%s"]' % (number, letter * size))

        tasks.start_soon(send, client, b"c")
        tasks.start_soon(send, server, b"s")
        found: dict[bytes, list[bytes]] = {b"c": [], b"s": []}

        async def collect(channel: Channel, letter: bytes) -> None:
            found[letter] = await receive(channel, count)

        async with anyio.create_task_group() as collecting:
            collecting.start_soon(collect, server, b"c")
            collecting.start_soon(collect, client, b"s")
        for letter, messages in found.items():
            assert messages == [b'["%d%s"]' % (n, letter * size) for n in range(count)]


async def test_big_messages(link: Linked) -> None:
    big = b'["' + b"x" * 1_000_000 + b'"]'
    async with link(Limits(receive_bytes=1 << 21)) as (client, server, tasks):
        tasks.start_soon(client.send_batch, [big, b"[1]", big])
        assert await receive(server, 3) == [big, b"[1]", big]


async def test_a_cancelled_receive_loses_nothing(link: Linked) -> None:
    count = 200
    async with link() as (client, server, tasks):

        async def send() -> None:
            for number in range(count):
                await client.send(b"[%d]" % number)
                await anyio.lowlevel.checkpoint()

        tasks.start_soon(send)
        found: list[bytes] = []
        turn = 0
        while len(found) < count:
            turn += 1
            with anyio.CancelScope() as scope:
                if turn % 3 == 0:
                    scope.cancel()
                else:
                    scope.deadline = anyio.current_time() + turn % 5 * 0.0002
                found += await server.receive_batch()
        assert found == [b"[%d]" % number for number in range(count)]


async def test_half_a_message_survives_a_cancelled_receive(link: Linked) -> None:
    big = b'["' + b"x" * 400_000 + b'"]'
    async with link() as (client, server, tasks):
        tasks.start_soon(client.send, big)
        for _ in range(50):
            with anyio.move_on_after(0.0002):
                assert await server.receive() == big
                break
        else:
            assert await server.receive() == big


async def test_the_end_comes_after_the_last_message(link: Linked) -> None:
    async with link() as (client, server, _):
        await client.send_batch([b"[1]", b"[2]"])
        await client.aclose()
        assert await receive(server, 2) == [b"[1]", b"[2]"]
        for _ in range(2):
            with pytest.raises(NO_MORE):
                await server.receive()


async def test_a_channel_that_is_half_closed_still_receives(link: Linked) -> None:
    async with link() as (client, server, _):
        await client.send(b"[1]")
        try:
            await client.send_eof()
        except NotImplementedError:
            assert client.info.transport in {"tls", "ws", "wss"}
            return
        assert await server.receive() == b"[1]"
        with pytest.raises(anyio.EndOfStream):
            await server.receive()
        await server.send(b"[2]")
        assert await client.receive() == b"[2]"


async def test_nothing_goes_through_a_closed_channel(link: Linked) -> None:
    async with link() as (client, _, _):
        await client.aclose()
        await client.aclose()
        with pytest.raises(CLOSED):
            await client.send(b"[1]")
        with pytest.raises(CLOSED):
            await client.send_batch([b"[1]"])


async def test_closing_wakes_whoever_receives(link: Linked) -> None:
    async with link() as (client, _, tasks):
        woken = anyio.Event()

        async def wait() -> None:
            with pytest.raises((*NO_MORE, *CLOSED)):
                await client.receive()
            woken.set()

        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        await client.aclose()
        await woken.wait()


async def test_closing_wakes_whoever_sends(link: Linked) -> None:
    async with link() as (client, _, tasks):
        woken = anyio.Event()

        async def fill() -> None:
            with pytest.raises(CLOSED):  # noqa: PT012
                while True:
                    await client.send(b'["' + b"x" * 100_000 + b'"]')
            woken.set()

        tasks.start_soon(fill)
        await anyio.sleep(0.05)
        await client.aclose()
        await woken.wait()


async def test_sending_to_a_closed_channel_fails_sooner_or_later(link: Linked) -> None:
    async with link() as (client, server, _):
        await server.aclose()
        with pytest.raises(anyio.BrokenResourceError):  # noqa: PT012
            while True:
                await client.send(b'["' + b"x" * 10_000 + b'"]')


async def test_the_facts(link: Linked) -> None:
    async with link() as (client, server, _):
        for channel in (client, server):
            info = channel.info
            assert info.transport in {"memory", "pipe", "unix", "tcp", "tls", "ws", "wss"}
            assert info.local.startswith(f"{info.transport}://")
            assert info.peer.startswith(f"{info.transport}://")
            assert info.reliable
            assert info.can_call_back
        if client.info.transport in {"tcp", "tls", "ws", "wss"}:
            assert client.info.peer == server.info.local
            assert client.info.local == server.info.peer


async def test_a_message_over_the_limit_ends_the_reading(link: Linked) -> None:
    """And yet its sender gets rid of it, so that the sender may read why."""
    big = b'["' + b"x" * 2_100_000 + b'"]'
    async with link(Limits(receive_bytes=2_000_000)) as (client, server, tasks):
        sent = anyio.Event()

        async def send() -> None:
            await client.send_batch([b"[1]", big])
            sent.set()

        tasks.start_soon(send)
        assert await server.receive() == b"[1]"
        if client.info.transport == "memory":  # in one process there is nothing to protect
            assert await server.receive() == big
            return
        with pytest.raises(FramingError):
            await server.receive()

        async def read_on() -> None:
            with contextlib.suppress(*NO_MORE):
                await server.receive()

        async with anyio.create_task_group() as reading:
            reading.start_soon(read_on)
            await sent.wait()
            reading.cancel_scope.cancel()
