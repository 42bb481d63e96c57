"""A small HTTP server whose one route is a WebSocket, for the tests; it needs asyncio."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from socket import create_server, socket
from typing import Any

import anyio
import uvicorn
from anyio.from_thread import start_blocking_portal
from starlette.applications import Starlette
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket

from jsonrpc_iot import Channel, Dispatcher, Limits, Server, serve
from jsonrpc_iot.channel import Serve
from jsonrpc_iot.protocol.messages import CodecName
from jsonrpc_iot.transports._websocket import MAX_MESSAGE
from jsonrpc_iot.transports._websocket_server import serve_websocket
from jsonrpc_iot.transports._websocket_uvicorn import PING_INTERVAL, PING_TIMEOUT, BoundedProtocol

from .certificates import Certificates

PATH = "/rpc"


class Uvicorn(uvicorn.Server):
    """A server that leaves signals alone and says when it is ready."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = anyio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


@asynccontextmanager
async def routed(
    routes: Sequence[BaseRoute],
    limits: Limits = Limits(),
    certificates: Certificates | None = None,
    ping: tuple[float, float] = (PING_INTERVAL, PING_TIMEOUT),
) -> AsyncIterator[tuple[str, Uvicorn]]:
    """Serve routes on a free port; gives the WebSocket URL of `PATH`, and the server."""

    class Protocol(BoundedProtocol):
        message_seconds = limits.message_seconds

    options: dict[str, Any] = {}
    if certificates is not None:
        options = {"ssl_certfile": certificates.server, "ssl_keyfile": certificates.server}
    config = uvicorn.Config(
        Starlette(routes=routes),
        http="h11",
        ws=Protocol,
        ws_max_size=limits.receive_bytes,
        ws_ping_interval=ping[0],
        ws_ping_timeout=ping[1],
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
        **options,
    )
    with create_server(("127.0.0.1", 0), backlog=2048) as bound:
        scheme = "ws" if certificates is None else "wss"
        url = f"{scheme}://127.0.0.1:{bound.getsockname()[1]}{PATH}"
        server = Uvicorn(config)
        async with anyio.create_task_group() as tasks:
            stopped = anyio.Event()

            async def run() -> None:
                with anyio.CancelScope(shield=True):
                    await server.serve([bound])
                stopped.set()

            tasks.start_soon(run)
            await server.ready.wait()
            try:
                yield url, server
            finally:
                with anyio.CancelScope(shield=True):
                    server.should_exit = True
                    await stopped.wait()


@asynccontextmanager
async def handled(
    handler: Serve,
    limits: Limits = Limits(),
    *,
    certificates: Certificates | None = None,
    codec: CodecName = "json",
    max_message: int = MAX_MESSAGE,
    ping: tuple[float, float] = (PING_INTERVAL, PING_TIMEOUT),
) -> AsyncIterator[tuple[str, Uvicorn]]:
    """Run a handler for each WebSocket."""
    async with anyio.create_task_group() as tasks:

        async def endpoint(websocket: WebSocket) -> None:
            await serve_websocket(
                websocket.scope,
                websocket.receive,
                websocket.send,
                handler,
                tasks,
                limits=limits,
                codec=codec,
                max_message=max_message,
            )

        routes = [WebSocketRoute(PATH, endpoint)]
        async with routed(routes, limits, certificates, ping) as running:
            yield running
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def accepting(
    limits: Limits = Limits(), certificates: Certificates | None = None
) -> AsyncIterator[tuple[str, Callable[[], Awaitable[Channel]]]]:
    """A URL, and an async function that waits for the next accepted channel."""
    send, receive = anyio.create_memory_object_stream[Channel](2000)
    with send, receive:
        async with handled(send.send, limits, certificates=certificates) as (url, _):
            yield url, receive.receive


@asynccontextmanager
async def serving(
    dispatcher: Dispatcher,
    limits: Limits | None = None,
    *,
    certificates: Certificates | None = None,
    codec: CodecName = "json",
    max_message: int = MAX_MESSAGE,
    ping: tuple[float, float] = (PING_INTERVAL, PING_TIMEOUT),
) -> AsyncIterator[tuple[str, Server, Uvicorn]]:
    """Serve a dispatcher at a WebSocket URL."""
    limits = limits or dispatcher.limits
    async with serve(dispatcher, "memory://websocket-rig", limits=limits, grace=0.1) as server:

        async def add(channel: Channel) -> None:
            await server.add(channel)

        async with handled(
            add,
            limits,
            certificates=certificates,
            codec=codec,
            max_message=max_message,
            ping=ping,
        ) as (url, running):
            yield url, server, running
            for peer in server.peers:
                peer.leave(0)


@contextmanager
def serving_elsewhere(dispatcher: Dispatcher, **options: Any) -> Iterator[str]:
    """Serve a dispatcher from a thread of its own, for clients that are on trio."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(serving(dispatcher, **options)) as (url, _, _),
    ):
        yield url
