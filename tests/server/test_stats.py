"""What a server counts: each call once, whichever way it is answered, within bounds."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from jsonrpc_iot import (
    Busy,
    ChannelInfo,
    Context,
    Dispatcher,
    Forbidden,
    Gateway,
    Keyring,
    Limits,
    MethodNotFound,
    Principal,
    RpcError,
    Server,
    Stats,
    Unauthorized,
    UsageError,
    connect,
    serve,
)
from jsonrpc_iot.dispatch.counted.book import Book
from jsonrpc_iot.dispatch.counted.responder import CountingResponder
from jsonrpc_iot.dispatch.run.context import CallContext
from jsonrpc_iot.trust.keyring import bearer_token
from jsonrpc_iot.trust.principal import Standing
from tests.rig import ANYWHERE, Raw
from tests.waiting import SECONDS, eventually

pytestmark = pytest.mark.anyio

WEB = ["http://127.0.0.1:0/rpc", "ws://127.0.0.1:0/rpc"]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


def lamp() -> Dispatcher:
    dispatcher = Dispatcher()
    dispatcher.method("plain")(lambda: 1)
    dispatcher.method("thread", thread=True)(lambda: 1)
    dispatcher.method("serial", serial=True)(lambda: 1)

    @dispatcher.method
    def asking(context: Context) -> str:
        return context.method

    @dispatcher.method
    async def waiting() -> None:
        await anyio.lowlevel.checkpoint()

    @dispatcher.method
    async def items() -> AsyncIterator[int]:
        for number in range(3):
            yield number

    @dispatcher.method
    def typed(level: int) -> int:
        if level > 100:
            raise RpcError(-5, "Too bright")
        return level

    @dispatcher.method
    async def stay() -> None:
        await anyio.sleep_forever()

    return dispatcher


async def fails(client: Any, method: str, params: Any = None) -> None:
    with pytest.raises(RpcError):
        await client.call(method, params)


def calls(stats: Stats) -> dict[str, int]:
    return {name: each.calls for name, each in stats.methods.items() if name != "rpc.ping"}


@pytest.mark.parametrize("url", [ANYWHERE, "udp://127.0.0.1:0", "memory://counted", *WEB])
async def test_each_way_to_answer_is_counted_once(url: str) -> None:
    async with serve(lamp(), url, stats=True) as server:
        async with connect(server.urls[0]) as client:
            for name in ("plain", "thread", "serial", "asking", "waiting", "items"):
                await client.call(name)
            async with client.stream("items") as stream:
                assert [item async for item in stream] == [0, 1, 2]
            await client.call("typed", {"level": 2})
            await client.call("typed", [2])
            for level in (200, "high", None):
                await fails(client, "typed", {"level": level})
            for name in ("nothing", "nobody", "(unknown)", "x" * 1000):
                await fails(client, name)
            await client.notify("plain")
            async with client.batch() as batch:
                for name in ("plain", "plain", "plain", "waiting"):
                    batch.call(name)
            await eventually(lambda: server.stats().methods["plain"].calls == 5)
        stats = server.stats()
    one_each = dict.fromkeys(("thread", "serial", "asking"), 1)
    counts = {"plain": 5, "waiting": 2, "items": 2, "typed": 5, "(unknown)": 4}
    assert calls(stats) == one_each | counts
    errors = {name: each.errors for name, each in stats.methods.items() if each.errors}
    assert errors == {
        "typed": {-5: 1, -32602: 2},
        "(unknown)": {-32601: 4},
    }
    for each in stats.methods.values():
        assert sum(each.within) == each.calls
        assert len(each.within) == len(stats.bounds) + 1
        assert each.seconds > 0
        assert each.in_flight == 0
    scheme = url.partition(":")[0]
    assert stats.transports.keys() == {scheme}
    over = stats.transports[scheme]
    assert over.calls == sum(each.calls for each in stats.methods.values())
    assert over.errors == {-5: 1, -32602: 2, -32601: 4}
    assert stats.principals["(stranger)"].calls == over.calls
    assert over.peers_ever == (0 if scheme == "http" else 1)


async def test_messages_and_bytes_are_those_that_pass() -> None:
    request, notification = b'{"id":1,"method":"plain"}', b'{"method":"waiting"}'
    batch = b'[{"id":2,"method":"plain"},{"id":3,"method":"waiting"}]'
    sent, received = (request, notification, batch, b"junk"), []
    async with serve(lamp(), ANYWHERE, stats=True) as server, Raw.to(server.urls[0]) as far:
        for message in sent:
            await far.send(message)
            if message != notification:
                received.append(json.dumps(await far.receive(), separators=(",", ":")))
        server.broadcast("lamp.changed", {"level": 3})
        received.append(json.dumps(await far.receive(), separators=(",", ":")))
        over = server.stats().transports["tcp"]
        assert (over.messages_in, over.bytes_in) == (4, sum(map(len, sent)))
        assert (over.messages_out, over.bytes_out) == (4, sum(map(len, received)))
        assert over.peers == 1
        assert server.stats().methods["(invalid)"].errors == {-32700: 1}


@pytest.mark.parametrize("url", [ANYWHERE, "udp://127.0.0.1:0", *WEB])
async def test_what_runs_is_in_flight_and_what_is_cancelled_has_failed(url: str) -> None:
    async with (
        serve(lamp(), url, stats=True) as server,
        connect(server.urls[0], extensions=True) as client,
    ):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.call, "stay")
            await eventually(lambda: "stay" in server.stats().methods)
            assert server.stats().methods["stay"].in_flight == 1
            tasks.cancel_scope.cancel()
        await eventually(lambda: server.stats().methods["stay"].in_flight == 0)
        await eventually(lambda: server.stats().methods["stay"].calls == 1)
        assert server.stats().methods["stay"].errors == {-32003: 1}


async def test_what_is_turned_away_has_failed() -> None:
    limits = Limits(in_flight=1)
    async with serve(lamp(), "udp://127.0.0.1:0", limits=limits, stats=True) as server:
        url = server.urls[0]
        async with connect(url, extensions=True) as client, anyio.create_task_group() as tasks:
            tasks.start_soon(client.call, "stay")
            await eventually(lambda: "stay" in server.stats().methods)
            await fails(client, "waiting")
            tasks.cancel_scope.cancel()
        assert server.stats().methods["waiting"].errors == {Busy.code: 1}


async def test_a_request_that_comes_twice_is_one_call() -> None:
    message = b'{"id":"a","method":"waiting"}'
    async with serve(lamp(), "udp://127.0.0.1:0", stats=True) as server:
        host, port = server.urls[0].removeprefix("udp://").split(":")
        async with await anyio.create_connected_udp_socket(host, int(port)) as far:
            for _ in range(3):
                await far.send(message)
                with anyio.fail_after(SECONDS):
                    await far.receive()
            await far.send(b'{"id":77,"result":1}')
            await eventually(lambda: "stray_response" in dropped(server, "udp"))
            assert dropped(server, "udp") == {"repeated": 2, "stray_response": 1}
        assert server.stats().methods["waiting"].calls == 1


def dropped(server: Server, transport: str) -> dict[str, int]:
    return server.stats().transports[transport].dropped


async def test_what_a_peer_has_lost_is_known_when_it_is_gone() -> None:
    async with serve(lamp(), ANYWHERE, stats=True) as server:
        async with Raw.to(server.urls[0]) as far:
            await far.send(
                b'{"id":5,"result":1}', b'{"id":6,"result":1}', b'{"id":1,"method":"plain"}'
            )
            await far.receive()
            assert dropped(server, "tcp") == {"stray_response": 2}
        await eventually(lambda: not server.peers)
        assert dropped(server, "tcp") == {"stray_response": 2}
        assert server.stats().transports["tcp"].peers == 0


async def test_peers_that_were_too_many_were_turned_away() -> None:
    async with (
        serve(lamp(), ANYWHERE, limits=Limits(peers=1), stats=True) as server,
        Raw.to(server.urls[0]) as far,
    ):
        await far.request(1, "plain")
        await far.receive()
        async with Raw.to(server.urls[0]) as other:
            assert await other.receive_all() == []
        assert dropped(server, "tcp") == {"turned_away": 1}


def test_names_codes_and_principals_that_others_make_up_take_no_room() -> None:
    device = lamp()

    @device.method
    def fail(code: int) -> None:
        raise RpcError(code, "It failed")

    book = Book(lambda: Stats(0.0))
    responder = CountingResponder(device.responder("json"), book)
    info = ChannelInfo(transport="tcp", local="tcp://here", peer="tcp://there", max_message=None)

    def ask(standing: Standing, message: str) -> None:
        responder.begin(message.encode(), CallContext(None, info, standing))

    stranger = Standing()
    for number in range(100_000):
        assert responder._turn.row(f"lamp.{number}") is responder._turn.row("nothing")
    for number in range(1000):
        ask(stranger, f'{{"id":1,"method":"{"x" * 70}{number}"}}')
        ask(stranger, f'{{"method":"lamp.{number}"}}')
        ask(stranger, f'{{"id":1,"method":"fail","params":[{number + 1}]}}')
        ask(Standing(Principal(f"app {number}")), '{"id":1,"method":"plain"}')
        ask(Standing(Principal(f"\ud800{'y' * number}")), '{"id":1,"method":"plain"}')
        ask(Standing(Principal("tcp://there")), '{"id":1,"method":"plain"}')
    assert book.rows.keys() == {"(unknown)", "fail", "plain"}
    assert sum(book.rows["(unknown)"].within) == 2000
    assert len(book.rows["fail"].errors) == 33
    assert book.rows["fail"].errors[0] == 1000 - 32
    assert len(book.accounts) == 103
    assert book.accounts["tcp", "(unnamed)"].calls == 1000
    assert max(len(name) for _, name in book.accounts) <= 100
    for _, name in book.accounts:
        assert name.encode()


@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_codes_without_a_form_in_some_codec_do_not_hide_the_numbers(codec: str) -> None:
    device = Dispatcher()

    @device.method
    def fail() -> None:
        raise RpcError(10**5000 if codec == "json" else 1 << 64, "Made up")

    url = f"ws://127.0.0.1:0/rpc?codec={codec}"
    async with (
        serve(device, url, authenticate=lambda _: {"stats"}, stats=True) as server,
        connect(f"{server.urls[0].partition('?')[0]}?codec={codec}", timeout=SECONDS) as client,
    ):
        await client.notify("fail")
        await eventually(lambda: server.stats().methods.get("fail"))
        numbers = await client.call("rpc.stats", result=dict[str, Any])
        assert list(numbers["methods"]["fail"]["errors"].values()) == [1]
        assert server.stats().methods["fail"].errors == {0: 1}


async def test_who_has_the_permission_gets_the_numbers(tmp_path: Path) -> None:
    keyring = make_keyring(tmp_path)
    watcher = bearer_token(keyring.add("watcher", permissions=["stats"]))
    app = bearer_token(keyring.add("app", permissions=["other"]))
    async with (
        serve(lamp(), ANYWHERE, keyring=keyring, stats=True) as server,
        connect(server.urls[0]) as client,
    ):
        with pytest.raises(Unauthorized):
            await client.call("rpc.stats")
        await client.call("rpc.authenticate", {"token": app})
        with pytest.raises(Forbidden):
            await client.call("rpc.stats")
        assert "rpc.stats" not in await client.call("rpc.methods")
        await client.call("rpc.authenticate", {"token": watcher})
        assert "rpc.stats" in await client.call("rpc.methods")
        stats = await client.call("rpc.stats", result=Stats)
        assert stats.methods["rpc.stats"].errors == {-32005: 1, -32006: 1}
        assert stats.principals["app"].errors == {-32006: 1}
        assert stats.principals.keys() == {"(stranger)", "app", "watcher"}


def make_keyring(folder: Path) -> Keyring:
    path = folder / "keys.toml"
    path.touch(mode=0o600)
    return Keyring(path)


async def test_a_server_counts_what_it_answers_itself_and_only_if_it_is_to() -> None:
    device = lamp()

    def everything(channel: object) -> set[str]:
        return {"stats"}

    async with (
        serve(device, ANYWHERE, stats=True) as one,
        serve(device, ANYWHERE, stats=True) as two,
        serve(device, ANYWHERE, authenticate=everything) as quiet,
        connect(one.urls[0]) as client,
        connect(quiet.urls[0]) as other,
    ):
        await client.call("plain")
        await other.call("plain")
        assert calls(one.stats()) == {"plain": 1}
        assert calls(two.stats()) == {}
        with pytest.raises(UsageError, match="stats=True"):
            quiet.stats()
        with pytest.raises(MethodNotFound):
            await other.call("rpc.stats")
    with pytest.raises(MethodNotFound):
        async with serve(lamp(), ANYWHERE) as off, connect(off.urls[0]) as client:
            await client.call("rpc.stats")


async def test_a_gateway_counts_by_device_whatever_is_asked_of_it() -> None:
    async with serve(lamp(), ANYWHERE) as device:
        gateway = Gateway()
        gateway.add("kitchen", device.urls[0])
        async with (
            gateway,
            serve(gateway, "http://127.0.0.1:0/rpc", ANYWHERE, stats=True) as server,
            connect(server.urls[1]) as client,
            connect(f"{server.urls[0]}/kitchen") as direct,
        ):
            await client.call("kitchen.plain")
            await fails(client, "kitchen.nothing")
            await fails(client, "attic.plain")
            await direct.call("plain")
            async with direct.stream("items") as stream:
                assert [item async for item in stream] == [0, 1, 2]
            stats = server.stats()
            assert stats.methods["kitchen.*"].calls == 4
            assert stats.methods["kitchen.*"].errors == {-32601: 1}
            assert stats.methods["(unknown)"].errors == {-32601: 1}
            assert stats.transports["http"].calls >= 2
        assert server.stats().methods["kitchen.*"].calls == 4
