"""Calls to a dispatcher of this program, each in the name of whoever asks."""

import secrets

import anyio
from anyio.abc import TaskGroup, TaskStatus
from msgspec import Struct

from ...client.client import Client
from ...client.connecting import connect
from ...dispatch.dispatcher import Dispatcher
from ...server.serving import serve
from ...trust.principal import Principal


class _Seat(Struct, eq=False):
    """Who has called before, and the way that its calls go."""

    principal: Principal | None
    client: Client
    scope: anyio.CancelScope


class Desk:
    """Where the callers of a dispatcher come.

    Args:
        dispatcher: answers.
        tasks: keep the connections to it.
    """

    def __init__(self, dispatcher: Dispatcher, tasks: TaskGroup) -> None:
        self._dispatcher = dispatcher
        self._tasks = tasks
        self._seats: dict[str | None, _Seat] = {}
        self._lock = anyio.Lock()

    async def client(self, principal: Principal | None) -> Client:
        """A client that may do what somebody may.

        Args:
            principal: who it is, `None` for a stranger. What it may do now holds: calls that it has
                made with other permissions end.
        """
        name = None if principal is None else principal.name
        async with self._lock:
            seat = self._seats.get(name)
            if seat is None or seat.principal != principal:
                if seat is not None:
                    seat.scope.cancel()
                seat = self._seats[name] = await self._tasks.start(self._keep, principal)
            return seat.client

    async def _keep(self, principal: Principal | None, *, task_status: TaskStatus[_Seat]) -> None:
        url = f"memory://assistant-{secrets.token_hex(8)}"
        with anyio.CancelScope() as scope:
            async with (
                serve(self._dispatcher, url, authenticate=lambda channel: principal, grace=0.0),
                connect(url, timeout=None) as client,
            ):
                task_status.started(_Seat(principal, client, scope))
                await anyio.sleep_forever()
