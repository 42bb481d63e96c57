"""`http://HOST:PORT/path` and `https://…`: POSTs and server-sent events.

Serving is done by uvicorn, on asyncio; what answers is an application that the server mounts. A
client is `HttpChannel`, on any event loop.
"""

import ssl
from typing import Annotated
from urllib.parse import quote

from anyio.abc import TaskGroup
from msgspec import Meta, Struct

from ...channel.contract import Channel, Listener, Serve
from ...channel.url import Url, host_port
from ...channel.web import AsgiApp, WebListener, WebRules
from ...errors import MissingExtra
from ...protocol.limits import Limits
from ..secrets import read_secret
from ..sockets.tls import load_context
from .address import Address, AddressListener, bind, is_tls

MAX_MESSAGE = 16 << 20


class HttpOptions(Struct, frozen=True):
    """Options of an `http://` URL.

    Args:
        max: bytes of the largest message that is sent.
        token: where the bearer token is, `env:NAME` or `file:PATH`. A client sends it, a server
            demands it.
        cors: the origin whose pages may call from a browser, `*` for all; serving only.
    """

    max: Annotated[int, Meta(gt=0)] = MAX_MESSAGE
    token: str | None = None
    cors: str | None = None


class HttpsOptions(HttpOptions, frozen=True):
    """Options of an `https://` URL.

    Args:
        cert: this end's certificate chain, a PEM file; a server must have one.
        key: its private key, if that is not in the same file.
        ca: the authorities to trust. A server that is given them demands a client certificate; a
            client without them trusts the system's.
    """

    cert: str | None = None
    key: str | None = None
    ca: str | None = None


async def connect(url: Url, limits: Limits) -> Channel:
    """Reach a server, and subscribe to its events where it has such."""
    try:
        from .http_client import open_channel
    except ImportError as error:
        raise MissingExtra(f"{url}: HTTP needs: pip install 'jsonrpc-iot[http]'") from error
    options = _read(url)
    context = _context(url, options, server=False)
    if not url.host:
        raise url.error(f"a host is missing, as in {url.scheme}://127.0.0.1:8080/rpc")
    port = url.port if url.port is not None else 443 if is_tls(url) else 80
    place = f"{url.scheme}://{host_port(url.host, port)}{quote(url.path) or '/'}"
    token = read_secret(url, "token")
    return await open_channel(url, place, context, token, options.max, limits)


async def listen(url: Url, limits: Limits) -> Listener:
    """Bind an address, for this URL and others."""
    options = _read(url)
    rules = _rules(url, options)
    address = await bind(url, _context(url, options, server=True), limits)
    listener = _reserve(url, rules, address)
    assert listener is not None
    return listener


def listen_at(url: Url, address: Address) -> Listener | None:
    """A listener at an address that is bound already, `None` if it is another one than the URL's.

    Raises:
        InvalidUrl: the URL makes no sense there.
    """
    return _reserve(url, _rules(url, _read(url)), address)


class HttpListener(AddressListener, WebListener):
    """A listener whose requests an application answers.

    Args:
        address: bound; the listener has reserved its path there.
        url: where it listens.
        rules: what the URL says of requests.
    """

    def __init__(self, address: Address, url: Url, rules: WebRules) -> None:
        super().__init__(address, url, "http", has_token=rules.token is not None)
        self._rules = rules

    @property
    def rules(self) -> WebRules:
        """What holds for its requests."""
        return self._rules

    def mount(self, app: AsgiApp) -> None:
        """Have an application answer the requests."""
        self._address.route(self._url, self._kind, app)

    async def serve(self, handler: Serve, task_group: TaskGroup) -> None:
        """Accept until cancelled; there are no channels for the handler."""
        await self._address.serve(task_group)


def _reserve(url: Url, rules: WebRules, address: Address) -> HttpListener | None:
    return HttpListener(address, url, rules) if address.reserve(url, "http") else None


def _rules(url: Url, options: HttpOptions) -> WebRules:
    return WebRules(
        path=url.path,
        max_message=options.max,
        token=read_secret(url, "token"),
        cors=options.cors,
    )


def _read(url: Url) -> HttpOptions:
    return url.read_options(HttpsOptions if is_tls(url) else HttpOptions)


def _context(url: Url, options: HttpOptions, *, server: bool) -> ssl.SSLContext | None:
    if not isinstance(options, HttpsOptions):
        return None
    return load_context(url, options, server=server)
