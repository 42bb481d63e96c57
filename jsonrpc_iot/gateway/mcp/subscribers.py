"""Who wants to know of new notifications, and of other tools.

Since 2026-07-28 the protocol has streams for that, which the library keeps. Before, assistants
subscribed to each resource, and are told on their session.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from mcp import types
from mcp.server.context import ServerRequestContext
from mcp.server.session import ServerSession
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    ResourceUpdated,
    ToolsListChanged,
)

from ...trust.principal import Principal
from .events import Events, uri_of

Context = ServerRequestContext[Any, Any]

_MOST_SESSIONS = 256
_MOST_RESOURCES = 256  # of one session
_CHANGED = "gateway.changed"


class _Session:
    """An assistant on an older session.

    Args:
        session: leads to it.
        principal: who it is.
    """

    def __init__(self, session: ServerSession, principal: Principal | None) -> None:
        self.session = session
        self.principal = principal
        self.resources: dict[str, None] = {}


class _Audience:
    """The streams of all assistants that are one principal.

    Args:
        principal: who they are.
    """

    def __init__(self, principal: Principal | None) -> None:
        self.principal = principal
        self.bus = InMemorySubscriptionBus()
        self.listen = ListenHandler(self.bus)


class Subscribers:
    """The assistants that want to be told.

    Args:
        events: what there is to tell.
        principal_of: says who sends a request.
    """

    def __init__(self, events: Events, principal_of: Callable[[Context], Principal | None]) -> None:
        self._events = events
        self._principal_of = principal_of
        self._audiences: dict[str | None, _Audience] = {}
        self._sessions: OrderedDict[int, _Session] = OrderedDict()

    def meet(self, context: Context) -> None:
        """Note an assistant that is to be told when there are other tools."""
        self._session(context)

    async def listen(
        self, context: Context, params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        """Serve a stream of who speaks the protocol of 2026-07-28."""
        principal = self._principal_of(context)
        name = None if principal is None else principal.name
        audience = self._audiences.setdefault(name, _Audience(principal))
        audience.principal = principal
        return await audience.listen(context, params)

    async def subscribe(
        self, context: Context, params: types.SubscribeRequestParams
    ) -> types.EmptyResult:
        """Tell an assistant of a resource from now on."""
        session = self._session(context)
        if session is not None and len(session.resources) < _MOST_RESOURCES:
            session.resources[params.uri] = None
        return types.EmptyResult()

    async def unsubscribe(
        self, context: Context, params: types.UnsubscribeRequestParams
    ) -> types.EmptyResult:
        """Do so no more."""
        session = self._session(context)
        if session is not None:
            session.resources.pop(params.uri, None)
        return types.EmptyResult()

    async def run(self) -> None:
        """Tell of what comes, until cancelled."""
        async for names in self._events.news():
            for audience in tuple(self._audiences.values()):
                for uri in self._uris(names, audience.principal):
                    await audience.bus.publish(ResourceUpdated(uri))
            for each in tuple(self._sessions.values()):
                for uri in self._uris(names, each.principal) & each.resources.keys():
                    await each.session.send_resource_updated(uri)
            if _CHANGED in names:
                await self.tell_of_tools()

    async def tell_of_tools(self) -> None:
        """Tell all that there may be other tools."""
        for audience in tuple(self._audiences.values()):
            await audience.bus.publish(ToolsListChanged())
        for each in tuple(self._sessions.values()):
            await each.session.send_tool_list_changed()

    def _uris(self, names: Sequence[str], principal: Principal | None) -> set[str]:
        return {uri_of(name) for name in names if self._events.may_hear(name, principal)}

    def _session(self, context: Context) -> _Session | None:
        """The session of a request; the library has one object a session for who its client is."""
        client = context.session.client_params
        if client is None:
            return None
        principal = self._principal_of(context)
        session = self._sessions.get(id(client))
        if session is None:
            session = self._sessions[id(client)] = _Session(context.session, principal)
            while len(self._sessions) > _MOST_SESSIONS:
                self._sessions.popitem(last=False)
        session.principal = principal
        self._sessions.move_to_end(id(client))
        return session
