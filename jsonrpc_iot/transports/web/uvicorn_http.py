"""uvicorn as a library: on sockets that are bound already, without signal handlers or log lines.

It is asyncio only. Beside what it does by itself, a head that takes too long or is too long ends
its connection, and applications learn of the connection: see `Connection`. Where the body of a
request is there already, `scope["state"]["jsonrpc_iot.is_whole"]` says so.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import anyio
import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ...channel.web import AsgiApp
from ...protocol.limits import Limits
from .closing import PING_INTERVAL, PING_TIMEOUT
from .uvicorn_websocket import bounded_protocol

_PROTOCOL: Any = H11Protocol
with suppress(ImportError):  # an extra of uvicorn that makes it faster
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    _PROTOCOL = HttpToolsProtocol

BACKLOG = 4096

_HEAD_BYTES = 1 << 16
_KEEP_ALIVE_SECONDS = 75  # longer than clients keep a connection that they may use again
_CLOSE_SECONDS = 2.0
_TICK_SECONDS = 1.0

for _name in ("uvicorn.error", "uvicorn.access"):  # silent, unless the program wants to hear them
    logging.getLogger(_name).addHandler(logging.NullHandler())


class Connection:
    """A client's connection, as `scope["state"]["jsonrpc_iot"]`.

    Args:
        transport: asyncio's.

    Attributes:
        on_lost: callbacks for when the client is gone.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.on_lost: set[Callable[[], object]] = set()

    @property
    def tls(self) -> ssl.SSLObject | None:
        """The connection's TLS, which knows the client's certificate; `None` without TLS."""
        found: ssl.SSLObject | None = self._transport.get_extra_info("ssl_object")
        return found

    def abort(self) -> None:
        """End the connection at once."""
        self._transport.abort()


def _guarded(base: Any, head_seconds: float) -> Any:
    """A protocol of uvicorn's that bounds the heads of requests."""

    class Guarded(base):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self._head_bytes = 0
            self._head_timer: asyncio.TimerHandle | None = None
            self._in_head = True

        def connection_made(self, transport: asyncio.Transport) -> None:
            self.app_state = {"jsonrpc_iot": Connection(transport)}
            super().connection_made(transport)
            self._head_timer = self.loop.call_later(head_seconds, transport.abort)

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_timer()
            for callback in tuple(self.app_state["jsonrpc_iot"].on_lost):
                callback()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if base is H11Protocol:
                self._in_head = self.conn.their_state is h11.IDLE
            if not self._in_head:
                if self._head_timer is not None:
                    self._stop_timer()
                return
            self._head_bytes += len(data)
            if self._head_bytes > _HEAD_BYTES:
                self.transport.abort()
            elif self._head_timer is None:
                self._head_timer = self.loop.call_later(head_seconds, self.transport.abort)

        def on_message_begin(self) -> None:
            self._in_head = True
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            self._in_head = False
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            self.scope["state"]["jsonrpc_iot.is_whole"] = True
            super().on_message_complete()

        def _stop_timer(self) -> None:
            self._head_bytes = 0
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None

    return Guarded


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.exiting = asyncio.Event()

    async def main_loop(self) -> None:
        """Do once a second what uvicorn wants done, and end at once when told to."""
        while not await self.on_tick(0):
            with anyio.move_on_after(_TICK_SECONDS):
                await self.exiting.wait()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the program."""
        yield


class WebServer:
    """Runs an application on bound sockets.

    Args:
        app: answers.
        sockets: it listens on them, and closes them.
        context: for TLS, `None` without.
        limits: of which `peers` and `message_seconds` are used here.
        websockets: whether the application takes WebSockets.
    """

    def __init__(
        self,
        app: AsgiApp,
        sockets: Sequence[socket.socket],
        context: ssl.SSLContext | None,
        limits: Limits,
        *,
        websockets: bool,
    ) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # else any client on this machine could say who it is
            interface="asgi3",
            lifespan="off",
            ws=bounded_protocol(limits) if websockets else "none",
            ws_max_size=limits.receive_bytes,
            ws_ping_interval=PING_INTERVAL,
            ws_ping_timeout=PING_TIMEOUT,
            ws_per_message_deflate=False,
            backlog=BACKLOG,
            limit_concurrency=limits.peers + 1,  # uvicorn turns away who makes it that many
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=1,
        )
        config.http = _guarded(_PROTOCOL, limits.message_seconds)
        config.load()
        config.ssl = context
        self._sockets = list(sockets)
        self._stopped = False
        self._server = _Server(config)

    def stop_accepting(self) -> None:
        """Close the listening sockets; connections live on."""
        self._stopped = True
        for server in getattr(self._server, "servers", ()):
            server.close()
        for each in self._sockets:
            each.close()

    async def run(self) -> None:
        """Serve until cancelled, then end all connections."""
        task = asyncio.ensure_future(self._server.serve(self._sockets))
        try:
            await asyncio.shield(task)
        except OSError:
            if not self._stopped:  # while it was about to begin
                raise
        finally:
            with anyio.CancelScope(shield=True):
                await self._stop(task)

    async def _stop(self, task: "asyncio.Future[None]") -> None:
        self.stop_accepting()
        self._server.should_exit = True
        self._server.exiting.set()
        self._server.force_exit = True
        for running in tuple(self._server.server_state.tasks):
            running.cancel()
        with anyio.move_on_after(_CLOSE_SECONDS):
            await asyncio.wait([task])
        for connection in tuple(self._server.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        if not task.done():
            task.cancel()
        await asyncio.wait([task])
