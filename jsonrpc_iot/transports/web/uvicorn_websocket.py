"""uvicorn's WebSockets, with bounds that it lacks.

uvicorn (0.54, `websockets-sansio`) bounds the bytes of a message, and stops reading at each message
until the application has taken it; here it stops when 64 KiB wait. Here are also bounded: the time
that a message takes, the empty fragments of a message, the answers to
the pings of who does not read, and the time in which a closed connection gets rid of its last
bytes. Text that is no UTF-8 is handed on, so that it is answered with -32700 like everywhere;
uvicorn alone would close with 1007. Every handshake is answered: `websockets` sees only what it
needs of one, since it says nothing at all to what it does not expect. Use it as
`uvicorn.Config(ws=bounded_protocol(limits), ws_max_size=…, ws_per_message_deflate=False)`.
"""

import socket
from asyncio import AbstractEventLoop, BaseTransport, Task, TimerHandle
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, cast

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Frame
from websockets.http11 import Request

from ...channel.clock import name_asyncio
from ...protocol.limits import DEFAULT_LIMITS, Limits
from .closing import ABORT, ARRIVED, DIRECT

_CLOSE_SECONDS = 1.0
_DRAIN_SECONDS = 3.0
REFUSAL_SECONDS = 2.0
"""How long what still comes from who was refused is thrown away, so that the answer arrives."""

_PONGS = 64
_QUEUE_BYTES = 1 << 16
_MESSAGE_BYTES = 1 << 9  # what a waiting message takes beside its text
_LINE_BYTES = 8000
_NEEDED = (b"connection", b"host", b"origin", b"upgrade")
_PROTOCOL = b"sec-websocket-protocol"  # may hold a token, which errors would quote


class BoundedProtocol(WebSocketsSansIOProtocol):
    """One WebSocket connection of uvicorn.

    Args:
        config: uvicorn's.
        server_state: uvicorn's.
        app_state: the lifespan's state.
    """

    message_seconds = DEFAULT_LIMITS.message_seconds
    """How long a message may stay unfinished; a subclass sets another time."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn.debug = False  # it would log the headers, tokens and all
        self.close_timeout = _CLOSE_SECONDS
        self._headers: list[tuple[bytes, bytes]] | None = None
        self._refused = False
        self._fragments = bytearray()
        self._is_fragmented = False
        self._messages = 0
        self._is_alone = False  # what has just come is one frame
        self._take: Callable[[bytes, bool], bool] | None = None
        self._is_awaited = False
        self._waiting = 0
        self._slow_timer: TimerHandle | None = None
        self._abort_timer: TimerHandle | None = None
        self._pongs = 0

    def connection_made(self, transport: BaseTransport) -> None:
        """Send small messages at once; asyncio sees to that only for some bound sockets."""
        super().connection_made(transport)
        raw = transport.get_extra_info("socket")
        if raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6):
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def handle_connect(self, event: Request) -> None:
        """Open the handshake; the application may cut the connection off, and look ahead."""
        super().handle_connect(event)
        if not self.close_sent:
            self.scope["headers"] = self._headers or []
            self.scope["subprotocols"] = _offered(self.scope["headers"])
            extensions = cast(dict[str, Any], self.scope["extensions"])
            extensions[ABORT] = {"stalled": self._abort_if_stalled}
            extensions[ARRIVED] = {"count": self.queue.qsize}
            extensions[DIRECT] = {"offer_to": self._offer_to, "send_now": self._send_now}

    def data_received(self, data: bytes) -> None:
        """Take bytes in, and the time that messages take."""
        if self._refused:
            return
        if self._headers is None:  # uvicorn hands over the whole head first
            self._shake_hands(data)
            return
        before = self._messages
        self._is_alone = _is_one_frame(data) and not self._is_mid_message
        super().data_received(data)
        if not self._is_mid_message:
            self._stop_watch()
        elif self._slow_timer is None or self._messages > before:
            self._start_watch()

    async def send(self, message: ASGISendEvent) -> None:
        """Send an event. uvicorn logs an error for each handshake that was refused in order."""
        await super().send(message)
        if self.close_sent and self.initial_response is not None:
            self.handshake_complete = True

    def _shake_hands(self, head: bytes) -> None:
        line, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
        self._headers = []
        for each in lines:
            name, _, value = each.partition(b": ")
            self._headers.append((name, value))
        if len(line) > _LINE_BYTES:
            self._refuse(HTTPStatus.REQUEST_URI_TOO_LONG)
        elif any(map(_is_bad, self._headers)):
            self._refuse(HTTPStatus.BAD_REQUEST)
        else:
            needed = [b"%b: %b" % each for each in self._headers if _is_needed(each[0])]
            super().data_received(b"\r\n".join([line, *needed, b"", b""]))
            if not self.handshake_initiated and not self.close_sent:
                self._refuse(HTTPStatus.BAD_REQUEST)

    def _refuse(self, status: HTTPStatus) -> None:
        self._refused = self.handshake_complete = self.close_sent = True
        self.transport.write(refusal(status))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.close_timer = self.loop.call_later(REFUSAL_SECONDS, self.transport.abort)

    async def receive(self) -> ASGIReceiveEvent:
        """Give the application the next event. uvicorn alone reads on only when none waits."""
        self._is_awaited = True
        try:
            event = await super().receive()
        finally:
            self._is_awaited = False
        if self.queue.empty():
            self._waiting = 0
        return event

    def handle_text(self, event: Frame) -> None:
        """Begin a text message."""
        self.curr_msg_data_type = "text"
        self._begin(event)

    def handle_bytes(self, event: Frame) -> None:
        """Begin a binary message."""
        self.curr_msg_data_type = "bytes"
        self._begin(event)

    def handle_cont(self, event: Frame) -> None:
        """Go on with a message; fragments that hold nothing leave nothing behind."""
        self._fragments += event.data
        if event.fin:
            self._is_fragmented = False
            data, self._fragments = bytes(self._fragments), bytearray()
            self._finish(data)

    def handle_ping(self) -> None:
        """Answer; who asks and asks and never reads is not answered any more."""
        output = b"".join(self.conn.data_to_send())
        if self.writable.is_set():
            self._pongs = 0
        elif self._pongs >= _PONGS:
            return
        self._pongs += 1
        self.transport.write(output)

    def keepalive_timeout(self) -> None:
        """Close, unless the answer may wait behind messages that nobody takes here."""
        if self.read_paused:
            self.pong_timer = None
            self.pending_ping_payload = None
            self.schedule_ping()
        else:
            super().keepalive_timeout()
            self._abort_after(_DRAIN_SECONDS)

    def handle_parser_exception(self) -> None:
        """Close with the reason, and throw away what still comes, so that the reason arrives.

        Closing with unread bytes would reset the connection.
        """
        self.handle_events()  # what came whole before it
        if not self.close_sent and self.conn.close_sent is not None:
            close = self.conn.close_sent
            event: Any = {"type": "websocket.disconnect", "violation": True}
            self.queue.put_nowait(event | {"code": close.code, "reason": close.reason})
            self.close_sent = True
            self.transport.write(b"".join(self.conn.data_to_send()))
            if self.transport.can_write_eof():
                self.transport.write_eof()
            self._stop_watch()
            self.close_timer = self.loop.call_later(REFUSAL_SECONDS, self.transport.abort)
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the application, if nobody said goodbye."""
        self._stop_watch()
        if self._abort_timer is not None:
            self._abort_timer.cancel()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": 1006})
        if (connection := self.app_state.get("jsonrpc_iot")) is not None:
            connection.lost()
        super().connection_lost(exc)

    def on_task_complete(self, task: Task[None]) -> None:
        """Close in a while, even if the other end never takes the last bytes."""
        super().on_task_complete(task)
        self._abort_after(_DRAIN_SECONDS)

    @property
    def _is_mid_message(self) -> bool:
        return self._is_fragmented or bool(self.conn.reader.buffer)

    def _begin(self, event: Frame) -> None:
        if event.fin:
            self._finish(bytes(event.data))
        else:
            self._is_fragmented = True
            self._fragments += event.data

    def _finish(self, data: bytes) -> None:
        self._messages += 1
        if self.close_sent:
            return
        is_text = self.curr_msg_data_type == "text"
        is_next = self._is_alone and self._is_awaited and self.queue.empty()
        if is_next and self._take is not None:
            name_asyncio()
            if self._take(data, is_text):
                return
        self._waiting += len(data) + _MESSAGE_BYTES
        if is_text:
            text = data.decode(errors="surrogateescape")
            self.queue.put_nowait({"type": "websocket.receive", "text": text})
        else:
            self.queue.put_nowait({"type": "websocket.receive", "bytes": data})
        if self._waiting > _QUEUE_BYTES and not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def _offer_to(self, take: Callable[[bytes, bool], bool]) -> None:
        """While the application waits to receive, offer messages that come alone to a function.

        Args:
            take: gets a message and whether it is text; says whether it took it.
        """
        self._take = take

    def _send_now(self, event: ASGISendEvent) -> bool:
        """Send an event unless that has to wait; says whether it did."""
        if not self.writable.is_set():
            return False
        try:
            self.send(event).send(None)
        except StopIteration:
            return True
        raise RuntimeError("uvicorn waits to send, though it could write")

    def _start_watch(self) -> None:
        self._stop_watch()
        if not self.disconnected and not self.close_sent:
            self._slow_timer = self.loop.call_later(self.message_seconds, self._slow)

    def _stop_watch(self) -> None:
        if self._slow_timer is not None:
            self._slow_timer.cancel()
            self._slow_timer = None

    def _slow(self) -> None:
        """End a connection whose message does not end; time in which we do not read is not its."""
        self._slow_timer = None
        if self.read_paused:
            self._start_watch()
            return
        self.conn.fail(1008, f"a message stayed unfinished for {self.message_seconds:g} s")
        self.handle_parser_exception()

    def _abort_if_stalled(self) -> None:
        if not self.writable.is_set():
            self.transport.abort()

    def _abort_after(self, seconds: float) -> None:
        if not self.disconnected and self._abort_timer is None:
            self._abort_timer = self.loop.call_later(seconds, self.transport.abort)


def bounded_protocol(limits: Limits) -> type[BoundedProtocol]:
    """The protocol for uvicorn's `ws`, with these limits."""

    class Protocol(BoundedProtocol):
        message_seconds = limits.message_seconds

    return Protocol


def refusal(status: HTTPStatus) -> bytes:
    """The answer to a request that never becomes one."""
    line = b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode())
    return line + b"content-length: 0\r\nconnection: close\r\n\r\n"


def _is_one_frame(data: bytes) -> bool:
    """Whether bytes of a client are a frame and nothing else (RFC 6455, 5.2)."""
    length = data[1] & 0x7F if len(data) > 1 else 0
    if length < 126:
        return len(data) == 6 + length
    start = 4 if length == 126 else 10
    return len(data) == start + 4 + int.from_bytes(data[2:start])


def _is_bad(header: tuple[bytes, bytes]) -> bool:
    """Whether a header is too long, or tells of a body.

    `Content-Length: 0`, as Java's client says, is no body.
    """
    name, value = header
    if name == _PROTOCOL and len(value) > _LINE_BYTES:
        return True
    return name == b"transfer-encoding" or (
        name == b"content-length" and value.strip(b" 0,") != b""
    )


def _is_needed(name: bytes) -> bool:
    return name in _NEEDED or (name.startswith(b"sec-websocket-") and name != _PROTOCOL)


def _offered(headers: Iterable[tuple[bytes, bytes]]) -> list[str]:
    """The subprotocols that a client offers: lines of one name are one list (RFC 9110, 5.3)."""
    lines = b",".join(value for name, value in headers if name == _PROTOCOL)
    return [each.strip() for each in lines.decode("latin-1").split(",") if each.strip()]
