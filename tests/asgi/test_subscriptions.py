"""Events over HTTP and WebSockets: who may hear them, and who wants to."""

import pytest

from jsonrpc_iot import Channel, ChannelAttribute, Dispatcher, MethodNotFound, connect, serve
from tests.client.proxied import within_time
from tests.rig import Raw
from tests.server.test_subscriptions import Door, emit_all, names
from tests.waiting import eventually

pytestmark = pytest.mark.anyio


def by_token(channel: Channel) -> set[str]:
    return {"admin"} if channel.extra(ChannelAttribute.bearer_token, "") == "root" else set()


@pytest.mark.parametrize(("token", "secret"), [("root", ["door.code", "alarm"]), ("guest", [])])
@pytest.mark.parametrize("resumed", [False, True])
async def test_events_over_http_need_their_permission_too(
    token: str, secret: list[str], resumed: bool
) -> None:
    door, dispatcher = Door(), Dispatcher()
    dispatcher.include(door)
    with within_time():
        async with serve(dispatcher, "http://127.0.0.1:0/rpc", authenticate=by_token) as server:
            if resumed:
                emit_all(dispatcher, door)
            after = "Last-Event-ID: guess-1\r\n" if resumed else ""
            async with Raw.to(server.urls[0]) as raw:
                await raw.stream.send(_get("/rpc", f"Authorization: Bearer {token}\r\n{after}"))
                if not resumed:
                    await _heard(raw, b"\r\n\r\n")
                    emit_all(dispatcher, door)
                text = await _heard(raw, b'"last"')
    found = [name for name in ("door.code", "alarm", "door.opened") if f'"{name}"' in text]
    assert found == [*secret, "door.opened"]


async def test_events_over_http_may_be_picked() -> None:
    door, dispatcher = Door(), Dispatcher()
    dispatcher.include(door)
    with within_time():
        async with (
            serve(dispatcher, "http://127.0.0.1:0/rpc") as server,
            Raw.to(server.urls[0]) as raw,
        ):
            await raw.stream.send(_get("/rpc?events=door.*,last"))
            await _heard(raw, b"\r\n\r\n")
            emit_all(dispatcher, door, "lamp", "doorbell")
            text = await _heard(raw, b'"last"')
    assert '"door.opened"' in text
    assert "lamp" not in text
    assert "doorbell" not in text


def _get(path: str, headers: str = "") -> bytes:
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{headers}\r\n"
    return head.encode()


async def _heard(raw: Raw, last: bytes) -> str:
    heard = b""
    while last not in heard:
        heard += await raw.stream.receive()
    return heard.decode()


async def test_over_http_there_is_nobody_to_remember_it_for() -> None:
    async with (
        serve(Dispatcher(), "http://127.0.0.1:0/rpc") as server,
        connect(server.urls[0]) as client,
    ):
        for method, params in (("rpc.subscribe", ["a"]), ("rpc.unsubscribe", None)):
            with pytest.raises(MethodNotFound):
                await client.call(method, params)


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_a_stream_of_some_notifications(scheme: str) -> None:
    door, dispatcher = Door(), Dispatcher()
    dispatcher.include(door)
    with within_time():
        async with (
            serve(dispatcher, f"{scheme}://127.0.0.1:0/rpc") as server,
            connect(server.urls[0]) as client,
            client.notifications("door.*", "last") as news,
        ):
            await eventually(lambda: server.broadcast("door.ready") > 0)
            emit_all(dispatcher, door, "lamp")
            assert set(await names(news)) - {"door.ready"} == {"door.opened"}
