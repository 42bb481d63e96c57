"""TCP peers that say nothing have no task, and end like all others."""

import socket
from contextlib import AsyncExitStack
from contextvars import ContextVar

import anyio
import pytest
from anyio.abc import ByteStream

from jsonrpc_iot import Channel, Dispatcher, Limits, Server, connect, serve
from tests.rig import ANYWHERE, GONE, Device
from tests.waiting import SECONDS, Tally, eventually

pytestmark = pytest.mark.anyio

PING = b'{"method":"rpc.ping","id":1}\n'
PONG = b'{"id":1,"result":true}\n'


async def come(server: Server, host: str = "127.0.0.1") -> ByteStream:
    port = int(server.urls[0].rpartition(":")[2])
    return await anyio.connect_tcp("127.0.0.1", port, local_host=host)


async def ask(stream: ByteStream, request: bytes = PING, answer: bytes = PONG) -> None:
    await stream.send(request)
    received = b""
    while len(received) < len(answer):
        received += await stream.receive()
    assert received == answer


def tasks() -> int:
    return len(anyio.get_running_tasks())


async def test_peers_that_say_nothing_have_no_tasks() -> None:
    async with serve(Device().dispatcher, ANYWHERE) as server, AsyncExitStack() as stack:
        with anyio.fail_after(SECONDS):
            async with await come(server) as link:
                await ask(link)
                before = tasks()
            links = [await stack.enter_async_context(await come(server)) for _ in range(10)]
            await eventually(lambda: len(server.peers) == 10 and tasks() == before)
            for link in links:
                await ask(link)
            await ask(links[0], PING * 100, PONG * 100)  # for which somebody waits
            await eventually(lambda: tasks() == before)
            await ask(links[0], PING * 3, PONG * 3)
            assert tasks() == before


async def test_the_place_of_one_that_has_gone_is_free() -> None:
    async with serve(Device().dispatcher, ANYWHERE, limits=Limits(peers=1)) as server:
        with anyio.fail_after(SECONDS):
            for _ in range(3):
                async with await come(server) as link:
                    await ask(link)
                    await ask(link, PING * 100, PONG * 100)
                await eventually(lambda: not server.peers)


@pytest.mark.parametrize("calls", [1, 100])
async def test_one_that_rests_gives_way_to_another_network(calls: int) -> None:
    gone = Tally()
    async with serve(Device().dispatcher, ANYWHERE, limits=Limits(peers=2)) as server:
        server.peer_left.subscribe(gone.add)
        with anyio.fail_after(SECONDS):
            async with await come(server) as first, await come(server) as second:
                await ask(first)
                await ask(second, PING * calls, PONG * calls)
                async with await come(server, "127.0.0.2") as other:
                    await ask(other)
                    await gone.reach(1)
                    with pytest.raises(GONE):
                        await second.receive()
                    await ask(first)
                    assert len(server.peers) == 2


@pytest.mark.parametrize("begun", [b"", PING[:9]])
async def test_the_calls_of_one_that_gives_way_end_at_once(begun: bytes) -> None:
    device = Device()
    async with serve(device.dispatcher, ANYWHERE, limits=Limits(peers=2)) as server:
        with anyio.fail_after(SECONDS):
            async with await come(server) as first, await come(server) as second:
                await ask(first)
                await second.send(b'{"method":"hold","id":1}\n')
                await device.began.reach(1)
                await second.send(begun or b" ")
                await anyio.wait_all_tasks_blocked()
                async with await come(server, "127.0.0.2") as other:
                    await ask(other)
                    await device.cancelled.reach(1)


async def test_one_that_rests_can_be_called_and_told() -> None:
    app = Device()
    async with serve(Device().dispatcher, ANYWHERE) as server:
        with anyio.fail_after(SECONDS):
            async with connect(server.urls[0], dispatcher=app.dispatcher) as client:
                await client.call("rpc.ping")
                (peer,) = server.peers
                assert await peer.call("echo", [1]) == 1
                async with client.notifications() as news:
                    assert server.broadcast("news") == 1
                    assert (await news.receive()).method == "news"


variable: ContextVar[str] = ContextVar("variable", default="nothing")


async def test_handlers_see_the_context_variables_of_the_connection() -> None:
    device = Dispatcher()

    @device.method
    def plain() -> str:
        return variable.get()

    @device.method
    async def later() -> str:
        return variable.get()

    def authenticate(channel: Channel) -> None:
        variable.set("of the connection")

    async with (
        serve(device, ANYWHERE, authenticate=authenticate) as server,
        connect(server.urls[0]) as client,
    ):
        for method in ("plain", "later", "plain", "later"):
            assert await client.call(method) == "of the connection"


async def test_one_that_rests_hears_the_end_of_the_server() -> None:
    with anyio.fail_after(SECONDS):
        async with AsyncExitStack() as stack:
            async with serve(Device().dispatcher, ANYWHERE, grace=SECONDS) as server:
                link = await stack.enter_async_context(await come(server))
                await eventually(lambda: server.peers)
            with pytest.raises(anyio.EndOfStream):
                await link.receive()


async def test_a_message_that_is_not_finished_ends_one_that_rests() -> None:
    limits = Limits(message_seconds=0.05)
    async with serve(Device().dispatcher, ANYWHERE, limits=limits) as server:
        with anyio.fail_after(SECONDS):
            async with await come(server) as link:
                await ask(link)
                await link.send(PING[:9])
                assert b"-32700" in await link.receive()
                await eventually(lambda: not server.peers)


async def test_what_is_cancelled_by_what_comes_along_does_not_run() -> None:
    device = Device()
    request = b'{"method":"echo","params":[1],"id":1}\n'
    cancel = b'{"method":"rpc.cancel","params":{"id":1}}\n'
    async with serve(device.dispatcher, ANYWHERE) as server:
        with anyio.fail_after(SECONDS):
            async with await come(server) as link:
                await link.send(request + cancel)
                assert b"-32003" in await link.receive()


async def test_one_whose_socket_is_gone_leaves() -> None:
    async with serve(Device().dispatcher, ANYWHERE) as server:
        with anyio.fail_after(SECONDS):
            port = int(server.urls[0].rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port)) as link:
                await eventually(lambda: server.peers)
                linger = b"\x01\0\0\0\0\0\0\0"  # so that closing resets it
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            await eventually(lambda: not server.peers)
