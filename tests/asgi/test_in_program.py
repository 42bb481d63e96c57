"""WebSockets in a web program of one's own, under a plain uvicorn."""

import importlib
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
import uvicorn
from anyio.abc import TaskStatus
from starlette.applications import Starlette
from starlette.routing import Mount, WebSocketRoute
from starlette.websockets import WebSocket

from jsonrpc_iot import ConnectFailed, Dispatcher, Limits, Server, asgi_app, connect, serve
from jsonrpc_iot.channel.web import AsgiApp
from tests.server.test_principals import Keys, keys, lamp
from tests.transports.web.websocket_frames import status
from tests.waiting import Tally, eventually

from .conftest import Device

__all__ = ["keys"]

pytestmark = pytest.mark.anyio


class Uvicorn(uvicorn.Server):
    """Leaves signals alone, and says when it is ready."""

    ready: TaskStatus[None]

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.started()


@asynccontextmanager
async def running(app: AsgiApp) -> AsyncIterator[str]:
    """Run a program; gives its host and port."""
    config = uvicorn.Config(app, log_config=None, ws="websockets-sansio")
    server = Uvicorn(config)

    async def run(bound: socket.socket, *, task_status: TaskStatus[None]) -> None:
        server.ready = task_status
        with anyio.CancelScope(shield=True):
            await server.serve([bound])

    with anyio.fail_after(10), socket.create_server(("127.0.0.1", 0)) as bound:
        async with anyio.create_task_group() as tasks:
            await tasks.start(run, bound)
            try:
                yield f"127.0.0.1:{bound.getsockname()[1]}"
            finally:  # else a test that fails would wait for ever
                server.should_exit = True


@asynccontextmanager
async def starlette(device: Device, server: Server, **options: Any) -> AsyncIterator[str]:
    async def rpc(websocket: WebSocket) -> None:
        await server.add_websocket(websocket.scope, websocket.receive, websocket.send, **options)

    routes = [WebSocketRoute("/rpc", rpc), Mount("/", asgi_app(device.dispatcher, "/rpc"))]
    async with running(Starlette(routes=routes)) as place:
        yield place


async def test_http_and_websocket_of_one_path(device: Device) -> None:
    local = Dispatcher()
    local.method("client.method")(lambda: None)
    async with (
        serve(device.dispatcher, "memory://program", grace=1) as server,
        starlette(device, server) as place,
        connect(f"http://{place}/rpc") as http,
        connect(f"ws://{place}/rpc", dispatcher=local) as ws,
        ws.notifications() as news,
    ):
        assert [await client.call("add", [1, 2]) for client in (http, ws)] == [3, 3]
        await ws.call("back")
        assert [item async for item in ws.stream("count", [20])] == list(range(20))
        device.dispatcher.emit("level", [7])
        assert (await news.receive()).params == [7]
        assert [peer.info.transport for peer in server.peers] == ["ws"]


async def test_who_may_connect(device: Device, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("boss")
    async with (
        serve(device.dispatcher, "memory://program", grace=1) as server,
        starlette(device, server, token="boss") as place,
    ):
        with pytest.raises(ConnectFailed, match="401"):
            async with connect(f"ws://{place}/rpc"):
                pytest.fail("it demands a token")
        async with connect(f"ws://{place}/rpc?token=file:{secret}") as client:
            assert await client.call("add", [1, 2]) == 3


async def test_a_program_has_so_many_websockets_and_no_more(device: Device) -> None:
    limits = Limits(peers=1)
    async with (
        serve(device.dispatcher, "memory://program", limits=limits, grace=1) as server,
        starlette(device, server) as place,
    ):
        for _ in range(2):  # one that has gone leaves its place
            async with connect(f"ws://{place}/rpc") as client:
                assert await client.call("add", [1, 2]) == 3
                with pytest.raises(ConnectFailed, match="503"):
                    async with connect(f"ws://{place}/rpc"):
                        pytest.fail("there is no place")
                assert await client.call("add", [1, 2]) == 3
            await eventually(lambda: not server.peers)


async def test_who_has_many_websockets_gives_way_to_who_has_none() -> None:
    limits = Limits(peers=3)
    ended, opened = Tally(), Tally()
    async with (
        serve(Dispatcher(), "memory://program", limits=limits, grace=1) as server,
        anyio.create_task_group() as tasks,
    ):

        async def come(host: str) -> None:
            sender, receiver = anyio.create_memory_object_stream[dict[str, Any]](1)
            sender.send_nowait({"type": "websocket.connect"})

            async def send(event: Any) -> None:
                opened.add((host, event["type"]))

            scope = {"type": "websocket", "scheme": "ws", "path": "/rpc", "headers": []}
            with sender, receiver:
                await server.add_websocket(
                    scope | {"client": (host, 1)}, receiver.receive, send, hosts="*"
                )
            ended.add(host)

        for count, host in enumerate(["10.0.0.1"] * 3 + ["10.0.0.2"], 1):
            tasks.start_soon(come, host)
            await opened.reach(count)
        await ended.reach(1)
        assert ended.items == ["10.0.0.1"]
        assert opened.items[3] == ("10.0.0.2", "websocket.accept")
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("token", ["app", "nobody's"])
async def test_a_program_knows_tokens_too(device: Device, keys: Keys, token: str) -> None:
    token = keys.app if token == "app" else keys.app[::-1]
    dispatcher = lamp()
    async with serve(dispatcher, "memory://program", keyring=keys.keyring, grace=1) as server:
        device.dispatcher = dispatcher
        async with starlette(device, server) as place:
            for name, shown in (
                ("Sec-WebSocket-Protocol", f"jsonrpc-iot, token.{token}"),
                ("Authorization", f"Bearer {token}"),
            ):
                found = await status(f"ws://{place}/rpc", **{name: shown})
                assert found == (101 if token == keys.app else 401)


async def test_a_server_that_is_closing_refuses(device: Device) -> None:
    async with serve(device.dispatcher, "memory://program", grace=1) as server:
        pass
    async with starlette(device, server) as place:
        with pytest.raises(ConnectFailed, match="503"):
            async with connect(f"ws://{place}/rpc"):
                pytest.fail("the server is closed")


async def test_fastapi(device: Device) -> None:
    fastapi = importlib.import_module("fastapi")
    app = fastapi.FastAPI()
    async with serve(device.dispatcher, "memory://program", grace=1) as server:

        @app.websocket("/devices/rpc")
        async def rpc(websocket: WebSocket) -> None:
            await server.add_websocket(websocket.scope, websocket.receive, websocket.send)

        app.mount("/devices", asgi_app(device.dispatcher, "/rpc"))
        async with running(app) as place:
            for scheme in ("http", "ws"):
                async with connect(f"{scheme}://{place}/devices/rpc") as client:
                    assert await client.call("add", [1, 2]) == 3
