"""What `http://` and `ws://` share when they are served: one server for all URLs of an address."""

import socket
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar, Literal
from urllib.parse import urlsplit

import anyio
from anyio.abc import SocketAttribute, TaskGroup
from msgspec import structs

from ...channel.contract import Listener, Serve
from ...channel.url import Url, place_of
from ...channel.web import (
    CONSOLE_FOLDER,
    AsgiApp,
    AsgiReceive,
    AsgiSend,
    Scope,
    WebRules,
    refuse_request,
    refuse_websocket,
)
from ...errors import BindFailed
from ...protocol.limits import Limits
from ..requirements import require_asyncio, require_extra
from ..sockets.server_tls import ServerTls, server_tls
from ..sockets.tls import TlsOptions, is_tls, reason
from .options import WebOptions, host_and_port

if TYPE_CHECKING:
    from .uvicorn_http import WebServer

Kind = Literal["http", "websocket"]

_BACKLOG = 4096

ListenAt = Callable[[Url, "Address"], Listener | None]


class Address:
    """One bound address, and what answers there.

    Args:
        url: the first one that asked for it.
        sockets: bound.
        tls: secures it, `None` without TLS.
        limits: bounds on what clients may cost.
    """

    def __init__(
        self,
        url: Url,
        sockets: Sequence[socket.socket],
        tls: ServerTls | None,
        limits: Limits,
    ) -> None:
        self._url = url
        self._sockets = sockets
        self._places = [place_of(each.getsockname()) for each in sockets]
        self._tls = tls
        self.limits = limits
        self._routes: dict[tuple[Kind, str], AsgiApp | None] = {}
        self._users = 0
        self._server: WebServer | None = None

    @property
    def is_authenticating(self) -> bool:
        """Whether clients must have a certificate."""
        return self._tls is not None and self._tls.demands_certificate

    @property
    def reads_files(self) -> bool:
        """Whether there are certificates."""
        return self._tls is not None

    @property
    def drops(self) -> Mapping[str, int]:
        """How many connections were refused, by reason; see `channel.drops`."""
        return {} if self._server is None else self._server.drops

    def is_first(self, url: Url) -> bool:
        """Whether a URL is the first one of this address."""
        return url is self._url

    def reload(self) -> None:
        """Read the certificates again."""
        if self._tls is not None:
            self._tls.reload()

    def urls(self, url: Url) -> list[str]:
        """The URLs that reach a URL's path here."""
        return [f"{url.scheme}://{place}{url.path}" for place in self._places]

    def reserve(self, url: Url, kind: Kind) -> bool:
        """Take a URL's path, if it is of this address and free.

        Raises:
            InvalidUrl: its certificates are others than those of the address.
        """
        mine = self._url
        place = kind, route_path(url)
        if (url.host, url.port, is_tls(url)) != (mine.host, mine.port, is_tls(mine)):
            return False
        if place in self._routes:
            return False
        for name in TlsOptions.__struct_fields__:
            if url.options.get(name, mine.options.get(name)) != mine.options.get(name):
                raise url.error(f"{name} is another one than that of {mine}")
        self._routes[place] = None
        self._users += 1
        return True

    def route(self, url: Url, kind: Kind, app: AsgiApp) -> None:
        """Have an application answer at a URL's path, for HTTP also below it."""
        self._routes[kind, route_path(url)] = app

    async def serve(self, tasks: TaskGroup) -> None:
        """Accept until cancelled; whoever comes first runs the server for all."""
        from .uvicorn_http import WebServer

        if self._server is None:
            takes_websockets = any(kind == "websocket" for kind, _ in self._routes)
            self._server = WebServer(
                self._answer,
                self._sockets,
                self._tls,
                self.limits,
                websockets=takes_websockets,
            )
            tasks.start_soon(self._server.run)
        await anyio.sleep_forever()

    def release(self, url: Url, kind: Kind, *, for_others: bool) -> None:
        """Give up one URL; with the last one the address is closed.

        Args:
            url: as it was reserved.
            kind: as well.
            for_others: its path may be taken again; else it goes on to be answered there.
        """
        if for_others:
            del self._routes[kind, route_path(url)]
        self._users -= 1
        if self._users:
            return
        if self._server is not None:
            self._server.stop_accepting()
        for each in self._sockets:
            each.close()

    async def _answer(self, scope: Scope, receive: AsgiReceive, send: AsgiSend) -> None:
        if not scope["path"].startswith("/"):  # a whole URL (RFC 9112, 3.2.2)
            with suppress(ValueError):  # what is none has no path that is known
                scope["path"] = urlsplit(scope["path"]).path
        kind, path = scope["type"], scope["path"].rstrip("/")
        names = {name for name, _ in scope["headers"]}
        app = self._routes.get((kind, path))
        if app is None and kind == "http":
            above, is_deep, _ = path.partition(f"/{CONSOLE_FOLDER}/")
            above = above if is_deep else path.rpartition("/")[0]
            app = self._routes.get((kind, above))
        if {b"content-length", b"transfer-encoding"} <= names:
            # Somebody in between may have read it as two requests, of which we were to run one.
            await refuse_request(send, 400, "A body has one length")
        elif app is not None:
            await app(scope, receive, send)
        elif kind == "websocket":
            await refuse_websocket(scope, receive, send, 404, "Not found")
        else:
            await refuse_request(send, 404, "Not found")


class AddressListener(Listener):
    """A listener for one URL of an address. `http` and `websocket` each have one, of one kind.

    Args:
        address: bound; the listener has reserved its path there.
        url: where it listens.
        rules: what the URL says of requests.
    """

    kind: ClassVar[Kind]

    def __init__(self, address: Address, url: Url, rules: WebRules) -> None:
        self._address = address
        self._url = url
        self._rules = rules
        self._closed = False
        self._is_below = False

    @property
    def rules(self) -> WebRules:
        """What holds for its requests."""
        return self._rules

    @property
    def addresses(self) -> Sequence[str]:
        """The URLs that reach this listener."""
        return self._address.urls(self._url)

    @property
    def is_exposed(self) -> bool:
        """Whether other machines may reach it without authentication."""
        authenticates = self._rules.token is not None or self._address.is_authenticating
        return self._url.is_exposed and not authenticates

    def beside(self, url: str) -> Listener | None:
        """A listener for another URL of the same address, if its scheme is `http` or `ws`."""
        parsed = Url.parse(url)
        if parsed.scheme not in ("http", "https", "ws", "wss"):
            return None
        return self._listen_at(parsed)

    @property
    def drops(self) -> Mapping[str, int]:
        """See `Listener.drops`; what is the address's, the first listener tells."""
        return self._address.drops if self._address.is_first(self._url) else {}

    @property
    def has_places(self) -> bool:
        """Say yes; see `Listener.has_places`."""
        return True

    async def below(self, name: str) -> Listener | None:
        """A listener one step below; see `Listener.below`."""
        url = structs.replace(self._url, path=f"{route_path(self._url)}/{name}")
        listener = self._listen_at(url)
        if not isinstance(listener, AddressListener):
            raise BindFailed(f"{url}: somebody listens there already")
        listener._is_below = True
        return listener

    def _listen_at(self, url: Url) -> Listener | None:
        from .. import find_transport

        listen_at = getattr(find_transport(url), "listen_at", None)
        found: Listener | None = None if listen_at is None else listen_at(url, self._address)
        return found

    @property
    def reads_files(self) -> bool:
        """Whether there are certificates; see `Listener.reads_files`."""
        return self._address.reads_files

    def reload(self) -> None:
        """Read the certificates again; see `Listener.reload`."""
        self._address.reload()

    @abstractmethod
    async def serve(self, handler: Serve, task_group: TaskGroup) -> None:
        """Accept until cancelled; see `Listener.serve`."""

    async def aclose(self) -> None:
        """Give up the URL; running requests go on."""
        if not self._closed:
            self._closed = True
            self._address.release(self._url, self.kind, for_others=self._is_below)


def route_path(url: Url) -> str:
    """A URL's path as routes have it."""
    return url.path.rstrip("/")


async def bind(url: Url, options: WebOptions, limits: Limits, listen_at: ListenAt) -> Listener:
    """Bind a URL's address.

    Args:
        url: the first one of that address.
        options: of the URL.
        limits: bounds on what clients may cost.
        listen_at: makes the URL's listener.

    Raises:
        BindFailed: it cannot be bound.
        InvalidUrl: it has no host, or its token or certificates cannot be read.
        MissingExtra: the extra `http` is not installed.
        UsageError: the event loop is not asyncio's.
    """
    options.rules(url)  # whether they can be had, before anything is open
    tls = server_tls(url, options)
    instead = "; there an ASGI server such as hypercorn can run asgi_app(dispatcher)"
    require_asyncio(url, "serving HTTP works", instead)
    require_extra(url, "HTTP needs", "http", "h11", "uvicorn", "websockets")
    host, port = host_and_port(url)
    try:
        # anyio knows how to bind a name that has several addresses to one port.
        bound = await anyio.create_tcp_listener(local_host=host, local_port=port, backlog=_BACKLOG)
    except (OSError, ValueError) as error:
        raise BindFailed(f"{url}: {reason(error)}") from error
    async with bound:
        sockets = [_tcp(each.extra(SocketAttribute.raw_socket)) for each in bound.listeners]
    listener = listen_at(url, Address(url, sockets, tls, limits))
    assert listener is not None
    return listener


def _tcp(bound: socket.socket) -> socket.socket:
    """The same socket again, as one that asyncio knows for TCP, so that it sets TCP_NODELAY."""
    copy = bound.dup()
    again = socket.socket(copy.family, copy.type, socket.IPPROTO_TCP, fileno=copy.detach())
    again.setblocking(False)
    return again
