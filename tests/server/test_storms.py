"""Many connections: silent ones, short ones, too many, and no descriptors left."""

import contextlib
import re
import resource
import socket
import struct
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import pytest

from jsonrpc_iot import ChannelClosed, Limits, connect
from tests.rig import Raw, unharmed
from tests.waiting import SECONDS, eventually

pytestmark = pytest.mark.anyio

SILENT = 3000


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Both ends of each connection are in this process."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * SILENT + 500
    if before[0] != resource.RLIM_INFINITY and before[0] < needed:
        if before[1] != resource.RLIM_INFINITY and before[1] < needed:
            pytest.skip(f"needs {needed} descriptors; the hard limit here is {before[1]}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("many_descriptors")
async def test_thousands_of_silent_connections() -> None:
    async with unharmed() as (server, _):
        sockets: list[socket.socket] = []
        address = ("127.0.0.1", int(urlsplit(server.urls[0]).port or 0))

        def open_all() -> None:
            sockets.extend(socket.create_connection(address) for _ in range(SILENT))

        await anyio.to_thread.run_sync(open_all)
        await eventually(lambda: len(server.peers) == SILENT)
        async with Raw.to(server.urls[0]) as raw:
            await raw.request(1, "echo", "among many")
            assert await raw.replies(1) == {1: "among many"}
        assert server.broadcast("hello") >= SILENT
        for one in sockets:
            one.close()


async def test_who_comes_when_all_places_are_taken_is_turned_away() -> None:
    async with unharmed(Limits(peers=3)) as (server, _), contextlib.AsyncExitStack() as stack:
        good = [await stack.enter_async_context(Raw.to(server.urls[0])) for _ in range(3)]
        await eventually(lambda: len(server.peers) == 3)
        for _ in range(5):
            async with Raw.to(server.urls[0]) as late:
                assert await late.receive_all() == []
        for id, raw in enumerate(good):
            await raw.request(id, "echo", "kept")
            assert await raw.replies(1) == {id: "kept"}
        await good.pop().stream.aclose()
        await eventually(lambda: len(server.peers) == 2)
        async with Raw.to(server.urls[0]) as raw:
            await raw.request(1, "echo", "there is room again")
            assert await raw.replies(1) == {1: "there is room again"}


async def test_a_client_that_is_turned_away_gets_an_error_at_once() -> None:
    async with unharmed(Limits(peers=1)) as (server, _), Raw.to(server.urls[0]):
        await eventually(lambda: len(server.peers) == 1)
        with anyio.fail_after(SECONDS), pytest.raises(ChannelClosed):
            async with connect(server.urls[0], timeout=None) as client:
                await client.call("echo", [1])


async def test_a_storm_of_connections() -> None:
    async with unharmed() as (server, _), anyio.create_task_group() as tasks:

        async def come_and_go(number: int) -> None:
            for turn in range(10):
                raw = await Raw.open(server.urls[0])
                if (number + turn) % 3 == 0:
                    await raw.request(1, "echo", 1)
                if (number + turn) % 3 == 1:
                    await raw.stream.send(b'{"id":1,')
                await raw.stream.aclose()

        for number in range(30):
            tasks.start_soon(come_and_go, number)


async def test_a_storm_of_clients() -> None:
    async with unharmed() as (server, _), anyio.create_task_group() as tasks:

        async def come_and_go(number: int) -> None:
            for _ in range(3):
                async with connect(server.urls[0]) as client:
                    assert await client.call("echo", [number]) == number

        for number in range(30):
            tasks.start_soon(come_and_go, number)


SERVER = """
    import resource, sys
    import anyio
    from jsonrpc_iot import Dispatcher, serve

    resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
    dispatcher = Dispatcher()

    @dispatcher.method
    def echo(value: str) -> str:
        return value

    async def main():
        async with serve(dispatcher, "tcp://127.0.0.1:0") as server:
            print(server.urls[0], flush=True)
            await anyio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)

    anyio.run(main, backend=sys.argv[1], backend_options=eval(sys.argv[2]))
"""


async def test_no_descriptors_left(anyio_backend: tuple[str, dict[str, Any]]) -> None:
    name, options = anyio_backend
    command = [sys.executable, "-X", "dev", "-c", textwrap.dedent(SERVER), name, repr(options)]
    process = subprocess.Popen(  # noqa: ASYNC220  # returns at once
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process:
        url = (await anyio.to_thread.run_sync(process.stdout.readline)).strip()
        async with contextlib.AsyncExitStack() as stack:
            raws = [await stack.enter_async_context(Raw.to(url)) for _ in range(60)]
            await raws[0].request(1, "echo", "the first is served")
            assert await raws[0].replies(1) == {1: "the first is served"}
        with anyio.fail_after(SECONDS):
            async with connect(url) as client:
                assert await client.call("echo", ["recovered"]) == "recovered"
        _, errors = await anyio.to_thread.run_sync(process.communicate)
    assert process.returncode == 0
    assert not re.search("Exception|never|unclosed|Traceback", errors), errors


async def test_connections_that_are_reset_before_they_are_accepted() -> None:
    async with unharmed() as (server, _):
        address = ("127.0.0.1", int(urlsplit(server.urls[0]).port or 0))
        for _ in range(30):  # without a pause in which the server could accept
            with socket.create_connection(address) as one:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
