"""uvicorn as a library: on sockets that are bound already, without signal handlers or log lines.

It is asyncio only. Beside what it does by itself, a head that takes too long or is too long ends
its connection, and applications learn of the connection: see `Connection`.
"""

import asyncio
import logging
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Any, cast

import anyio
import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ...channel.web import AsgiApp, AsgiReceive, AsgiSend, Scope, refuse_request
from ...protocol.limits import Limits
from ..sockets.server_tls import ServerTls
from .closing import PING_INTERVAL, PING_TIMEOUT
from .connections import Connection, Connections
from .pulse import BEAT_SECONDS, Pulse
from .uvicorn_websocket import REFUSAL_SECONDS, bounded_protocol, refusal

_HEAD_BYTES = 1 << 16
_KEEP_ALIVE_SECONDS = 75  # longer than clients keep a connection that they may use again
_CLOSE_SECONDS = 2.0
_LARGE_WRITE = 1 << 14

for _name in ("uvicorn.error", "uvicorn.access"):  # silent, unless the program wants to hear them
    logging.getLogger(_name).addHandler(logging.NullHandler())


class _JoiningTransport:
    """A transport that sends at once what is written while the event loop does one thing.

    uvicorn writes the head and the body of a response apart, which would be two packets.

    Args:
        transport: asyncio's.

    Attributes:
        inner: as above.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self.inner = transport
        self._waiting: list[bytes] = []
        self._loop = asyncio.get_running_loop()

    def write(self, data: bytes) -> None:
        """Write when the event loop goes on, what is large at once."""
        self._waiting.append(data)
        if len(data) > _LARGE_WRITE:
            self.flush()
        elif len(self._waiting) == 1:
            self._loop.call_soon(self.flush)

    def write_eof(self) -> None:
        """Write no more."""
        self.flush()
        self.inner.write_eof()

    def close(self) -> None:
        """Close when all is written."""
        self.flush()
        self.inner.close()

    def flush(self) -> None:
        """Write what waits."""
        waiting, self._waiting = self._waiting, []
        if waiting and not self.inner.is_closing():
            self.inner.write(b"".join(waiting))

    def __getattr__(self, name: str) -> Any:
        """All else is that of asyncio's transport."""
        return getattr(self.inner, name)


class _GuardedProtocol(H11Protocol):
    """uvicorn's HTTP, with bounds on the heads of requests, and whole responses in one write.

    It is the one on h11 even where httptools is installed, which takes a POST that offers to go on
    in HTTP/2 (`Upgrade: h2c`, as Java's client does) for one without a body.
    """

    head_seconds: float
    """How long a head may take; a subclass says."""

    send_seconds: float
    """How long a client may read nothing of what it is sent; a subclass says."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._refused = False
        self._send_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        connection: Connection = self.app_state["jsonrpc_iot"]
        connection.made(transport)
        super().connection_made(cast(asyncio.Transport, _JoiningTransport(transport)))
        if connection.is_welcome:
            self._start_timer()
        else:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._stop_watching()
        self.app_state["jsonrpc_iot"].lost()
        super().connection_lost(exc)

    def eof_received(self) -> None:
        """Let what is written leave: asyncio closes the connection after this."""
        if isinstance(self.transport, _JoiningTransport):
            self.transport.flush()
        super().eof_received()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_timer()
            return
        self._head_bytes += len(data)
        if self._head_bytes > _HEAD_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif self._head_timer is None:
            self._start_timer()

    def send_400_response(self, msg: str) -> None:
        """Answer what h11 does not understand."""
        too_long = sum(map(len, self.conn.trailing_data[:1])) > _HEAD_BYTES
        bad = HTTPStatus.BAD_REQUEST
        self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if too_long else bad)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Go on as a WebSocket, each of whose messages is written whole anyway."""
        assert isinstance(self.transport, _JoiningTransport)
        self.transport.flush()
        self.transport = self.transport.inner
        self._stop_watching()
        super().handle_websocket_upgrade(event)

    def pause_writing(self) -> None:
        """Note that the client reads more slowly than it is written to."""
        super().pause_writing()
        self._watch(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """Note that it has read."""
        super().resume_writing()
        if not self.transport.is_closing():
            self._stop_watching()

    def on_response_complete(self) -> None:
        """Go on with the next request, or close once the client has read the response."""
        super().on_response_complete()
        self._watch_closing()

    def timeout_keep_alive_handler(self) -> None:
        """Close: there was no other request for a long time."""
        super().timeout_keep_alive_handler()
        self._watch_closing()

    def _watch_closing(self) -> None:
        left = self.transport.get_write_buffer_size()
        if left and self.transport.is_closing():  # which by itself waits for the client for ever
            self._watch(left)

    def _watch(self, left: int) -> None:
        """End the connection if the client reads nothing of what is left to be sent, for long."""
        self._stop_watching()
        self._send_timer = self.loop.call_later(self.send_seconds, self._look_again, left)

    def _look_again(self, before: int) -> None:
        left = self.transport.get_write_buffer_size()
        if left >= before:
            self.transport.abort()
        elif left:
            self._watch(left)

    def _stop_watching(self) -> None:
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None

    def _get_upgrade(self) -> bytes | None:
        """What the client would go on with: lines of one name are one list (RFC 9110, 5.3)."""
        found = dict(self.headers)
        lines = b",".join(value for name, value in self.headers if name == b"connection")
        tokens = [token.strip() for token in lines.lower().split(b",")]
        return found.get(b"upgrade", b"").lower() or None if b"upgrade" in tokens else None

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: whoever offers another protocol goes on with this one."""

    def _start_timer(self) -> None:
        timeout = HTTPStatus.REQUEST_TIMEOUT
        self._head_timer = self.loop.call_later(self.head_seconds, self._refuse, timeout)

    def _stop_timer(self) -> None:
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer a head that is none, too long or too slow; who has said nothing hears nothing.

        What still comes is thrown away for a while: to close before it is read would reset the
        connection, and the answer would be lost.
        """
        said_something = self._head_bytes > 0 or status is not HTTPStatus.REQUEST_TIMEOUT
        self._stop_timer()
        if not said_something:
            self.transport.abort()
        elif not self._refused:
            self._refused = True
            self.transport.write(refusal(status))
            if self.transport.can_write_eof():
                self.transport.write_eof()
            self.loop.call_later(REFUSAL_SECONDS, self.transport.abort)


def _guarded(limits: Limits) -> type[_GuardedProtocol]:
    class Protocol(_GuardedProtocol):
        head_seconds = limits.message_seconds
        send_seconds = limits.send_seconds

    return Protocol


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.exiting = asyncio.Event()
        self.pulse = Pulse()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Leave it to others to accept: see `Connections`."""
        self.servers = []
        self.started = True

    async def main_loop(self) -> None:
        """Do once a second what uvicorn wants done, and end at once when told to."""
        while not await self.on_tick(0):
            self.pulse.beat(anyio.current_time())
            with anyio.move_on_after(BEAT_SECONDS):
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
        tls: secures the connections, `None` without TLS.
        limits: of which `peers`, `message_seconds` and `send_seconds` are used here.
        websockets: whether the application takes WebSockets.
    """

    def __init__(
        self,
        app: AsgiApp,
        sockets: Sequence[socket.socket],
        tls: ServerTls | None,
        limits: Limits,
        *,
        websockets: bool,
    ) -> None:
        self._app = app
        config = uvicorn.Config(
            self._answer,
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
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=1,
        )
        protocol = _guarded(limits)
        config.http = protocol
        config.load()
        self._server = server = _Server(config)

        def serve_connection(connection: Connection) -> asyncio.Protocol:
            return protocol(config, server.server_state, {"jsonrpc_iot": connection})

        self._connections = Connections(sockets, tls, limits, serve_connection, server.pulse)

    @property
    def drops(self) -> dict[str, int]:
        """How many connections were refused, by reason; see `channel.drops`."""
        return self._connections.drops

    def stop_accepting(self) -> None:
        """Close the listening sockets; connections live on."""
        self._connections.stop()

    async def run(self) -> None:
        """Serve until cancelled, then end all connections."""
        self._connections.start()
        task = asyncio.ensure_future(self._server.serve())
        try:
            await asyncio.shield(task)
        finally:
            with anyio.CancelScope(shield=True):
                await self._stop(task)

    async def _answer(self, scope: Scope, receive: AsgiReceive, send: AsgiSend) -> None:
        """Have the application answer; what is cut off at the end is no fault of it."""
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            if not self._server.should_exit:
                raise
            if scope["type"] == "http":
                with suppress(RuntimeError):  # its answer has begun
                    await refuse_request(send, 503, "The server is closing")

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
