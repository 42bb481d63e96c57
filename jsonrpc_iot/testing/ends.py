"""Both ends of a link at once: a dispatcher served on one, a caller on the other."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import anyio
import anyio.lowlevel

from ..channel import Channel
from ..dispatcher import Dispatcher
from ..peer import Peer, new_session
from ..protocol.limits import DEFAULT_LIMITS, Limits


class Ends(NamedTuple):
    """Both ends of one served channel.

    Args:
        client: calls.
        server: answers; it can call and notify as well.
    """

    client: Peer
    server: Peer


@asynccontextmanager
async def served(
    dispatcher: Dispatcher,
    client: Channel,
    server: Channel,
    *,
    client_dispatcher: Dispatcher | None = None,
    extensions: bool | None = None,
    limits: Limits | None = None,
) -> AsyncIterator[Ends]:
    """Serve a dispatcher at one end of a channel and call it from the other, in the block.

    Args:
        dispatcher: answers at the server's end.
        client: the client's end, which is closed in the end.
        server: the server's end, which is closed in the end.
        client_dispatcher: answers at the client's end; an empty one by default.
        extensions: whether the server's end knows the protocol's extensions; by default it is
            asked.
        limits: bounds for both ends; the dispatcher's by default.
    """
    limits = limits or dispatcher.limits
    answering = client_dispatcher or Dispatcher(limits=DEFAULT_LIMITS)
    async with anyio.create_task_group() as tasks:
        there = Peer(server, dispatcher, new_session(dispatcher, server.info), tasks, limits=limits)
        opened = anyio.Event()
        session = new_session(answering, client.info, extensions=extensions)
        here = Peer(
            client,
            answering,
            session,
            tasks,
            limits=limits,
            probe=True,
            on_open=lambda _: opened.set(),
        )
        tasks.start_soon(there.run)
        tasks.start_soon(here.run)
        await opened.wait()
        yield Ends(here, there)
        tasks.cancel_scope.cancel()
