"""How connections end: cut, half closed, shut down with grace, left by an exception."""

import math

import anyio
import pytest

from jsonrpc_iot import ChannelClosed, Client, Dispatcher, Limits, connect, serve
from tests.rig import ANYWHERE, GONE, Device, Raw, far_end
from tests.waiting import SECONDS, Tally, eventually

pytestmark = pytest.mark.anyio

EVERYWHERE = pytest.mark.parametrize("url", [ANYWHERE, "memory://ends"])


async def fail_closed(call: object, seen: Tally) -> None:
    with pytest.raises(ChannelClosed):
        await call()  # type: ignore[operator]
    seen.add()


async def closed_calls(client: Client, tasks: anyio.abc.TaskGroup, count: int) -> Tally:
    """Begin calls that can only end with the channel."""
    seen = Tally()
    for _ in range(count):
        tasks.start_soon(fail_closed, lambda: client.call("hold", timeout=None), seen)
    return seen


@EVERYWHERE
async def test_open_calls_fail_when_the_server_ends(url: str) -> None:
    device = Device()
    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks, anyio.create_task_group() as inner:
            leave = anyio.Event()

            async def run_server() -> None:
                async with serve(device.dispatcher, url, grace=0) as server:
                    urls.add(server.urls[0])
                    await leave.wait()

            urls = Tally()
            tasks.start_soon(run_server)
            await urls.reach(1)
            async with connect(urls.items[0]) as client:
                seen = await closed_calls(client, inner, 3)
                await device.began.reach(3)
                leave.set()
                await seen.reach(3)
                with pytest.raises(ChannelClosed):
                    await client.call("echo", [1])
                with pytest.raises(ChannelClosed):
                    await client.notify("echo", [1])


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_open_calls_fail_when_the_server_vanishes(how: str) -> None:
    with anyio.fail_after(SECONDS):
        async with (
            far_end() as (url, accept),
            anyio.create_task_group() as tasks,
            connect(url) as client,
        ):
            raw = await accept()
            seen = await closed_calls(client, tasks, 3)
            for _ in range(4):
                await raw.receive()
            await (raw.reset() if how == "reset" else raw.stream.aclose())
            await seen.reach(3)


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_the_servers_open_calls_fail_when_the_client_vanishes(how: str) -> None:
    device = Device()
    seen = Tally()
    with anyio.fail_after(SECONDS):
        async with (
            serve(device.dispatcher, ANYWHERE) as server,
            anyio.create_task_group() as tasks,
        ):
            raw = await Raw.open(server.urls[0])
            await eventually(lambda: len(server.peers) == 1)
            peer = server.peers[0]
            for _ in range(3):
                tasks.start_soon(fail_closed, lambda: peer.call("x", timeout=None), seen)
            for _ in range(4):
                await raw.receive()
            await (raw.reset() if how == "reset" else raw.stream.aclose())
            await seen.reach(3)
            await eventually(lambda: not server.peers)


@EVERYWHERE
async def test_a_client_that_leaves_does_not_leave_its_peer_behind(url: str) -> None:
    async with serve(Device().dispatcher, url) as server:
        for _ in range(5):
            async with connect(server.urls[0]) as client:
                await client.call("echo", [1])
        await eventually(lambda: not server.peers)


async def test_calls_of_a_client_that_reset_the_connection_are_cancelled() -> None:
    device = Device()
    async with serve(device.dispatcher, ANYWHERE) as server:
        raw = await Raw.open(server.urls[0])
        await raw.request(1, "hold", 1)
        await device.began.reach(1)
        await raw.reset()
        await device.cancelled.reach(1)
        await eventually(lambda: not server.peers)


# Half closed


async def test_replies_come_after_the_client_has_stopped_sending() -> None:
    device = Device()
    async with serve(device.dispatcher, ANYWHERE) as server, Raw.to(server.urls[0]) as raw:
        await raw.request(1, "hold", "a")
        await raw.request(2, "hold.serial", "b")
        await raw.request(3, "hold.serial", "c")
        await raw.stream.send_eof()
        await device.began.reach(2)
        await eventually(lambda: server.broadcast("n") == 0)  # nothing is pushed any more
        device.gate.set()
        replies = [message for message in await raw.receive_all() if "id" in message]
        assert {reply["id"]: reply["result"] for reply in replies} == {1: "a", 2: "b", 3: "c"}


async def test_a_last_message_needs_no_newline() -> None:
    async with serve(Device().dispatcher, ANYWHERE) as server, Raw.to(server.urls[0]) as raw:
        await raw.stream.send(b'{"id":1,"method":"echo","params":["x"]}')
        await raw.stream.send_eof()
        assert await raw.receive_all() == [{"id": 1, "result": "x"}]


async def test_calls_do_not_go_on_for_ever_after_the_client_has_stopped_sending() -> None:
    device = Device(Limits(linger_seconds=0.05))
    async with serve(device.dispatcher, ANYWHERE) as server, Raw.to(server.urls[0]) as raw:
        await raw.request(1, "hold")
        await raw.stream.send_eof()
        await device.cancelled.reach(1)
        await raw.receive_all()
        await eventually(lambda: not server.peers)


# The end of a server


@EVERYWHERE
async def test_running_calls_finish_within_the_grace(url: str) -> None:
    device = Device()
    answer = Tally()
    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks:
            async with connected_server(device, url, tasks, answer, grace=SECONDS):
                pass
            device.gate.set()
            await answer.reach(1)
    assert answer.items == ["finished"]
    assert device.ended.items == ["finished"]


def connected_server(
    device: Device, url: str, tasks: anyio.abc.TaskGroup, answer: Tally, grace: float
) -> "Leaving":
    return Leaving(device, url, tasks, answer, grace)


class Leaving:
    """A client whose call runs on a server that begins to leave when the block ends."""

    def __init__(
        self, device: Device, url: str, tasks: anyio.abc.TaskGroup, answer: Tally, grace: float
    ) -> None:
        self._device = device
        self._url = url
        self._tasks = tasks
        self._answer = answer
        self._grace = grace
        self._leave = anyio.Event()
        self._urls = Tally()
        self.gone = anyio.Event()

    async def __aenter__(self) -> "Leaving":
        self._tasks.start_soon(self._serve)
        await self._urls.reach(1)
        self._tasks.start_soon(self._call)
        await self._device.began.reach(1)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._leave.set()

    async def _serve(self) -> None:
        async with serve(self._device.dispatcher, self._url, grace=self._grace) as server:
            self._urls.add(server.urls[0])
            await self._leave.wait()
        self.gone.set()

    async def _call(self) -> None:
        async with connect(self._urls.items[0], timeout=None) as client:
            try:
                self._answer.add(await client.call("hold", ["finished"]))
            except ChannelClosed:
                self._answer.add(ChannelClosed)


@EVERYWHERE
async def test_running_calls_are_cancelled_after_the_grace(url: str) -> None:
    device = Device()
    answer = Tally()
    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks:
            async with connected_server(device, url, tasks, answer, grace=0.2) as leaving:
                began = anyio.current_time()
            await leaving.gone.wait()
            assert 0.15 < anyio.current_time() - began < 1.2
            await answer.reach(1)
    assert device.cancelled.items == ["finished"]
    assert answer.items == [ChannelClosed]


async def test_silent_peers_do_not_hold_up_a_server_that_leaves() -> None:
    began = math.inf
    async with serve(Device().dispatcher, ANYWHERE, grace=SECONDS) as server:
        raws = [await Raw.open(server.urls[0]) for _ in range(20)]
        await eventually(lambda: len(server.peers) == 20)
        began = anyio.current_time()
        for raw in raws:
            await raw.stream.send_eof()
    assert anyio.current_time() - began < SECONDS / 2
    for raw in raws:
        with pytest.raises(GONE):
            await raw.stream.receive()
        await raw.stream.aclose()


async def test_a_server_that_leaves_takes_no_more_calls_and_no_more_clients() -> None:
    device = Device()
    answer = Tally()
    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks:
            async with connected_server(device, ANYWHERE, tasks, answer, grace=SECONDS) as leaving:
                url = leaving._urls.items[0]
                raw = await Raw.open(url)
                await raw.request(1, "echo", 1)
                assert await raw.replies(1) == {1: 1}
            with pytest.raises((anyio.IncompleteRead, *GONE)):
                await raw.receive()
            await raw.stream.aclose()
            with pytest.raises(OSError, match="failed"):
                await Raw.open(url)
            device.gate.set()


# Exceptions


class Mine(Exception):
    """What the user's block raises."""


@EVERYWHERE
async def test_exceptions_of_the_block_come_out_as_they_are(url: str) -> None:
    device = Device()
    with pytest.raises(Mine, match="server"):  # noqa: PT012
        async with serve(device.dispatcher, url) as server:
            with pytest.raises(Mine, match="client"):
                async with connect(server.urls[0]):
                    raise Mine("client")
            raise Mine("server")


@EVERYWHERE
async def test_errors_of_calls_leave_the_block_as_they_are(url: str) -> None:
    async with serve(Dispatcher(), url) as server:
        with pytest.raises(ExceptionGroup) as caught:
            raise ExceptionGroup("mine", [Mine()])
        with pytest.raises(ExceptionGroup) as again:
            async with connect(server.urls[0]):
                raise caught.value
        assert again.value is caught.value


@EVERYWHERE
async def test_a_cancelled_block_is_left_at_once(url: str) -> None:
    device = Device()
    with anyio.fail_after(SECONDS), anyio.CancelScope() as scope:
        async with (
            serve(device.dispatcher, url, grace=SECONDS) as server,
            connect(server.urls[0]) as client,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(client.call, "hold", [1])
            await device.began.reach(1)
            scope.cancel()
    assert scope.cancelled_caught
    assert device.cancelled.items == [1]
