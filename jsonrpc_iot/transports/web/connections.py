"""Accepting connections for uvicorn: a bounded number, shared out between networks.

uvicorn alone counts connections only where a request comes, and has no end of those that say
nothing or are in the middle of a TLS handshake.
"""

import asyncio
import logging
import select
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from ...protocol.about import about
from ...protocol.limits import Limits
from ...protocol.network import Seats, network_of
from ..sockets.server_tls import ServerTls
from .pulse import Pulse

logger = logging.getLogger("jsonrpc_iot.transports")

_PAUSE_SECONDS = 0.1
_REFUSALS = 64  # that are on their way at once; who else comes hears nothing


class Connection:
    """A client's connection, as `scope["state"]["jsonrpc_iot"]`.

    Args:
        pulse: of the event loop.

    Attributes:
        is_welcome: it has a place; else it is to be told that there is none.
        on_lost: callbacks for when the client is gone.
    """

    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse
        self.is_welcome = True
        self.on_lost: set[Callable[[], object]] = set()
        self._transport: asyncio.Transport | None = None
        self._opening: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether it has been opened, whatever became of it."""
        return self._transport is not None

    @property
    def tls(self) -> ssl.SSLObject | None:
        """The connection's TLS, which knows the client's certificate; `None` without TLS."""
        assert self._transport is not None
        found: ssl.SSLObject | None = self._transport.get_extra_info("ssl_object")
        return found

    @property
    def has_hung_up(self) -> bool:
        """Whether the client has gone while this program was held up, which nobody has read yet."""
        assert self._transport is not None
        if not self._pulse.was_held_up(asyncio.get_running_loop().time()):
            return False  # who only says no more still gets an answer
        return _is_closed(self._transport.get_extra_info("socket").fileno())

    def begin(self, opening: "asyncio.Task[None]") -> None:
        """Note what opens it."""
        self._opening = opening

    def made(self, transport: asyncio.Transport) -> None:
        """Note that it is open."""
        self._transport = transport

    def lost(self) -> None:
        """Tell that it is gone."""
        for callback in tuple(self.on_lost):
            callback()

    def abort(self) -> None:
        """End it at once."""
        if self._transport is not None:
            self._transport.abort()
        elif self._opening is not None:
            self._opening.cancel()


def _is_closed(descriptor: int) -> bool:
    """Whether the other end of a socket has closed it; unknown where the system is not Linux."""
    closed = getattr(select, "POLLRDHUP", 0)
    if not closed or descriptor < 0:
        return descriptor < 0
    poll = select.poll()
    poll.register(descriptor, closed)
    return bool(poll.poll(0))


class Connections:
    """Those that clients open at some sockets.

    Args:
        sockets: they listen, and are closed in the end.
        tls: secures them, `None` without TLS.
        limits: of which `peers` and `message_seconds` are used here.
        make_protocol: makes what serves a connection, and tells it of `made` and `lost`.
        pulse: of the event loop.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        tls: ServerTls | None,
        limits: Limits,
        make_protocol: Callable[[Connection], asyncio.Protocol],
        pulse: Pulse,
    ) -> None:
        self._pulse = pulse
        self._sockets = sockets
        self._tls = tls
        self._handshake_seconds = limits.message_seconds
        self._make_protocol = make_protocol
        self._seats: Seats[Connection] = Seats(limits.peers, Connection.abort, self._tell)
        self._refusals: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_out_of_descriptors = False

    @property
    def drops(self) -> dict[str, int]:
        """How many were refused, by reason; see `channel.drops`."""
        return self._seats.drops

    def start(self) -> None:
        """Begin to accept."""
        for each in self._sockets:
            if each.fileno() >= 0:
                self._keep(asyncio.create_task(self._accept(each)))

    def stop(self) -> None:
        """Close the sockets, and end what is not open yet; what is open lives on."""
        loop = asyncio.get_running_loop()
        for task in self._tasks:
            task.cancel()
        for each in self._sockets:
            if each.fileno() >= 0:
                with suppress(NotImplementedError):  # Windows has no readers to remove
                    loop.remove_reader(each)
                each.close()

    def _keep(self, task: "asyncio.Task[None]") -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                accepted, address = await asyncio.get_running_loop().sock_accept(listening)
            except OSError as error:
                await self._recover(error)
                continue
            self._is_out_of_descriptors = False
            connection = Connection(self._pulse)
            if not self._admit(connection, network_of(address[0])):
                accepted.close()
                continue
            opening = asyncio.create_task(self._open(connection, accepted))
            opening.add_done_callback(partial(self._note_opened, connection, accepted))
            connection.begin(opening)
            self._keep(opening)

    async def _recover(self, error: OSError) -> None:
        """Wait: there are no descriptors left, or the connection is gone already."""
        if not self._is_out_of_descriptors:
            self._is_out_of_descriptors = True
            logger.warning("%s: cannot accept: %s", self._name, error, extra=about(self._name))
        await asyncio.sleep(_PAUSE_SECONDS)

    def _admit(self, connection: Connection, network: str) -> bool:
        """Give a connection a place, or let it hear that there is none."""
        if self._seats.take(connection, network):
            connection.on_lost.add(partial(self._seats.leave, connection))
            return True
        if self._tls is not None or len(self._refusals) >= _REFUSALS:
            return False
        connection.is_welcome = False
        self._refusals.add(connection)
        connection.on_lost.add(partial(self._refusals.discard, connection))
        return True

    async def _open(self, connection: Connection, accepted: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                partial(self._make_protocol, connection),
                accepted,
                ssl=self._tls.context if self._tls else None,
                ssl_handshake_timeout=self._handshake_seconds if self._tls else None,
            )
        except OSError as error:
            logger.debug("%s: a connection failed: %r", self._name, error, extra=about(self._name))

    def _note_opened(
        self, connection: Connection, accepted: socket.socket, opening: "asyncio.Task[None]"
    ) -> None:
        if not connection.is_open:
            accepted.close()
            connection.lost()

    @property
    def _name(self) -> str:
        return "{}:{}".format(*self._sockets[0].getsockname()[:2])

    def _tell(self, problem: str) -> None:
        logger.warning("%s: %s", self._name, problem, extra=about(self._name))
