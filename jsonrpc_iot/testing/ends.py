"""Both ends of a link at once: a dispatcher served on one, a client on the other."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from ..channel.contract import Channel
from ..client.client import Client
from ..client.connecting import connect
from ..dispatch.dispatcher import Dispatcher
from ..peer.peer import Peer
from ..protocol.limits import Limits
from ..server.serving import serve


class Ends(NamedTuple):
    """Both ends of one served channel.

    Args:
        client: calls.
        server: answers; it can call and notify as well.
    """

    client: Client
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

    Calls that still run when the block ends are cancelled at once.

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
    async with (
        serve(dispatcher, server, limits=limits, grace=0) as device,
        connect(
            client, dispatcher=client_dispatcher, extensions=extensions, limits=limits
        ) as caller,
    ):
        (peer,) = device.peers
        yield Ends(caller, peer)
