"""`ws://` and `wss://HOST:PORT/path`: one message a text frame, both ways (RFC 6455).

What MessagePack writes goes in binary frames instead. A server's WebSockets live on the same HTTP
server as `http://` of that address; a client dials. How each end is kept is in `websocket_server`,
`uvicorn_websocket` and `websocket_client`.
"""

import ssl
from typing import Annotated

from anyio.abc import TaskGroup
from msgspec import Meta, Struct

from ...channel.contract import Channel, Listener, Serve
from ...channel.url import Url
from ...channel.web import AsgiReceive, AsgiSend, Scope, WebRules
from ...errors import MissingExtra
from ...protocol.limits import Limits
from ...protocol.messages import CodecName
from ..secrets import read_secret
from ..sockets.tls import load_context
from .address import Address, AddressListener, bind
from .closing import MAX_MESSAGE
from .websocket_server import answer_websocket


class WebSocketOptions(Struct, frozen=True):
    """Options of a `ws://` URL.

    Args:
        max: bytes of the largest message that is sent.
        codec: how the messages are written; the same at both ends.
        token: where the bearer token is, `env:NAME` or `file:PATH`. A client sends it, a server
            demands it.
        cors: the origin whose pages may connect from a browser, `*` for all; serving only. Pages
            of the server's own address always may.
    """

    max: Annotated[int, Meta(gt=0)] = MAX_MESSAGE
    codec: CodecName = "json"
    token: str | None = None
    cors: str | None = None


class SecureOptions(WebSocketOptions, frozen=True):
    """Options of a `wss://` URL. All files are PEM.

    Args:
        cert: this end's certificate chain; a server must have one.
        key: its private key, if that is not in the same file.
        ca: the authorities to trust. A server that is given them demands a client certificate; a
            client without them trusts the system's.
    """

    cert: str | None = None
    key: str | None = None
    ca: str | None = None


async def connect(url: Url, limits: Limits) -> Channel:
    """Connect to a server.

    Raises:
        ConnectFailed: nobody answers there, or the answer is no; the text has its HTTP status.
        InvalidUrl: the URL makes no sense, or its token or certificates cannot be read.
        MissingExtra: the extra `http` is not installed.
    """
    if not url.host:
        raise url.error(f"a host is missing, as in {url.scheme}://127.0.0.1:8080/rpc")
    options = _read(url)
    context = _context(url, options, server=False)
    token = read_secret(url, "token")
    try:
        from .websocket_client import dial
    except ImportError as error:
        raise MissingExtra(f"{url}: WebSockets need: pip install 'jsonrpc-iot[http]'") from error
    return await dial(url, limits, options.max, options.codec, token, context)


async def listen(url: Url, limits: Limits) -> Listener:
    """Bind an address, for this URL and others."""
    options = _read(url)
    address = await bind(url, _context(url, options, server=True), limits)
    listener = _reserve(url, options, address)
    assert listener is not None
    return listener


def listen_at(url: Url, address: Address) -> Listener | None:
    """A listener at an address that is bound already, `None` if it is another one than the URL's.

    Raises:
        InvalidUrl: the URL makes no sense there.
    """
    return _reserve(url, _read(url), address)


class WebSocketListener(AddressListener):
    """Takes the WebSockets of one path of an address.

    Args:
        address: bound; the listener has reserved its path there.
        url: where it listens.
        rules: what the URL says of requests.
        codec: how messages are written.
    """

    def __init__(self, address: Address, url: Url, rules: WebRules, codec: CodecName) -> None:
        super().__init__(address, url, "websocket", has_token=rules.token is not None)
        self._rules = rules
        self._codec: CodecName = codec

    async def serve(self, handler: Serve, task_group: TaskGroup) -> None:
        """Accept until cancelled; see `Listener.serve`."""

        async def answer(scope: Scope, receive: AsgiReceive, send: AsgiSend) -> None:
            limits = self._address.limits
            await answer_websocket(
                scope, receive, send, handler, task_group, self._rules, limits, self._codec
            )

        self._address.route(self._url, self._kind, answer)
        await self._address.serve(task_group)


def _read(url: Url) -> WebSocketOptions:
    return url.read_options(SecureOptions if url.scheme == "wss" else WebSocketOptions)


def _reserve(url: Url, options: WebSocketOptions, address: Address) -> WebSocketListener | None:
    rules = WebRules(
        path=url.path, max_message=options.max, token=read_secret(url, "token"), cors=options.cors
    )
    if not address.reserve(url, "websocket"):
        return None
    return WebSocketListener(address, url, rules, options.codec)


def _context(url: Url, options: WebSocketOptions, *, server: bool) -> ssl.SSLContext | None:
    if not isinstance(options, SecureOptions):
        return None
    return load_context(url, options, server=server)
