"""`http://HOST:PORT/path` and `https://…`: POSTs and server-sent events.

Serving is done by uvicorn, on asyncio; what answers is an application that the server mounts. A
client is `HttpChannel`, on any event loop.
"""

from anyio.abc import TaskGroup
from msgspec import structs

from ...channel.contract import Channel, Listener, Serve
from ...channel.url import Url
from ...channel.web import AsgiApp, WebListener
from ...protocol.limits import Limits
from ..requirements import require_extra
from ..secrets import read_secret
from ..sockets.tls import load_context, read_options
from .address import Address, AddressListener, bind
from .options import HttpOptions


def read_url(url: Url) -> HttpOptions:
    """What a URL to connect to says; raises `InvalidUrl`."""
    return read_options(url, HttpOptions)


async def connect(url: Url, limits: Limits) -> Channel:
    """Reach a server, and subscribe to its events where it has such."""
    require_extra(url, "HTTP needs", "http", "httpx2")
    from .http_connect import open_channel

    options = read_url(url)
    context = load_context(url, options, server=False)
    return await open_channel(url, limits, options, read_secret(url, "token"), context)


async def listen(url: Url, limits: Limits) -> Listener:
    """Bind an address, for this URL and others."""
    return await bind(url, read_options(url, HttpOptions), limits, listen_at)


def listen_at(url: Url, address: Address) -> "HttpListener | None":
    """A listener at an address that is bound already, `None` if it is another one than the URL's.

    Raises:
        InvalidUrl: the URL makes no sense there.
    """
    rules = read_options(url, HttpOptions).rules(url)
    return HttpListener(address, url, rules) if address.reserve(url, "http") else None


class HttpListener(AddressListener, WebListener):
    """A listener whose requests an application answers."""

    kind = "http"

    def at_root(self, name: str) -> WebListener | None:
        """A listener for a path of its own; see `WebListener.at_root`."""
        return listen_at(structs.replace(self._url, path=f"/{name}"), self._address)

    def mount(self, app: AsgiApp) -> None:
        """Have an application answer the requests."""
        self._address.route(self._url, "http", app)

    async def serve(self, handler: Serve, task_group: TaskGroup) -> None:
        """Accept until cancelled; there are no channels for the handler."""
        await self._address.serve(task_group)
