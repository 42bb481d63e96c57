"""Where devices come in: the listeners, a place at the door, the authentication."""

import logging
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from ipaddress import ip_address
from math import inf
from typing import Any, TypeAlias

import anyio
from anyio.abc import ByteStream, SocketAttribute, TaskGroup
from msgspec import Struct

from jsonrpc_iot import BindFailed
from jsonrpc_iot.protocol.network import network_of
from jsonrpc_iot.transports.sockets.listener import accept, set_options
from jsonrpc_iot.transports.sockets.stream import SocketStream

from ..kernel import set_patience
from ..steady import keep_running
from .admission import Admission
from .connection import GONE, DeviceConnection
from .counts import Counts
from .descriptors import room_for_devices
from .door import Door
from .node.term import Term
from .proxy_protocol import NotProxied, read_header
from .session import DeviceSession
from .settings import PlatformSettings
from .tls import Untrusted, secure, subject_name

logger = logging.getLogger("jsonrpc_iot.novacloud")

_BACKLOG = 4096
_WARN_SECONDS = 60.0
_FEW = 1000

Entered: TypeAlias = tuple[DeviceSession, Sequence[bytes | None]]
"""Who is authenticated, and lines that came with that."""


class Where(Struct, frozen=True):
    """Where to listen, and who may come.

    Args:
        host: the address.
        port: 0 takes a free one.
        tls: has devices connect with TLS.
        certificates: devices prove who they are by a certificate.
        proxied: connections come through a proxy that says whose they are.
        reuse_port: other processes of this machine listen there as well.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None
    certificates: bool
    proxied: bool
    reuse_port: bool


class Entrance:
    """Listens, and has each device that is let in served.

    Args:
        where: to listen.
        settings: limits and times.
        counts: of the whole platform.
        admission: authenticates.
        term: until when devices may be spoken to.
        serve: serves a session until its connection ends.

    Attributes:
        urls: where devices connect, as `novacloud://HOST:PORT`.
        port: the port that they connect to.
        open: connections that are open now, those that are not authenticated included.
        is_closed: whether nobody is let in any more.

    Raises:
        ValueError: devices need certificates, and `tls` asks for none.
    """

    def __init__(
        self,
        where: Where,
        settings: PlatformSettings,
        counts: Counts,
        admission: Admission,
        term: Term,
        serve: Callable[[DeviceSession, Sequence[bytes | None]], Awaitable[None]],
    ) -> None:
        _check_asking(where.tls, where.certificates)
        self._host = where.host
        self.port = where.port
        self._tls = where.tls
        self._certificates = where.certificates
        self._proxied = where.proxied
        self._reuse_port = where.reuse_port
        self._settings = settings
        self._counts = counts
        self._admission = admission
        self._term = term
        self._serve_session = serve
        self._connections: TaskGroup
        self._door = Door(settings.unauthenticated)
        self._most = room_for_devices()
        self._warned = -inf
        self._closed = anyio.Event()
        self._listeners: Sequence[Any] = ()
        self._listening: list[anyio.CancelScope] = []
        self.urls: list[str] = []
        self.open = 0
        self.is_closed = False

    def renew_tls(self, tls: ssl.SSLContext) -> None:
        """Take another context for connections to come.

        Raises:
            ValueError: it began without TLS, or devices need certificates for which this context
                does not ask.
        """
        if self._tls is None:
            raise ValueError("the platform began without TLS")
        _check_asking(tls, self._certificates)
        self._tls = tls

    def resize(self, unauthenticated: int) -> None:
        """Have more places at the door, or fewer."""
        self._door.resize(unauthenticated)

    async def bind(self, stack: AsyncExitStack) -> list[Any]:
        """Bind the port until a stack is closed; returns the listeners.

        Raises:
            BindFailed: the port cannot be had.
        """
        level = logging.WARNING if self._most < _FEW else logging.INFO
        logger.log(level, "there is room for %.0f devices: the limit of open files", self._most)
        bound = await _listen(self._host, self.port, reuse_port=self._reuse_port)
        await stack.enter_async_context(bound)
        for listener in bound.listeners:
            address: Any = listener.extra(SocketAttribute.local_address)
            host, self.port = address[:2]
            self.urls.append(f"novacloud://{_bracketed(host)}:{self.port}")
            if self._tls is None and not ip_address(host.partition("%")[0]).is_loopback:
                logger.warning("%s: keys of devices travel without TLS", self.urls[-1])
        return list(bound.listeners)

    def start(self, listeners: Sequence[Any], connections: TaskGroup) -> None:
        """Let devices in, each connection a task of a group."""
        self._connections = connections
        self._listeners = listeners
        for listener in listeners:
            connections.start_soon(self._accept, listener)

    async def close(self) -> None:
        """Let nobody in any more; those who are here may stay."""
        self.is_closed = True
        for scope in self._listening:
            scope.cancel()
        for listener in self._listeners:
            await listener.aclose()

    async def _accept(self, listener: Any) -> None:
        with anyio.CancelScope() as scope:
            self._listening.append(scope)
            listening = listener.extra(SocketAttribute.raw_socket)
            await keep_running(partial(self._keep_accepting, listening))

    async def _keep_accepting(self, listening: Any) -> None:
        while True:
            await self._door.wait_for_room()
            await self._wait_for_descriptors()
            stream = SocketStream(await accept(listening, self.urls[0], logger))
            self.open += 1
            self._counts.connections += 1
            place = anyio.CancelScope()
            turn = self._door.come(place, stream.network)
            self._connections.start_soon(self._serve, stream, place, turn)

    async def _serve(
        self, stream: SocketStream, place: anyio.CancelScope, turn: anyio.Event | None
    ) -> None:
        """Serve one connection until it ends, whatever happens on it.

        Args:
            stream: carries its bytes.
            place: at the door; it is cancelled when another network's newcomer needs it.
            turn: is set when it may authenticate; `None` if there is no place.
        """
        try:
            set_options(stream)
            set_patience(stream, self._settings.write_seconds)
            entered = None
            if turn is not None:
                with place:
                    entered = await self._let_in(stream, place, turn)
            if entered is not None:
                await self._serve_session(*entered)
        except GONE:
            pass
        except Exception:
            logger.exception("a connection failed")
        finally:
            await anyio.aclose_forcefully(stream)
            self.open -= 1
            self._closed.set()

    async def _wait_for_descriptors(self) -> None:
        """Leave the last files that may be opened to the database and the management."""
        while self.open >= self._most:
            if anyio.current_time() >= self._warned + _WARN_SECONDS:
                self._warned = anyio.current_time()
                logger.warning("no more than %d devices: the limit of open files", self._most)
            self._closed = anyio.Event()
            await self._closed.wait()

    async def _let_in(
        self, stream: SocketStream, place: anyio.CancelScope, turn: anyio.Event
    ) -> Entered | None:
        """Authenticate a connection when it is its turn."""
        entered, host = None, stream.host
        try:
            await turn.wait()
            if self._proxied:
                host = await self._host_behind(stream)
                # From here on it counts among those of its own network.
                self._door.leave(place, stream.network, passed=True)
                if (turn_there := self._door.come(place, network_of(host))) is None:
                    return None
                await turn_there.wait()
            carrier: ByteStream = stream
            connection: DeviceConnection | None = None
            with anyio.move_on_after(self._settings.auth_seconds) as patience:
                if self._tls is not None:
                    carrier = await secure(stream, self._tls)
                subject = subject_name(carrier) if self._certificates else None
                connection = DeviceConnection(
                    carrier, host, self._connections, self._settings, self._term
                )
                entered = await self._admission.admit(connection, host, subject)
                if entered is None:
                    await connection.part()
            if patience.cancelled_caught and connection is not None and not connection.named:
                self._admission.give_up(connection, host)
                await connection.part()
            return entered
        except NotProxied as error:  # the proxy is set up wrongly, or somebody got past it
            self._admission.refuse(str(error), host, logging.WARNING)
            return None
        except Untrusted as error:
            self._admission.refuse(str(error), host)
            return None
        finally:
            self._door.leave(place, network_of(host), passed=entered is not None)

    async def _host_behind(self, stream: SocketStream) -> str:
        """Whom the proxy names; itself where it names nobody."""
        with anyio.move_on_after(self._settings.auth_seconds):
            return await read_header(stream) or stream.host
        raise NotProxied("no PROXY header comes")


async def free_port(host: str, port: int) -> int:
    """A port that nobody listens on, for processes that are going to share it.

    Args:
        host: the address to listen on.
        port: 0 takes any.

    Raises:
        BindFailed: the port cannot be had.
    """
    async with await _listen(host, port) as bound:
        found: int = bound.extra(SocketAttribute.local_port)
        return found


async def _listen(host: str, port: int, *, reuse_port: bool = False) -> Any:
    try:
        return await anyio.create_tcp_listener(
            local_host=host, local_port=port, backlog=_BACKLOG, reuse_port=reuse_port
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BindFailed(f"novacloud://{_bracketed(host)}:{port}: {reason}") from error


def _check_asking(tls: ssl.SSLContext | None, certificates: bool) -> None:
    if certificates and (tls is None or tls.verify_mode is ssl.CERT_NONE):
        raise ValueError("certificates need a `tls` that asks for them")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
