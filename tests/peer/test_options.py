"""Options of `serve` and `connect`: authentication, tracing, time to connect."""

import json
import logging
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from jsonrpc_iot import (
    Channel,
    ChannelClosed,
    ConnectFailed,
    Context,
    Dispatcher,
    Forbidden,
    Unauthorized,
    connect,
    serve,
)
from tests.rig import ANYWHERE, Raw, far_end
from tests.waiting import SECONDS, Tally, eventually

pytestmark = pytest.mark.anyio


def guarded() -> Dispatcher:
    dispatcher = Dispatcher()

    @dispatcher.method(requires="lamp:switch")
    def switch() -> str:
        return "switched"

    @dispatcher.method("switch.later", requires="lamp:switch")
    async def switch_later(context: Context) -> object:
        assert context.permissions is not None
        return "switched"

    @dispatcher.method
    def free() -> str:
        return "free"

    return dispatcher


async def test_a_hook_gives_permissions() -> None:
    seen = Tally()

    def hook(channel: Channel) -> set[str]:
        seen.add(channel.info)
        return {"lamp:switch"}

    async with (
        serve(guarded(), ANYWHERE, authenticate=hook) as server,
        connect(server.urls[0]) as client,
    ):
        assert await client.call("switch") == "switched"
        assert await client.call("switch.later") == "switched"
        assert "switch" in await client.call("rpc.methods", result=list[str])
    (info,) = seen.items
    assert info.transport == "tcp"
    assert info.peer.startswith("tcp://127.0.0.1:")


@pytest.mark.parametrize(
    ("permissions", "error"), [(None, Unauthorized), (set(), Forbidden), ({"x"}, Forbidden)]
)
@pytest.mark.parametrize("method", ["switch", "switch.later"])
async def test_who_lacks_the_permission_is_refused(
    permissions: set[str] | None, error: type[Exception], method: str
) -> None:
    async def hook(channel: Channel) -> set[str] | None:
        await anyio.lowlevel.checkpoint()
        return permissions

    async with (
        serve(guarded(), ANYWHERE, authenticate=hook) as server,
        connect(server.urls[0]) as client,
    ):
        with pytest.raises(error):
            await client.call(method)
        assert await client.call("free") == "free"
        assert "switch" not in await client.call("rpc.methods", result=list[str])


async def test_without_a_hook_nobody_is_known() -> None:
    async with serve(guarded(), "memory://guarded") as server, connect(server.urls[0]) as client:
        with pytest.raises(Unauthorized):
            await client.call("switch")


@pytest.mark.parametrize("later", [False, True], ids=["sync", "async"])
async def test_a_hook_that_fails_closes_that_connection_only(
    later: bool, caplog: pytest.LogCaptureFixture
) -> None:
    turns = 0

    def decide(channel: Channel) -> set[str]:
        nonlocal turns
        turns += 1
        if turns == 1:
            raise LookupError("no such user")
        return {"lamp:switch"}

    async def decide_later(channel: Channel) -> set[str]:
        await anyio.lowlevel.checkpoint()
        return decide(channel)

    async with serve(guarded(), ANYWHERE, authenticate=decide_later if later else decide) as server:
        with pytest.raises(ChannelClosed):
            async with connect(server.urls[0]) as client:
                await client.call("free")
        async with connect(server.urls[0]) as client:
            assert await client.call("switch") == "switched"
    assert "no such user" in caplog.text
    caplog.clear()


async def test_both_ends_show_their_messages() -> None:
    shown: dict[str, list[tuple[str, bytes]]] = {"server": [], "client": []}

    def trace(end: str) -> Any:
        return lambda direction, message: shown[end].append((direction, message))

    dispatcher = guarded()
    async with (
        serve(dispatcher, ANYWHERE, trace=trace("server")) as server,
        connect(server.urls[0], trace=trace("client"), extensions=False) as client,
    ):
        await client.call("free")
        async with client.notifications() as stream:
            server.broadcast("n")
            await stream.receive()
    assert [direction for direction, _ in shown["client"]] == ["->", "<-", "<-"]
    request = json.loads(shown["client"][0][1])
    answer = b'{"id":%d,"result":"free"}' % request["id"]
    assert shown["client"][1:] == [("<-", answer), ("<-", b'{"method":"n"}')]
    turned = {"->": "<-", "<-": "->"}
    assert [(turned[way], message) for way, message in shown["client"]] == shown["server"]


async def test_connecting_takes_no_longer_than_it_may() -> None:
    with anyio.fail_after(SECONDS):
        async with far_end() as (url, _):
            began = anyio.current_time()
            # What listens there never says a word of TLS.
            with pytest.raises(ConnectFailed):
                async with connect(url.replace("tcp:", "tls:"), connect_timeout=0.1):
                    pytest.fail("connected")
            assert anyio.current_time() - began < 2


async def test_a_server_open_to_the_network_warns_once(caplog: pytest.LogCaptureFixture) -> None:
    async with serve(Dispatcher(), "tcp://0.0.0.0:0", "tcp://[::]:0") as server:
        warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert len(warnings) == 1
        assert all(url in warnings[0].getMessage() for url in server.urls)
    caplog.clear()
    async with (
        serve(Dispatcher(), "tcp://0.0.0.0:0", authenticate=lambda channel: None),
        serve(Dispatcher(), ANYWHERE, "tcp://[::1]:0", "memory://inside"),
    ):
        assert caplog.records == []


async def test_a_server_may_be_asked_to_close() -> None:
    with anyio.fail_after(SECONDS):
        async with serve(guarded(), ANYWHERE) as server:
            raw = await Raw.open(server.urls[0])
            await eventually(lambda: len(server.peers) == 1)
            server.close()
            await server.wait_closed()
            await raw.stream.send_eof()
        assert await raw.receive_all() == []
        await raw.stream.aclose()


async def test_a_server_needs_a_url() -> None:
    with pytest.raises(ValueError, match="URL"):
        async with serve(guarded()):
            pytest.fail("serves nowhere")


async def test_a_server_may_leave_while_it_asks_who_somebody_is() -> None:
    asking = anyio.Event()

    async def hook(channel: Channel) -> None:
        asking.set()
        await anyio.sleep_forever()

    with anyio.fail_after(SECONDS):
        async with serve(guarded(), ANYWHERE, authenticate=hook, grace=0.1) as server:
            raw = await Raw.open(server.urls[0])
            await asking.wait()
        assert await raw.receive_all() == []
        await raw.stream.aclose()
