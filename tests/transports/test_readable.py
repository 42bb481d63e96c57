"""Reading ahead by one, and nothing lost on the way."""

import socket
import struct
from collections.abc import AsyncIterator

import anyio
import pytest

from jsonrpc_iot.transports.readable import Readable
from tests.waiting import SECONDS

pytestmark = pytest.mark.anyio


@pytest.fixture
async def ends() -> AsyncIterator[tuple[socket.socket, Readable[bytes]]]:
    far, near = socket.socketpair()
    with far, near:
        near.setblocking(False)
        readable = Readable(near.fileno(), lambda: near.recv(4))
        yield far, readable
        readable.close()


async def test_what_comes_is_read_in_order(ends: tuple[socket.socket, Readable[bytes]]) -> None:
    far, readable = ends
    far.sendall(b"one.two.")
    with anyio.fail_after(SECONDS):
        assert await readable.next() == b"one."
        for _ in range(3):  # nobody waits meanwhile
            await anyio.wait_all_tasks_blocked()
        far.sendall(b"six.")
        assert [await readable.next(), await readable.next()] == [b"two.", b"six."]
        far.shutdown(socket.SHUT_WR)
        assert [await readable.next(), await readable.next()] == [b"", b""]


async def test_what_came_for_a_cancelled_wait_is_not_lost(
    ends: tuple[socket.socket, Readable[bytes]],
) -> None:
    far, readable = ends
    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(readable.next)
            await anyio.wait_all_tasks_blocked()
            far.sendall(b"one.")
            tasks.cancel_scope.cancel()
        assert await readable.next() == b"one."


async def test_a_reader_that_is_never_short_of_data_lets_others_run(
    ends: tuple[socket.socket, Readable[bytes]],
) -> None:
    far, readable = ends
    far.sendall(bytes(4 * 1000))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.lowlevel.checkpoint()

    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(count)
            for _ in range(1000):
                await readable.next()
            tasks.cancel_scope.cancel()
    assert turns >= 500


async def test_an_error_is_for_whoever_waits() -> None:
    far, near = socket.socketpair()

    def fail() -> bytes:
        raise OSError("the line is cut")

    with far, near:
        readable = Readable(near.fileno(), fail)
        far.sendall(b"x")
        with anyio.fail_after(SECONDS), pytest.raises(OSError, match="the line is cut"):
            await readable.next()
        readable.close()


async def test_to_close_wakes_whoever_waits(ends: tuple[socket.socket, Readable[bytes]]) -> None:
    _, readable = ends
    woken = []

    async def wait() -> None:
        try:
            await readable.next()
        except anyio.ClosedResourceError as error:
            woken.append(error)

    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            readable.close()
    assert len(woken) == 1
    with pytest.raises(anyio.ClosedResourceError):
        await readable.next()


async def test_data_before_a_reset_does_not_hide_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as near:
        near.connect(server.getsockname())
        near.setblocking(False)
        far, _ = server.accept()
        readable = Readable(near.fileno(), lambda: near.recv(4))
        far.sendall(b"last")
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        far.close()
        with anyio.fail_after(SECONDS):
            found = await gather(readable)
        assert found[-1] is ConnectionResetError
        assert found[:-1] in ([], [b"last"])  # which systems may drop
        readable.close()


async def gather(readable: Readable[bytes]) -> list[object]:
    """All that can be read, and the error that ends it."""
    found: list[object] = []
    try:
        while True:
            found.append(await readable.next())
    except OSError as error:
        return [*found, type(error)]


async def test_what_comes_after_a_refused_datagram_is_read() -> None:
    with (
        socket.socket(type=socket.SOCK_DGRAM) as far,
        socket.socket(type=socket.SOCK_DGRAM) as near,
    ):
        near.setblocking(False)
        far.bind(("127.0.0.1", 0))
        place = far.getsockname()
        far.close()
        near.connect(place)

        def read() -> bytes:
            try:
                return near.recv(100)
            except ConnectionRefusedError:
                raise BlockingIOError from None

        readable = Readable(near.fileno(), read)
        with anyio.fail_after(SECONDS):
            async with anyio.create_task_group() as tasks:
                near.send(b"anybody there?")

                async def answer() -> None:
                    await anyio.wait_all_tasks_blocked()
                    with socket.socket(type=socket.SOCK_DGRAM) as later:
                        later.bind(place)
                        later.sendto(b"yes", near.getsockname())

                tasks.start_soon(answer)
                assert await readable.next() == b"yes"
        readable.close()
