"""MCP over HTTP ("streamable HTTP"), behind the same door as the package's own."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from ...asgi.guarded import GuardedApp
from ...asgi.requester import RequestFacts
from ...channel.door import Door
from ...channel.tasks import task_group
from ...channel.url import Url
from ...channel.web import Scope, WebListener
from ...dispatch.dispatcher import Dispatcher
from ...errors import UsageError
from ...server.exposed import warn_if_open
from ...transports import open_listener
from .service import CALLER

if TYPE_CHECKING:
    from ...channel.contract import Channel
    from ...trust.keyring import Keyring

_MOST_SESSIONS = 1000
_LARGEST_BODY = 4 << 20


@asynccontextmanager
async def serve_http(
    server: Server[Any],
    url: str,
    dispatcher: Dispatcher,
    keyring: "Keyring | None",
    *,
    strangers: bool,
) -> AsyncIterator[Sequence[str]]:
    """Serve at a URL while the block runs; see `Assistant.serve_http`."""
    if Url.parse(url).scheme not in ("http", "https"):
        raise UsageError(f"{url}: assistants come over http:// or https://")
    limits = dispatcher.limits
    manager = StreamableHTTPSessionManager(
        server, max_sessions=_MOST_SESSIONS, max_request_body_size=_LARGEST_BODY
    )
    async with await open_listener(url, limits) as listener, task_group() as tasks:
        assert isinstance(listener, WebListener)
        door = Door(
            None, keyring, strangers=strangers, everybody=dispatcher.everybody, limits=limits
        )
        warn_if_open([url], [listener], door)
        app = GuardedApp(manager.handle_request, listener.rules, door, keyring, _note_caller)
        listener.mount(app)
        async with manager.run():
            tasks.start_soon(listener.serve, _no_channel, tasks)
            try:
                yield listener.addresses
            finally:
                door.refuser.close()
                await app.leave()
                tasks.cancel_scope.cancel()


def _note_caller(scope: Scope, facts: RequestFacts) -> None:
    """Say who sends a request: to the service, and to the library, whose sessions have owners."""
    principal = facts.standing.principal
    scope[CALLER] = principal
    if principal is not None:
        token = AccessToken(token="", client_id=principal.name, scopes=[])
        scope["user"] = AuthenticatedUser(token)


async def _no_channel(channel: "Channel") -> None:
    """Nothing: a listener of HTTP has no channels."""
