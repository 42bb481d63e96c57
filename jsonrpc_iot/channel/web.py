"""What answers requests of the web is to the listeners that bring them: an ASGI application."""

import hmac
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from .contract import Listener
from .info import ChannelAttribute

Scope = MutableMapping[str, Any]
AsgiReceive = Callable[[], Awaitable[MutableMapping[str, Any]]]
AsgiSend = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, AsgiReceive, AsgiSend], Awaitable[None]]
"""An application as web servers run it (asgi.readthedocs.io, version 3)."""


class WebRules(Struct, frozen=True, kw_only=True):
    """What the URL of a web listener says of the requests to it.

    Args:
        path: where they go.
        max_message: bytes of the largest reply.
        token: the bearer token that every request must have, `None` if it need not have one.
        cors: the origin whose pages may call it from a browser, `*` for all. Pages of the server's
            own address always may.
    """

    path: str
    max_message: int
    token: str | None = None
    cors: str | None = None

    def admits(self, token: str | None) -> bool:
        """Whether a request with that token may come in."""
        if self.token is None:
            return True
        if not self.token:  # a secret that somebody failed to give lets nobody in
            return False
        return hmac.compare_digest(self.token.encode(), (token or "").encode())

    def admits_page(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a page may open a WebSocket: a browser lets any page ask, and says whose it is.

        Args:
            headers: of the request.
        """
        origin = headers.get(b"origin", b"").decode("latin-1")
        if not origin or self.cors in ("*", origin):
            return True
        try:
            return urlsplit(origin).netloc == headers.get(b"host", b"").decode("latin-1")
        except ValueError:  # no address that a browser would send
            return False

    def __repr__(self) -> str:
        """Without the token, which would get into logs."""
        return f"WebRules({self.path!r})"


class WebListener(Listener):
    """A listener whose requests are answered one by one, by an application, not over channels."""

    @property
    @abstractmethod
    def rules(self) -> WebRules:
        """What holds for its requests."""

    @abstractmethod
    def mount(self, app: AsgiApp) -> None:
        """Have an application answer the requests; to be called before `serve`."""


def bearer_token(authorization: bytes | None) -> str | None:
    """The token of an Authorization header (RFC 6750, section 2.1)."""
    if authorization is None:
        return None
    kind, _, token = authorization.partition(b" ")
    return token.strip().decode("latin-1") if kind.lower() == b"bearer" else None


def request_attributes(scope: Scope, token: str | None) -> dict[Any, Callable[[], Any]]:
    """What `extra` tells of a request: its bearer token, and its client's certificate."""
    attributes: dict[Any, Callable[[], Any]] = {}
    if token is not None:
        attributes[ChannelAttribute.bearer_token] = lambda: token
    connection = scope.get("state", {}).get("jsonrpc_iot")
    if connection is not None and (tls := connection.tls) is not None:
        from anyio.streams.tls import TLSAttribute

        attributes[TLSAttribute.peer_certificate] = lambda: tls.getpeercert(False)
        attributes[TLSAttribute.peer_certificate_binary] = lambda: tls.getpeercert(True)
    return attributes


async def refuse_websocket(
    scope: Scope, receive: AsgiReceive, send: AsgiSend, status: int, problem: str
) -> None:
    """Refuse to open a WebSocket.

    Args:
        scope: of its request.
        receive: gives its events.
        send: takes the answer.
        status: the HTTP status, 403 where the ASGI server knows no other.
        problem: one short sentence, in the body.
    """
    await receive()
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close"})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": f"{problem}\n".encode()})
