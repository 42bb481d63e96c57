"""What answers requests of the web is to the listeners that bring them: an ASGI application."""

import hmac
import logging
from abc import abstractmethod
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from typing import Any

from anyio import TypedAttributeSet, typed_attribute
from msgspec import Struct, field

from ..protocol.about import about
from ..protocol.network import network_of
from .contract import Listener
from .info import ChannelAttribute
from .origins import is_ours, is_same
from .refusing import Refuser

logger = logging.getLogger("jsonrpc_iot.transports")

Scope = MutableMapping[str, Any]
AsgiReceive = Callable[[], Awaitable[MutableMapping[str, Any]]]
AsgiSend = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, AsgiReceive, AsgiSend], Awaitable[None]]
"""An application as web servers run it (asgi.readthedocs.io, version 3)."""

TOKEN_PROTOCOL = "token."
"""What a WebSocket's subprotocol begins with that is a bearer token: all that a page can send."""

CONSOLE_FOLDER = ".console"
"""Where the parts of the console are, below its path. No name of a device or method is like it."""

_MOST_TOLD = 100  # what else is refused is not logged: strangers make up names without end


class WebRules(Struct, frozen=True, kw_only=True):
    """What the URL of a web listener says of the requests to it.

    Args:
        path: where they go.
        max_message: bytes of the largest reply.
        token: the bearer token that every request must have, `None` if it need not have one.
        cors: the origins whose pages may call it from a browser, `*` for all. Pages of the server's
            own address always may.
        hosts: names under which it may be asked, `*` for any, beside addresses, names of this
            machine and names without a dot. With a token or TLS any will do: who has another name
            has neither.
        forwarded: it is behind a proxy that says in `X-Forwarded-Host` how it was asked itself.
        told: what was refused, and the log told of.
        refuser: has those wait for their answer who bring another token.
    """

    path: str
    max_message: int
    token: str | None = None
    cors: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    forwarded: bool = False
    told: set[str] = field(default_factory=set)
    refuser: Refuser = field(default_factory=Refuser)

    def admits(self, token: str | None) -> bool:
        """Whether a request with that token may come in."""
        if self.token is None:
            return True
        if not self.token:  # a secret that somebody failed to give lets nobody in
            return False
        return hmac.compare_digest(
            self.token.encode(), (token or "").encode(errors="surrogatepass")
        )

    @property
    def is_open(self) -> bool:
        """Whether it does not matter whose page sends a request."""
        return "*" in self.cors or self.token is not None

    def objection(self, scope: Scope) -> str | None:
        """Why a request may not come in because of whose page sends it, or under which name.

        Args:
            scope: the request's.

        Returns:
            One sentence, which is logged too; `None` if it may.
        """
        headers = dict(scope["headers"])
        host, origin = (headers.get(name, b"").decode("latin-1") for name in (b"host", b"origin"))
        outside = headers.get(b"x-forwarded-host", b"") if self.forwarded else b""
        seen = outside.decode("latin-1").partition(",")[0].strip() or host
        is_own_page = origin != "" and is_same(origin, seen)
        # A page under TLS has shown a certificate for its name, at a proxy if not here.
        is_secure = scope.get("scheme") in ("https", "wss") or (
            is_own_page and origin.startswith("https://")
        )
        for name in (host, seen) if self.token is None and not is_secure else ():
            if name and not is_ours(name, self.hosts):
                return self._refuse(scope, f"{name!r} is no name of this server: see hosts")
        if not origin or "*" in self.cors or origin in self.cors or is_own_page:
            return None
        if self.token is not None and scope["type"] == "http":  # a page does not have it by itself
            return None
        return self._refuse(scope, f"pages of {origin!r} may not ask this server: see cors")

    def __repr__(self) -> str:
        """Without the token, which would get into logs."""
        return f"WebRules({self.path!r})"

    def _refuse(self, scope: Scope, problem: str) -> str:
        if problem not in self.told and len(self.told) < _MOST_TOLD:
            self.told.add(problem)
            path, client = scope["path"], scope.get("client")
            logger.warning("%s: refused %s: %s", path, client, problem, extra=about(client))
        return problem


class WebAttribute(TypedAttributeSet):
    """Facts about requests of the web that are for the package alone.

    Attributes:
        is_url_token: the bearer token is the one that the server's URL demands, of which no keyring
            has to know.
    """

    is_url_token: bool = typed_attribute()


class WebListener(Listener):
    """A listener whose requests are answered one by one, by an application, not over channels."""

    @property
    @abstractmethod
    def rules(self) -> WebRules:
        """What holds for its requests."""

    @abstractmethod
    def at_root(self, name: str) -> "WebListener | None":
        """A listener for `/NAME` of this one's address, with its rules; `None` if there is one."""

    @abstractmethod
    def mount(self, app: AsgiApp) -> None:
        """Have an application answer the requests; to be called before `serve`."""


def client_network(scope: Scope) -> str:
    """The client's network, empty where the web server does not know where it is."""
    client = scope.get("client")
    return _network_of(client[0] or "") if client else ""


_network_of = lru_cache(maxsize=1024)(network_of)


def bearer_token(authorization: bytes | None) -> str | None:
    """The token of an Authorization header (RFC 6750, section 2.1)."""
    if authorization is None:
        return None
    kind, _, token = authorization.partition(b" ")
    return token.strip().decode("latin-1") if kind.lower() == b"bearer" else None


def token_of(scope: Scope) -> str | None:
    """The bearer token that a request brings, in a header or as a WebSocket's subprotocol."""
    token = bearer_token(dict(scope["headers"]).get(b"authorization"))
    if token is None and scope["type"] == "websocket":
        for offered in scope.get("subprotocols", ()):
            if offered.startswith(TOKEN_PROTOCOL):
                return str(offered.removeprefix(TOKEN_PROTOCOL))
    return token


def request_attributes(
    scope: Scope, token: str | None, rules: WebRules
) -> dict[Any, Callable[[], Any]]:
    """What `extra` tells of a request: its bearer token, and its client's certificate.

    Args:
        scope: the request's.
        token: what it has brought; the rules admit it.
        rules: what the URL says.
    """
    attributes: dict[Any, Callable[[], Any]] = {}
    if token is not None:
        attributes[ChannelAttribute.bearer_token] = lambda: token
        attributes[WebAttribute.is_url_token] = lambda: rules.token is not None
    connection = scope.get("state", {}).get("jsonrpc_iot")
    if connection is not None and (tls := connection.tls) is not None:
        from anyio.streams.tls import TLSAttribute

        attributes[TLSAttribute.peer_certificate] = lambda: tls.getpeercert(False)
        attributes[TLSAttribute.peer_certificate_binary] = lambda: tls.getpeercert(True)
    return attributes


async def send_response(
    send: AsgiSend, status: int, headers: list[tuple[bytes, bytes]], body: bytes = b""
) -> None:
    """Send a whole response of HTTP, with these headers and no others."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def refuse_request(send: AsgiSend, status: int, problem: str) -> None:
    """Refuse a request of HTTP.

    Args:
        send: takes the answer.
        status: the HTTP status. With 400 the connection ends.
        problem: one short sentence, in the body.
    """
    body = f"{problem}\n".encode()
    headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"text/plain")]
    if status == 400:
        headers.append((b"connection", b"close"))
    await send_response(send, status, headers, body)


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
    await deny_websocket(scope, send, status, problem)


async def deny_websocket(scope: Scope, send: AsgiSend, status: int, problem: str) -> None:
    """Refuse to open a WebSocket whose request has been received; see `refuse_websocket`."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close"})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": f"{problem}\n".encode()})
