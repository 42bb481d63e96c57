"""Listening stream sockets: accepting, whatever happens, and no more peers than allowed."""

import logging
import socket
from collections.abc import Awaitable, Callable, Sequence

import anyio
from anyio.abc import SocketAttribute, SocketListener, SocketStream, TaskGroup

from ...channel.contract import Channel, Listener, Serve
from ...protocol.network import Seats, network_of

logger = logging.getLogger("jsonrpc_iot.transports")

_PAUSE_SECONDS = 0.1
_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}  # seconds, seconds, times

Open = Callable[[SocketStream], Awaitable[Channel]]


class StreamListener(Listener):
    """Accepts connections on bound sockets.

    Args:
        sockets: one for each address.
        addresses: the URLs that reach them.
        open_channel: makes a channel of an accepted connection; may take its time.
        max_peers: connections that are served at once.
        is_exposed: whether other machines may reach it.
        network: says with whom a connection shares the places that none may take all of; by default
            with those of its host.
        on_close: is called before the sockets are closed.

    Attributes:
        addresses: as above.
        is_exposed: as above.
    """

    addresses: Sequence[str] = ()
    is_exposed = False

    def __init__(
        self,
        sockets: Sequence[SocketListener],
        addresses: Sequence[str],
        open_channel: Open,
        *,
        max_peers: int,
        is_exposed: bool = False,
        network: Callable[[SocketStream], str] | None = None,
        on_close: Callable[[], object] = lambda: None,
    ) -> None:
        self._network = network or _network
        self._sockets = sockets
        self.addresses = addresses
        self.is_exposed = is_exposed
        self._open = open_channel
        self._on_close = on_close
        self._closed = False
        self._seats: Seats[anyio.CancelScope] = Seats(
            max_peers,
            lambda scope: scope.cancel(),
            lambda problem: logger.warning("%s: %s", addresses[0], problem),
        )

    async def serve(self, handler: Serve, task_group: TaskGroup) -> None:
        """Accept until cancelled; see `Listener.serve`."""
        async with anyio.create_task_group() as accepting:
            for listening in self._sockets:
                accepting.start_soon(self._accept, listening, handler, task_group)

    async def aclose(self) -> None:
        """Close the sockets; the accepted connections live on."""
        if not self._closed:
            self._closed = True
            self._on_close()
            for listening in self._sockets:
                await listening.aclose()

    async def _accept(
        self, listening: SocketListener, handler: Serve, task_group: TaskGroup
    ) -> None:
        failed = False
        while True:
            try:
                stream = await listening.accept()
            except (OSError, anyio.BrokenResourceError) as error:
                # Out of descriptors, or the connection is gone already.
                if not failed:  # once for all that fail now
                    logger.warning("%s: cannot accept: %s", self.addresses[0], error)
                failed = True
                await anyio.sleep(_PAUSE_SECONDS)
                continue
            failed = False
            scope = anyio.CancelScope()
            if self._seats.take(scope, self._network(stream)):
                task_group.start_soon(self._serve_one, stream, handler, scope)
            else:
                await stream.aclose()

    async def _serve_one(
        self, stream: SocketStream, handler: Serve, scope: anyio.CancelScope
    ) -> None:
        try:
            with scope:
                await handler(await self._open(stream))
        except Exception as error:  # noqa: BLE001  # one connection's failure is its own
            logger.info("%s: a connection failed: %r", self.addresses[0], error)
            await anyio.aclose_forcefully(stream)
        finally:
            self._seats.leave(scope)
            if scope.cancelled_caught:
                await anyio.aclose_forcefully(stream)


def _network(stream: SocketStream) -> str:
    """Where a connection comes from, empty for one that is gone already."""
    address = stream.extra(SocketAttribute.remote_address, None)
    return network_of(address[0]) if address else ""


def set_options(stream: SocketStream) -> None:
    """Send small messages at once, notice a peer that has vanished, and read only when asked to.

    anyio's stream on asyncio (4.16) takes in whatever comes until a first `receive` has had to
    wait, so a sender that never pauses would fill the memory.
    """
    transport = getattr(stream, "_transport", None)
    if transport is not None:
        transport.pause_reading()
    raw = stream.extra(SocketAttribute.raw_socket)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if (option := getattr(socket, name, None)) is not None:
            raw.setsockopt(socket.IPPROTO_TCP, option, value)
