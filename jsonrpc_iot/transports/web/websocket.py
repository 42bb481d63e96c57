"""`ws://` and `wss://HOST:PORT/path`: one message a text frame, both ways (RFC 6455).

What MessagePack writes goes in binary frames instead. A server's WebSockets live on the same HTTP
server as `http://` of that address; a client dials. How each end is kept is in `websocket_server`,
`uvicorn_websocket` and `websocket_client`.
"""

from anyio.abc import TaskGroup

from ...channel.contract import Channel, Listener, Serve
from ...channel.url import Url
from ...channel.web import AsgiReceive, AsgiSend, Scope, WebRules
from ...protocol.limits import Limits
from ...protocol.messages import CodecName
from ..requirements import require_extra
from ..secrets import read_secret
from ..sockets.tls import load_context, read_options
from .address import Address, AddressListener, bind
from .options import WebSocketOptions
from .websocket_server import answer_websocket


def read_url(url: Url) -> WebSocketOptions:
    """What a URL to connect to says; raises `InvalidUrl`."""
    return read_options(url, WebSocketOptions)


async def connect(url: Url, limits: Limits) -> Channel:
    """Connect to a server.

    Raises:
        ConnectFailed: nobody answers there, or the answer is no; the text has its HTTP status.
        InvalidUrl: the URL makes no sense, or its token or certificates cannot be read.
        MissingExtra: the extra `http` is not installed.
    """
    options = read_url(url)
    context = load_context(url, options, server=False)
    require_extra(url, "WebSockets need", "http", "websockets")
    from .websocket_client import open_websocket

    return await open_websocket(url, limits, options, read_secret(url, "token"), context)


async def listen(url: Url, limits: Limits) -> Listener:
    """Bind an address, for this URL and others."""
    return await bind(url, read_options(url, WebSocketOptions), limits, listen_at)


def listen_at(url: Url, address: Address) -> Listener | None:
    """A listener at an address that is bound already, `None` if it is another one than the URL's.

    Raises:
        InvalidUrl: the URL makes no sense there.
    """
    options = read_options(url, WebSocketOptions)
    rules = options.rules(url)
    if not address.reserve(url, "websocket"):
        return None
    return WebSocketListener(address, url, rules, options.codec)


class WebSocketListener(AddressListener):
    """Takes the WebSockets of one path of an address.

    Args:
        address: bound; the listener has reserved its path there.
        url: where it listens.
        rules: what the URL says of requests.
        codec: how messages are written.
    """

    kind = "websocket"

    def __init__(self, address: Address, url: Url, rules: WebRules, codec: CodecName) -> None:
        super().__init__(address, url, rules)
        self._codec: CodecName = codec

    async def serve(self, handler: Serve, task_group: TaskGroup) -> None:
        """Accept until cancelled; see `Listener.serve`."""

        async def answer(scope: Scope, receive: AsgiReceive, send: AsgiSend) -> None:
            limits = self._address.limits
            await answer_websocket(
                scope, receive, send, handler, task_group, self.rules, limits, self._codec
            )

        self._address.route(self._url, "websocket", answer)
        await self._address.serve(task_group)
