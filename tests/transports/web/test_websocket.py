"""WebSockets: what only they do, and who may open one."""

import logging
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest
from anyio.abc import TaskGroup, TaskStatus
from anyio.from_thread import start_blocking_portal
from anyio.streams.tls import TLSAttribute

from jsonrpc_iot import (
    Channel,
    ChannelAttribute,
    ChannelClosed,
    Client,
    ConnectFailed,
    Dispatcher,
    Forbidden,
    InvalidUrl,
    Limits,
    Server,
    Unauthorized,
    connect,
    serve,
)
from jsonrpc_iot.transports import open_channel, open_listener
from jsonrpc_iot.transports.web.websocket_server import WebSocketChannel
from tests.rig import Device, Restarts, outcome, unharmed
from tests.transports.certificates import Certificates
from tests.waiting import SECONDS, Tally, eventually

from .websocket_frames import HERE, device, needs_asyncio, status

pytestmark = pytest.mark.anyio


@contextmanager
def serving_elsewhere(dispatcher: Dispatcher, url: str = HERE, **options: Any) -> Iterator[str]:
    """Serve from a thread of its own, for clients that are on trio."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(serve(dispatcher, url, grace=0.1, **options)) as server,
    ):
        yield server.urls[0]


async def test_a_call_from_every_event_loop() -> None:
    with serving_elsewhere(device()) as url:
        async with connect(url) as client:
            assert await client.call("echo", ["hello"]) == "hello"


@pytest.mark.parametrize("path", ["/other", "/rpc/other", "/"])
async def test_a_wrong_path_is_refused_with_its_status(path: str) -> None:
    with serving_elsewhere(device()) as url, pytest.raises(ConnectFailed, match=r"404.*the path"):
        await open_channel(url.removesuffix("/rpc") + path)


async def test_tls_and_message_pack(certificates: Certificates) -> None:
    there = f"wss://127.0.0.1:0/rpc?cert={certificates.server}&codec=msgpack"
    with serving_elsewhere(device(), there) as url:
        async with connect(f"{url}?ca={certificates.ca}&codec=msgpack") as client:
            assert await client.call("echo", [{"a": 1}]) == {"a": 1}


async def test_a_token_is_never_in_the_url() -> None:
    with pytest.raises(InvalidUrl, match="env:NAME or file:PATH") as failure:
        await open_channel("ws://127.0.0.1:9/rpc?token=hunter2")
    assert "hunter2" not in str(failure.value)


async def test_a_token_that_is_right_wrong_or_missing(tmp_path: Path) -> None:
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text("open sesame\n")
    wrong.write_text("sesame\n")
    with serving_elsewhere(device(), f"{HERE}?token=file:{right}") as url:
        async with connect(f"{url}?token=file:{right}") as client:
            assert await client.call("echo", [1]) == 1
        for bad in (f"{url}?token=file:{wrong}", url):
            with pytest.raises(ConnectFailed, match=r"401.*token") as failure:
                await open_channel(bad)
            assert "sesame" not in str(failure.value)


@pytest.mark.parametrize(
    ("option", "origin", "expected"),
    [
        ("", None, 101),
        ("", "same", 101),
        ("", "http://evil.example", 403),
        ("", "null", 403),
        ("", "http://[", 403),
        ("?cors=https://app.example", "https://app.example", 101),
        ("?cors=https://app.example", "http://app.example", 403),
        ("?cors=https://app.example", "same", 101),
        ("?cors=*", "http://evil.example", 101),
    ],
)
@needs_asyncio
async def test_whose_pages_may_connect(
    option: str, origin: str | None, expected: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve(device(), HERE + option, grace=0.1) as server:
        url = server.urls[0]
        own = f"http://{urlsplit(url).netloc}"
        headers = {} if origin is None else {"Origin": own if origin == "same" else origin}
        assert await status(url, **headers) == expected
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []


@needs_asyncio
async def test_authenticate_sees_the_token_and_requires_holds(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("boss")
    refused = Tally()

    def authenticate(channel: Channel) -> set[str] | None:
        if channel.extra(ChannelAttribute.bearer_token, None) == "boss":
            return {"admin"}
        refused.add(channel.info.peer)
        return set() if len(refused.items) == 1 else None

    async with serve(device(), HERE, authenticate=authenticate) as server:
        async with connect(f"{server.urls[0]}?token=file:{secret}") as boss:
            assert await boss.call("reset") == "done"
        for error in (Forbidden, Unauthorized):
            async with connect(server.urls[0]) as guest:
                with pytest.raises(error):
                    await guest.call("reset")
                assert refused.items[-1] == guest_address(server)


def guest_address(server: Server) -> str:
    """The address of the only peer."""
    (peer,) = server.peers
    return peer.info.peer


@needs_asyncio
async def test_an_authenticate_that_fails_ends_the_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def authenticate(channel: Channel) -> None:
        raise ValueError("no")

    async with serve(device(), HERE, authenticate=authenticate) as server:
        with anyio.fail_after(SECONDS), caplog.at_level(logging.CRITICAL):
            async with connect(server.urls[0]) as client:
                with pytest.raises(ChannelClosed):
                    await client.call("echo", [1])


@needs_asyncio
async def test_client_certificates(certificates: Certificates) -> None:
    subjects = Tally()

    def authenticate(channel: Channel) -> set[str]:
        subjects.add(str(channel.extra(TLSAttribute.peer_certificate)))
        return {"admin"}

    there = f"wss://127.0.0.1:0/rpc?cert={certificates.server}&ca={certificates.ca}"
    async with serve(device(), there, authenticate=authenticate) as server:
        url = f"{server.urls[0]}?ca={certificates.ca}"
        async with connect(f"{url}&cert={certificates.client}") as client:
            assert await client.call("reset") == "done"
        assert "lamp@example.org" in subjects.items[0]
        for stranger in (url, f"{url}&cert={certificates.strange_client}"):
            with pytest.raises(ConnectFailed):
                await open_channel(stranger)
        assert len(subjects.items) == 1


@needs_asyncio
async def test_both_ends_call_notify_and_stream() -> None:
    local, heard = Dispatcher(), Tally()
    local.method("double")(lambda number: 2 * number)
    far = Device()

    @far.dispatcher.method
    async def count(upto: int) -> AsyncIterator[int]:
        for number in range(upto):
            yield number

    local.notification("level")(lambda level: heard.add({"level": level}))
    async with (
        serve(far.dispatcher, HERE) as server,
        connect(server.urls[0], dispatcher=local) as client,
    ):
        assert await client.call("ask", ["double", [21]]) == 42
        assert [item async for item in client.stream("count", [100])] == list(range(100))
        assert server.broadcast("level", {"level": 7}) == 1
        await heard.reach(1)
        assert heard.items == [{"level": 7}]
        (peer,) = server.peers
        assert await peer.call("double", [4]) == 8


@needs_asyncio
@pytest.mark.parametrize("code", [1001, 4000])
async def test_a_close_with_a_reason_reaches_the_caller(code: int) -> None:
    async def refuse(channel: Channel) -> None:
        assert isinstance(channel, WebSocketChannel)
        await channel.receive()
        await channel._close(code, "the lamp is tired")

    text = rf"\(WebSocket closed, {code}: the lamp is tired\); outcome unknown"
    with anyio.fail_after(SECONDS):
        async with await open_listener(HERE) as listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, refuse, tasks)
            async with connect(listener.addresses[0]) as client:
                with pytest.raises(ChannelClosed, match=text):
                    await client.call("echo", [1])
            tasks.cancel_scope.cancel()


@needs_asyncio
async def test_a_server_that_goes_fails_open_calls_at_once() -> None:
    far = Device()
    outcomes = Tally()
    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks:
            async with serve(far.dispatcher, HERE, grace=0) as server:
                url = server.urls[0]
                client = await enter(tasks, url)
                tasks.start_soon(outcome, lambda: client.call("hold", timeout=None), outcomes)
                await far.began.reach(1)
            await outcomes.reach(1)
            assert outcomes.items == [ChannelClosed]
            tasks.cancel_scope.cancel()


async def enter(tasks: TaskGroup, url: str) -> Client:
    """A client that lives as long as the tasks."""

    async def live(*, task_status: TaskStatus[Client]) -> None:
        async with connect(url) as client:
            task_status.started(client)
            await anyio.sleep_forever()

    client: Client = await tasks.start(live)
    return client


@needs_asyncio
async def test_no_more_peers_than_the_limit() -> None:
    async with serve(device(), HERE, limits=Limits(peers=3)) as server:
        url = server.urls[0]
        async with connect(url) as one, connect(url) as two:
            async with connect(url) as three:
                for client in (one, two, three):
                    assert await client.call("echo", [1]) == 1
                with pytest.raises(ConnectFailed, match="HTTP 503"):
                    await open_channel(url)
            await eventually(lambda: len(server.peers) == 2)
            async with connect(url) as four:
                assert await four.call("echo", [4]) == 4


@needs_asyncio
async def test_many_connects() -> None:
    async with unharmed(url=HERE) as (server, _):
        answered = Tally()

        async def come(count: int) -> None:
            for number in range(count):
                async with connect(server.urls[0]) as client:
                    answered.add(await client.call("echo", [number]))

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(come, 10)
            while len(answered.items) < 200:
                await answered.reach(len(answered.items) + 1)
        assert sorted(answered.items) == sorted([*range(10)] * 20)


@needs_asyncio
async def test_nobody_there() -> None:
    async with serve(device(), HERE) as server:
        url = server.urls[0]
    with pytest.raises(ConnectFailed, match=re.escape(url)):
        await open_channel(url)


@needs_asyncio
async def test_a_client_comes_back_to_a_restarted_server() -> None:
    far = Device()
    outcomes = Tally()
    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks:
            restarts = Restarts(far, tasks, HERE)
            await restarts.start()
            async with connect(restarts.url, reconnect=True) as client:
                tasks.start_soon(outcome, lambda: client.call("hold"), outcomes)
                await far.began.reach(1)
                await restarts.stop()
                await outcomes.reach(1)
                assert outcomes.items == [ChannelClosed]
                await restarts.start()
                assert await client.call("echo", ["back"]) == "back"
                assert client.info.transport == "ws"
            await restarts.stop()
