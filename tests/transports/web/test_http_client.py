"""`connect` over HTTP: our own servers, and others' that answer with odd statuses."""

import logging
import time
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import anyio.abc
import pytest
from anyio.streams.tls import TLSAttribute

from jsonrpc_iot import (
    CallTimeout,
    Channel,
    ChannelClosed,
    ConnectFailed,
    Dispatcher,
    InvalidUrl,
    ServerError,
    connect,
    serve,
)
from jsonrpc_iot.protocol.backoff import Backoff
from jsonrpc_iot.transports import open_channel
from jsonrpc_iot.transports.web import http_events
from jsonrpc_iot.transports.web.http_client import HttpChannel
from tests.asgi.conftest import Device
from tests.transports.certificates import Certificates

from .odd_servers import EVENTS, answering

pytestmark = [pytest.mark.anyio, pytest.mark.only_on("asyncio")]

URL = "http://127.0.0.1:0/rpc"


@pytest.fixture
def device() -> Device:
    return Device()


async def test_calls_notifications_and_streams(device: Device) -> None:
    async with serve(device.dispatcher, URL) as server, connect(server.urls[0]) as client:
        assert await client.call("add", {"a": 1, "b": 2}) == 3
        async with client.notifications() as news:
            assert server.broadcast("changed", {"level": 1}) == 1
            assert (await news.receive()).params == {"level": 1}
        assert [item async for item in client.stream("count", [300])] == list(range(300))
        async with client.batch() as batch:
            sums = [batch.call("add", [number, 1]) for number in range(5)]
        assert [one.result() for one in sums] == [1, 2, 3, 4, 5]


async def test_notifications_arrive_in_order_and_before_the_client_leaves(device: Device) -> None:
    async with serve(device.dispatcher, URL) as server:
        async with connect(server.urls[0]) as client:
            for number in range(20):
                await client.notify("note", [number])
        assert device.heard == list(range(20))


async def test_a_slow_call_holds_up_no_other_and_ends_on_time(device: Device) -> None:
    async with serve(device.dispatcher, URL) as server, connect(server.urls[0]) as client:
        async with anyio.create_task_group() as tasks:

            async def wait() -> None:
                with pytest.raises(CallTimeout):
                    await client.call("wait", timeout=0.5)

            tasks.start_soon(wait)
            await device.started.wait()
            assert await client.call("add", [1, 2]) == 3
        with anyio.fail_after(5):
            await device.ended.wait()


async def test_to_leave_a_stream_is_to_cancel_it(device: Device) -> None:
    async with serve(device.dispatcher, URL) as server, connect(server.urls[0]) as client:
        async with client.stream("count", [10_000_000]) as items:
            assert [await anext(items) for _ in range(20)] == list(range(20))
        with anyio.fail_after(5):
            await device.ended.wait()


async def test_a_server_that_goes_ends_the_channel(device: Device) -> None:
    urls: list[str] = []
    up, down, gone = anyio.Event(), anyio.Event(), anyio.Event()

    async def run_server() -> None:
        async with serve(device.dispatcher, URL) as server:
            urls.extend(server.urls)
            up.set()
            await down.wait()
        gone.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_server)
        await up.wait()
        async with connect(urls[0]) as client:
            assert await client.call("add", [1, 2]) == 3
            down.set()
            await gone.wait()
            with pytest.raises(ChannelClosed):
                await client.call("add", [1, 2])
        with pytest.raises(ConnectFailed, match="http://127"):
            async with connect(urls[0]):
                pass


async def test_events_resume_where_they_broke(device: Device) -> None:
    async with (
        serve(device.dispatcher, URL) as server,
        connect(server.urls[0]) as client,
        client.notifications() as news,
    ):
        server.broadcast("changed", [0])
        assert (await news.receive()).params == [0]
        assert client._peer is not None
        channel = client._peer._channel
        assert isinstance(channel, HttpChannel)
        assert channel._events._response is not None
        await channel._events._response.aclose()
        for number in (1, 2):
            server.broadcast("changed", [number])
        with anyio.fail_after(5):
            assert [(await news.receive()).params for _ in range(2)] == [[1], [2]]


def _json(status: bytes, body: bytes) -> bytes:
    head = b"%b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % (status, len(body)) + body


NO_UTF8 = b'{"id":1,"error":{},"method":"\xff"}'
TOO_DEEP = b'{"id":1,"error":{},"x":%b' % (100_000 * b"[")


@pytest.mark.parametrize(
    "response",
    [
        b"500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
        b"502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
        b"204 No Content\r\n\r\n",
        b"200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<p>Log in</p>",
        _json(b"200 OK", b'{"id":1'),
        pytest.param(_json(b"200 OK", NO_UTF8), id="200-no-utf8"),
        pytest.param(_json(b"200 OK", TOO_DEEP), id="200-too-deep"),
        pytest.param(_json(b"404 Not Found", b'{"jsonrpc":"\xff","error":{}}'), id="404-no-utf8"),
        pytest.param(_json(b"500 Oh", TOO_DEEP), id="500-too-deep"),
        b"200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9\r\n\r\ndata: {}\n",
    ],
)
async def test_a_response_that_is_no_reply_fails_the_call(response: bytes) -> None:
    posts = 0

    async def answer(stream: anyio.abc.ByteStream) -> None:
        nonlocal posts
        async with stream:
            try:
                while True:
                    is_post = (await stream.receive()).startswith(b"POST")
                    posts += is_post
                    refusal = b"405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n"
                    await stream.send(b"HTTP/1.1 " + (response if is_post else refusal))
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                pass

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, answer)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with connect(f"http://127.0.0.1:{port}/rpc", extensions=False) as client:
            for _ in range(2):
                with pytest.raises(ServerError, match=response[:3].decode()):
                    await client.call("add", [1, 2], timeout=5)
        assert posts == 2  # what it says is not answered
        tasks.cancel_scope.cancel()


async def test_a_path_where_nothing_is_fails_at_once(device: Device) -> None:
    async with serve(device.dispatcher, URL) as server:
        with pytest.raises(ConnectFailed, match="404, nothing is served at this path"):
            async with connect(server.urls[0] + "s"):
                pass


async def test_https_and_the_client_s_certificate(device: Device, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    seen: list[object] = []

    def authenticate(channel: Channel) -> set[str]:
        certificate = channel.extra(TLSAttribute.peer_certificate)
        assert certificate is not None
        seen.append(certificate["subjectAltName"])
        return {"admin"}

    url = f"https://127.0.0.1:0/rpc?cert={certificates.server}&ca={certificates.ca}"
    async with serve(device.dispatcher, url, authenticate=authenticate) as server:
        with pytest.raises(ConnectFailed):
            async with connect(f"{server.urls[0]}?ca={certificates.ca}"):
                pass
        options = f"?ca={certificates.ca}&cert={certificates.client}"
        async with connect(server.urls[0] + options) as client:
            assert await client.call("reset") == "done"
        assert seen[0] == (("email", "lamp@example.org"),)


async def test_a_token_is_sent_and_a_wrong_one_refused(
    device: Device, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LAMP_TOKEN", "secret")
    wrong = tmp_path / "wrong"
    wrong.write_text("guess\n")
    async with serve(device.dispatcher, URL + "?token=env:LAMP_TOKEN") as server:
        async with connect(server.urls[0] + "?token=env:LAMP_TOKEN") as client:
            assert await client.call("add", [1, 2]) == 3
        with pytest.raises(ConnectFailed, match="401"):
            async with connect(f"{server.urls[0]}?token=file:{wrong}"):
                pass
    with pytest.raises(InvalidUrl, match="token=\\*\\*\\*"):
        async with connect("http://127.0.0.1:1/rpc?token=hunter2"):
            pass


async def test_an_open_address_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("LAMP_TOKEN", "secret")
    with caplog.at_level(logging.WARNING, "jsonrpc_iot"):
        async with serve(Dispatcher(), "http://0.0.0.0:0/rpc?token=env:LAMP_TOKEN"):
            assert not caplog.records
        async with serve(Dispatcher(), "http://0.0.0.0:0/rpc") as server:
            assert urlsplit(server.urls[0]).port
            assert "nobody has to authenticate" in caplog.text


async def test_events_that_end_at_once_are_asked_for_ever_more_seldom(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_events, "_FIRST_PAUSE_SECONDS", 0.01)
    asked = 0

    def answer(head: bytes, body: bytes) -> bytes:
        nonlocal asked
        asked += 1
        return EVENTS % b"" + b": hello\n\n"

    # No extensions to ask for, so that all requests are for events.
    async with answering(answer) as url, connect(url, extensions=False):
        await anyio.sleep(2)
    assert 3 <= asked < 25  # and hundreds where the pauses do not grow


async def test_a_client_may_be_closed_just_when_it_would_ask_for_events_again(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Backoff, "next_pause", lambda _: 0.1)
    closing = anyio.Event()
    async with anyio.create_task_group() as tasks:
        async with serve(device.dispatcher, URL, grace=0) as server:
            channel = await open_channel(server.urls[0])
            channel.start(tasks)

        async def close() -> None:
            closing.set()
            await anyio.sleep(0.05)  # over in the same turn of the loop as the pause
            await channel.aclose()

        tasks.start_soon(close)
        await closing.wait()
        time.sleep(0.3)  # noqa: ASYNC251
