"""Listening stream sockets: accepting, whatever happens, and no more peers than allowed."""

import logging
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

import anyio
from anyio.abc import SocketAttribute, TaskGroup

from ...channel.contract import Channel, Listener, Serve
from ...protocol.network import Seats
from ..poller import Poller
from .stream import SocketStream

logger = logging.getLogger("jsonrpc_iot.transports")

_PAUSE_SECONDS = 0.1
_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}  # seconds, seconds, times

S = TypeVar("S", bound=SocketStream)


class StreamListener(Listener, Generic[S]):
    """Accepts connections on bound sockets.

    Args:
        sockets: one for each address, listening.
        addresses: the URLs that reach them.
        open_channel: makes a channel of an accepted connection; may take its time.
        max_peers: connections that are served at once.
        is_exposed: whether other machines may reach it.
        on_close: is called before the sockets are closed.
        on_reload: reads again what the listener has read from files.
        new_stream: makes a stream of an accepted socket.

    Attributes:
        addresses: as above.
        is_exposed: as above.
    """

    addresses: Sequence[str] = ()
    is_exposed = False

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        addresses: Sequence[str],
        open_channel: Callable[[S], Awaitable[Channel]],
        *,
        max_peers: int,
        is_exposed: bool = False,
        on_close: Callable[[], object] = lambda: None,
        on_reload: Callable[[], object] | None = None,
        new_stream: Callable[[socket.socket], S],
    ) -> None:
        self._sockets = sockets
        self.addresses = addresses
        self.is_exposed = is_exposed
        self._open = open_channel
        self._on_close = on_close
        self._on_reload = on_reload
        self._new_stream = new_stream
        self._closed = False
        self._poller = Poller.where_needed()
        self._scopes: dict[S, anyio.CancelScope] = {}
        self._seats: Seats[S] = Seats(
            max_peers,
            self._displace,
            lambda problem: logger.warning("%s: %s", addresses[0], problem),
        )
        self._leave = self._seats.leave  # one for all

    async def serve(self, handler: Serve, task_group: TaskGroup) -> None:
        """Accept until cancelled; see `Listener.serve`."""
        async with anyio.create_task_group() as accepting:
            if self._poller is not None:
                accepting.start_soon(self._poller.run)
            for listening in self._sockets:
                accepting.start_soon(self._accept, listening, handler, task_group)

    @property
    def drops(self) -> Mapping[str, int]:
        """See `Listener.drops`."""
        return self._seats.drops

    @property
    def reads_files(self) -> bool:
        """Whether there are any; see `Listener.reads_files`."""
        return self._on_reload is not None

    def reload(self) -> None:
        """Read the files again; see `Listener.reload`."""
        if self._on_reload is not None:
            self._on_reload()

    async def aclose(self) -> None:
        """Close the sockets; the accepted connections live on."""
        if not self._closed:
            self._closed = True
            self._on_close()
            for listening in self._sockets:
                anyio.notify_closing(listening)
                _turn_away(listening)
                listening.close()

    async def _accept(
        self, listening: socket.socket, handler: Serve, task_group: TaskGroup
    ) -> None:
        while True:
            raw = await accept(listening, self.addresses[0], logger)
            stream = self._new_stream(raw)
            stream.poller = self._poller
            if self._seats.take(stream, stream.network):
                self._scopes[stream] = anyio.CancelScope()
                task_group.start_soon(self._serve_one, stream, handler)
            else:
                await stream.aclose()

    async def _serve_one(self, stream: S, handler: Serve) -> None:
        scope = self._scopes[stream]
        try:
            with scope:
                await handler(await self._open(stream))
        except Exception as error:  # noqa: BLE001  # one connection's failure is its own
            logger.info("%s: a connection failed: %r", self.addresses[0], error)
            await anyio.aclose_forcefully(stream)
        finally:
            del self._scopes[stream]
            if stream.is_resting:  # somebody will close it
                stream.when_closed(self._leave)
                if scope.cancel_called:  # another one has got its place meanwhile
                    stream.break_off()
            else:
                self._leave(stream)
            if scope.cancelled_caught:
                await anyio.aclose_forcefully(stream)

    def _displace(self, stream: S) -> None:
        """End a connection, whose place another one gets."""
        if scope := self._scopes.get(stream):
            scope.cancel()
        else:
            stream.break_off()


async def accept(listening: socket.socket, name: str, log: logging.Logger) -> socket.socket:
    """Wait for a connection, whatever happens meanwhile.

    Args:
        listening: where it comes.
        name: of the listener, for the log.
        log: is told once of all that fail until one comes.
    """
    failed = False
    while True:
        await anyio.wait_readable(listening)
        try:
            return listening.accept()[0]
        except BlockingIOError:
            continue
        except OSError as error:  # out of descriptors, or the connection is gone already
            if not failed:
                log.warning("%s: cannot accept: %s", name, error)
            failed = True
            await anyio.sleep(_PAUSE_SECONDS)


def _turn_away(listening: socket.socket) -> None:
    """Close what nobody has accepted, in good order: the system would reset it."""
    with suppress(OSError):  # there is nothing more
        while True:
            listening.accept()[0].close()


def set_options(stream: SocketStream) -> None:
    """Send small messages at once, and notice a peer that has vanished."""
    raw = stream.extra(SocketAttribute.raw_socket)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if (option := getattr(socket, name, None)) is not None:
            raw.setsockopt(socket.IPPROTO_TCP, option, value)
