"""WebSockets that a web program hands to a server: as many as one of its listeners would take."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import anyio
from msgspec import structs

from ..channel.contract import Serve
from ..channel.refusing import Refuser
from ..channel.web import AsgiReceive, AsgiSend, Scope, WebRules, client_network, refuse_websocket
from ..protocol.limits import Limits
from ..protocol.network import Seats

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

logger = logging.getLogger("jsonrpc_iot.server")


def rules_for(
    scope: Scope,
    max_message: int,
    token: str | None,
    cors: str | Sequence[str],
    hosts: Sequence[str],
    *,
    forwarded: bool,
) -> WebRules:
    """What holds for a WebSocket; see `Server.add_websocket`."""
    return WebRules(
        path=scope["path"],
        max_message=max_message,
        token=token,
        cors=(cors,) if isinstance(cors, str) else tuple(cors),
        hosts=tuple(hosts),
        forwarded=forwarded,
    )


class Guests:
    """Those that a server has.

    Args:
        handler: is run with the channel of each.
        tasks: runs it.
        limits: of which `peers` and `receive_bytes` are used here. When all places are taken, who
            has more of them gives way to who has fewer.
    """

    def __init__(self, handler: Serve, tasks: "TaskGroup", limits: Limits) -> None:
        self._handler = handler
        self._tasks = tasks
        self._limits = limits
        self._seats: Seats[anyio.CancelScope] = Seats(
            limits.peers,
            lambda place: place.cancel(),
            lambda problem: logger.warning("WebSockets of the program: %s", problem),
        )
        self._told: set[str] = set()
        self._refuser = Refuser(limits)

    async def serve(
        self, scope: Scope, receive: AsgiReceive, send: AsgiSend, rules: WebRules
    ) -> None:
        """Serve one until it ends, or refuse it.

        Args:
            scope: of its request.
            receive: gives its events.
            send: takes them.
            rules: say who may connect; all guests are counted together.
        """
        from ..transports.web.websocket_server import answer_websocket

        rules = structs.replace(rules, told=self._told, refuser=self._refuser)
        with anyio.CancelScope() as place:
            if not self._seats.take(place, client_network(scope)):
                await refuse_websocket(scope, receive, send, 503, "Too many connections")
                return
            try:
                await answer_websocket(
                    scope, receive, send, self._handler, self._tasks, rules, self._limits
                )
            finally:
                self._seats.leave(place)
