"""The dialling end of a WebSocket: the protocol of `websockets`, without its I/O, on anyio."""

import logging
import ssl
from collections.abc import Sequence
from contextlib import suppress
from http import HTTPStatus
from urllib.parse import quote

import anyio
from anyio.abc import ByteStream, SocketAttribute
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidState, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI

from ...channel.clock import in_time
from ...channel.info import ChannelInfo
from ...channel.url import Url, host_port
from ...errors import ConnectFailed, ConnectTimeout, FramingError, TooLarge
from ...protocol.limits import Limits
from ..sockets.framed import ByteStreamChannel
from ..sockets.stream import PIECE
from ..sockets.tcp import address_of, dial
from ..sockets.tls import WANTS_CERTIFICATE
from ..sockets.tls import reason as failure_reason
from .closing import PING_INTERVAL, PING_TIMEOUT, SUBPROTOCOL, closing, ending
from .options import WebSocketOptions, host_and_port

_HANDSHAKE_SECONDS = 10.0
_CLOSE_SECONDS = 1.0
_GONE = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)

# The library would log headers and payloads, tokens too.
_SILENT = logging.getLogger("jsonrpc_iot.transports.websocket.frames")
_SILENT.disabled = True


async def open_websocket(
    url: Url,
    limits: Limits,
    options: WebSocketOptions,
    token: str | None,
    context: ssl.SSLContext | None,
) -> "ClientChannel":
    """Connect, and ask the server for a WebSocket.

    Args:
        url: where.
        limits: of which `receive_bytes` and `message_seconds` are used here.
        options: of the URL.
        token: is sent as a bearer token.
        context: for TLS.

    Raises:
        ConnectFailed: nobody answers there, or the answer is no.
    """
    host, port = host_and_port(url)
    path = quote(url.path or "/", safe="/:@!$&'()*+,;=-._~")
    protocol = ClientProtocol(
        WebSocketURI(context is not None, host, port, path, ""),
        subprotocols=[Subprotocol(SUBPROTOCOL)],
        max_size=max(limits.receive_bytes, options.max),
        logger=_SILENT,
    )
    stream = await dial(url, host, port, context)
    advice = WANTS_CERTIFICATE if context is not None and options.cert is None else ""
    try:
        with anyio.fail_after(in_time(_HANDSHAKE_SECONDS)):
            await _upgrade(url, stream, protocol, token, advice)
    except BaseException as error:
        await anyio.aclose_forcefully(stream)
        if isinstance(error, TimeoutError):
            raise ConnectTimeout(
                f"{url}: something listens there, but speaks no WebSocket"
            ) from error
        if isinstance(error, (OSError, *_GONE)):
            raise ConnectFailed(f"{url}: {failure_reason(error)}{advice}") from error
        raise
    info = ChannelInfo(
        transport=url.scheme,
        local=address_of(url.scheme, stream, SocketAttribute.local_address),
        peer=f"{url.scheme}://{host_port(host, port)}{url.path or '/'}",
        max_message=options.max,
        codec=options.codec,
    )
    return ClientChannel(stream, protocol, info, limits)


async def _upgrade(
    url: Url, stream: ByteStream, protocol: ClientProtocol, token: str | None, advice: str
) -> None:
    request = protocol.connect()
    if token is not None:
        request.headers["Authorization"] = f"Bearer {token}"
    protocol.send_request(request)
    await stream.send(b"".join(protocol.data_to_send()))
    while not protocol.events and protocol.handshake_exc is None:
        try:
            protocol.receive_data(await stream.receive(PIECE))
        except anyio.EndOfStream:
            protocol.receive_eof()
    refusal = protocol.handshake_exc
    if isinstance(refusal, InvalidStatus):
        status = refusal.response.status_code
        phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "unknown status"
        raise ConnectFailed(f"{url}: refused with HTTP {status} {phrase}{_advice(status)}")
    if refusal is not None:
        problem = f"the server speaks no WebSocket: {refusal}{advice}"
        raise ConnectFailed(f"{url}: {problem}") from refusal
    del protocol.events[0]  # the response; what follows it is kept


def _advice(status: int) -> str:
    """What may help."""
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return "; a token is given as ?token=env:NAME or file:PATH"
    return "; is the path right?" if status == HTTPStatus.NOT_FOUND else ""


class ClientChannel(ByteStreamChannel):
    """An open WebSocket, from its client's side.

    Args:
        stream: carries the bytes.
        protocol: has done its handshake.
        info: the facts about the channel.
        limits: of which `message_seconds` is used here.
    """

    def __init__(
        self, stream: ByteStream, protocol: ClientProtocol, info: ChannelInfo, limits: Limits
    ) -> None:
        super().__init__(stream, info, limits)
        self._protocol = protocol
        self._opcode = Opcode.BINARY if info.codec == "msgpack" else Opcode.TEXT
        self._messages: list[bytes] = []
        self._fragments: bytearray | None = None
        self._asked = False
        self._failure: FramingError | None = None
        self._end: tuple[int, str] | None = None
        self._closed = False
        self._over = anyio.Event()
        self._receivers = 0
        self._writing = anyio.Lock(fast_acquire=True)
        self._control = b""
        self._take_events()

    async def _next_batch(self) -> list[bytes]:
        self._receivers += 1
        try:
            while True:
                if self._closed:
                    raise anyio.ClosedResourceError
                if self._messages:
                    messages, self._messages = self._messages, []
                    return messages
                if self._failure is not None:
                    failure, self._failure = self._failure, None
                    raise failure
                if self._over.is_set():
                    raise ending(*(self._end or (1006, "")))
                await self._read()
        finally:
            self._receivers -= 1

    async def send(self, item: bytes) -> None:
        """Send one message; see `Channel.send`."""
        await self.send_batch((item,))

    async def send_batch(self, messages: Sequence[bytes]) -> None:
        """Send messages in one write."""
        if self._closed:
            raise anyio.ClosedResourceError
        protocol = self._protocol
        frame = protocol.send_text if self._opcode is Opcode.TEXT else protocol.send_binary
        try:
            for message in messages:
                frame(message)
        except InvalidState:
            raise anyio.BrokenResourceError(closing(*(self._end or (1006, "")))) from None
        await self._write(b"".join(protocol.data_to_send()))

    async def aclose(self) -> None:
        """Say goodbye, wait a second for the answer, and close."""
        if self._closed:
            return
        self._closed = True
        try:
            if not self._over.is_set() and not self._writing.locked():
                with anyio.move_on_after(_CLOSE_SECONDS), suppress(*_GONE, InvalidState):
                    self._protocol.send_close(1000)
                    await self._write(b"".join(self._protocol.data_to_send()))
                    await self._wait_for_end()
        finally:
            self._over.set()
            await self._stream.aclose()

    async def _wait_for_end(self) -> None:
        """Read until the other end has closed too; whoever receives does it anyway."""
        if self._receivers:
            await self._over.wait()
        while not self._over.is_set():
            await self._read()

    async def _read(self) -> None:
        """Take in what comes next, and answer pings."""
        is_whole = self._left is None
        begin = anyio.current_time()
        seconds = self._limits.message_seconds if self._left is None else self._left
        if is_whole:
            seconds = PING_TIMEOUT if self._asked else PING_INTERVAL
        data: bytes | None = None
        with anyio.move_on_after(seconds):
            try:
                data = await self._stream.receive(PIECE)
            except (anyio.EndOfStream, anyio.BrokenResourceError, OSError):
                self._lose()
                return
        if data is None:
            await self._be_silent(is_whole)
            return
        self._asked = False
        had = len(self._messages)
        self._protocol.receive_data(data)
        self._take_events()
        if self._fragments is None and not self._protocol.reader.buffer:
            self._left = None
        elif self._left is None or len(self._messages) > had:
            self._left = self._limits.message_seconds
        else:
            self._left = max(0.0, self._left - (anyio.current_time() - begin))
        await self._answer()

    async def _be_silent(self, is_whole: bool) -> None:
        """Nothing came for long."""
        if not is_whole:
            failure = self._unfinished()
            self._fail(1008, str(failure.error.data), failure)
        elif self._asked:
            self._end = 1011, f"no answer to a ping in {PING_TIMEOUT:g} s"
            self._protocol.fail(*self._end)
            self._over.set()
        elif not self._writing.locked():
            self._asked = True
            self._protocol.send_ping(b"")
        await self._answer()

    def _take_events(self) -> None:
        protocol = self._protocol
        for event in protocol.events_received():
            if isinstance(event, Frame) and not self._closed:
                self._take_frame(event)
        error = protocol.parser_exc
        if error is not None and self._end is None and protocol.close_sent is not None:
            self._end = protocol.close_sent.code, protocol.close_sent.reason
            if self._end[0] == 1009:
                limit = max(self._limits.receive_bytes, self._info.max_message or 0)
                self._failure = FramingError(TooLarge(str(error), {"limit": limit}))
        if protocol.close_rcvd is not None:
            self._end = self._end or (protocol.close_rcvd.code, protocol.close_rcvd.reason)
            self._over.set()

    def _take_frame(self, frame: Frame) -> None:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            if frame.opcode is not self._opcode:
                kind = "text" if self._opcode is Opcode.TEXT else "binary"
                self._fail(1003, f"send {kind} frames", None)
            elif frame.fin:
                self._messages.append(bytes(frame.data))
            else:
                self._fragments = bytearray(frame.data)
        elif frame.opcode is Opcode.CONT and self._fragments is not None:
            self._fragments += frame.data
            if frame.fin:
                self._messages.append(bytes(self._fragments))
                self._fragments = None

    def _fail(self, code: int, reason: str, failure: FramingError | None) -> None:
        """Close, since the other end has broken a rule."""
        if self._end is None:
            self._end = code, reason
            self._failure = failure
            self._fragments = self._left = None
            self._protocol.fail(code, reason)
            if failure is None:
                self._over.set()

    def _lose(self) -> None:
        self._end = self._end or (1006, "the connection was lost")
        self._over.set()

    async def _answer(self) -> None:
        """Send what the protocol answers by itself; while a message leaves, only the last of it.

        Whoever receives may be cancelled, and half a frame would break the stream.
        """
        data = b"".join(self._protocol.data_to_send())
        if not data:
            return
        if self._writing.locked():
            self._control = data
            return
        with anyio.move_on_after(PING_TIMEOUT, shield=True) as scope, suppress(*_GONE):
            await self._write(data)
        if scope.cancelled_caught:
            self._lose()

    async def _write(self, data: bytes) -> None:
        async with self._writing:
            while data:
                await super()._write(data)
                data, self._control = self._control, b""
