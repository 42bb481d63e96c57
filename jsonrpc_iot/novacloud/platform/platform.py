"""The NovaCloud platform: the TCP server that devices connect to.

`NovaPlatform` puts the parts together: `admission` lets devices in, `presence` knows who is there,
`ingest` stores what they report, `commands` follows commands. What people and programs ask of it
is `management`.
"""

import logging
import ssl
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from copy import copy
from ipaddress import ip_address
from math import inf
from typing import Any, Self

import anyio
from anyio.abc import ByteStream, SocketAttribute, TaskGroup

from jsonrpc_iot import BindFailed, Event
from jsonrpc_iot.protocol.network import network_of
from jsonrpc_iot.transports.sockets.listener import accept, set_options
from jsonrpc_iot.transports.sockets.stream import SocketStream

from ..errors import StoreFailed
from ..kernel import set_patience
from ..messages import DEFAULT_PORT
from ..store.store import Store
from ..token_bucket import TokenBucket
from .admission import Admission
from .command_states import CommandStates
from .commands import OpenCommands
from .connection import GONE, DeviceConnection
from .counts import Counts
from .custody import Custody
from .descriptors import room_for_devices
from .door import Door
from .ingest import Ingest, Telemetry
from .news import News
from .open_command import CommandUpdate
from .permissions import READ
from .presence import Offline, Online, Presence
from .reading import Reading
from .session import DeviceSession
from .settings import PlatformSettings
from .shared_commands import SharedCommands
from .tls import Untrusted, secure, subject_name

logger = logging.getLogger("jsonrpc_iot.novacloud")

_BACKLOG = 4096
_LAST_WRITE_SECONDS = 5.0
_WARN_SECONDS = 60.0
_FEW = 1000

Entered = tuple[DeviceSession, Sequence[bytes | None]]
"""Who is authenticated, and lines that came with that."""


class NovaPlatform:
    """A platform, while the `async with` block runs.

    Its events may be subscribed to in the same process; `management` sends them to its callers.

    Args:
        store: is opened and closed with the platform.
        host: the address to listen on.
        port: 0 takes a free one.
        tls: has devices connect with TLS.
        certificates: devices prove who they are by a certificate, whose subject's common name is
            their id, and not by their key; `tls` asks for one, and says whose to trust. Where it
            does not demand one, a device without learns why it is refused.
        settings: limits and times.

    Attributes:
        counts: what it has counted so far.

    Raises:
        ValueError: with `certificates`, `tls` asks for none.
    """

    device_online = Event[Online]("device.online", requires=READ)
    device_offline = Event[Offline]("device.offline", requires=READ)
    telemetry = Event[Telemetry]("telemetry", requires=READ)
    command_update = Event[CommandUpdate]("command.update", requires=READ)

    def __init__(
        self,
        store: Store,
        *,
        host: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
        tls: ssl.SSLContext | None = None,
        certificates: bool = False,
        settings: PlatformSettings = PlatformSettings(),  # noqa: B008  # nobody changes it
    ) -> None:
        _check_asking(tls, certificates)
        self.store = store
        self.settings = settings = copy(settings)
        self.counts = Counts()
        self.presence = Presence(store, settings, self.device_online.emit, self.device_offline.emit)
        self.custody = Custody()
        self._states = CommandStates(store, self.custody)
        self.ingest = Ingest(store, self._states, settings, self.counts, self.telemetry.emit)
        self.commands = OpenCommands(
            store,
            settings,
            self.counts,
            self._states,
            self.presence,
            self.custody,
            self.command_update.emit,
            self.now,
        )
        self.shared_commands = SharedCommands(
            store, self.commands, self._states, self.custody, self.now
        )
        self.news = News(store)
        self._admission = Admission(store, settings, self.presence, self.counts)
        self._reading = Reading(settings, self.counts, self.presence, self.ingest, self.commands)
        self._host = host
        self._port = port
        self._tls = tls
        self._certificates = certificates
        self._urls: list[str] = []
        self._stack = AsyncExitStack()
        self._connections: TaskGroup
        self._door = Door(settings.unauthenticated)
        self._open = 0
        self._most = room_for_devices()
        self._warned = -inf
        self._closed = anyio.Event()

    def now(self) -> float:
        """The time of day that counts, in Unix seconds."""
        return time.time()

    @property
    def urls(self) -> Sequence[str]:
        """Where devices connect, as `novacloud://HOST:PORT`."""
        return self._urls

    @property
    def port(self) -> int:
        """The port that devices connect to."""
        return self._port

    @property
    def open_connections(self) -> int:
        """Connections that are open now, those that are not authenticated included."""
        return self._open

    async def __aenter__(self) -> Self:
        """Open the store and listen.

        Raises:
            BindFailed: the port cannot be had.
            StoreFailed: the store cannot be opened.
        """
        async with AsyncExitStack() as stack:
            level = logging.WARNING if self._most < _FEW else logging.INFO
            logger.log(level, "there is room for %.0f devices: the limit of open files", self._most)
            await stack.enter_async_context(self.store)
            await self.commands.load()
            listeners = await self._bind(stack)
            background = await stack.enter_async_context(anyio.create_task_group())
            for run in (self.ingest.run, self.presence.run, self.commands.run):
                background.start_soon(run)
            stack.push_async_callback(self._finish, background)
            self._connections = await stack.enter_async_context(anyio.create_task_group())
            stack.callback(self._connections.cancel_scope.cancel)
            for listener in listeners:
                self._connections.start_soon(self._accept, listener)
            self._stack = stack.pop_all()
        return self

    def renew(
        self, *, settings: PlatformSettings | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        """Go on with other limits and times, or other certificates.

        Args:
            settings: for connections to come and for those that are there, except that their next
                write that waits for the system goes by the old `write_seconds`.
            tls: for connections to come.

        Raises:
            ValueError: the platform began without TLS, or devices need certificates for which this
                one does not ask.
        """
        if tls is not None:
            if self._tls is None:
                raise ValueError("the platform began without TLS")
            _check_asking(tls, self._certificates)
            self._tls = tls
        if settings is not None:
            for name in PlatformSettings.__struct_fields__:
                setattr(self.settings, name, getattr(settings, name))
            self._door.resize(settings.unauthenticated)
            for session in self.presence.sessions.values():
                session.connection.resize(settings.line)
                session.tokens = TokenBucket(settings.messages_per_second, settings.burst)

    async def __aexit__(self, *failure: object) -> None:
        """Close all connections, store what has come, and close the store."""
        await self._stack.aclose()  # the failure goes on by itself, in no group

    async def _bind(self, stack: AsyncExitStack) -> list[Any]:
        url = f"novacloud://{_bracketed(self._host)}:{self._port}"
        try:
            bound = await anyio.create_tcp_listener(
                local_host=self._host, local_port=self._port, backlog=_BACKLOG
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise BindFailed(f"{url}: {reason}") from error
        await stack.enter_async_context(bound)
        for listener in bound.listeners:
            address: Any = listener.extra(SocketAttribute.local_address)
            host, self._port = address[:2]
            self._urls.append(f"novacloud://{_bracketed(host)}:{self._port}")
            if self._tls is None and not ip_address(host.partition("%")[0]).is_loopback:
                logger.warning("%s: keys of devices travel without TLS", self._urls[-1])
        return list(bound.listeners)

    async def _finish(self, background: TaskGroup) -> None:
        """Store what the connections have left behind."""
        with anyio.move_on_after(_LAST_WRITE_SECONDS, shield=True):
            for session in list(self.presence.sessions.values()):
                self.presence.leave(session, "the platform stops")
            try:
                await self.presence.save()
            except StoreFailed as error:
                logger.error("the times of last messages are lost: %s", error)
            self.ingest.close()
            await self.ingest.finished.wait()
        background.cancel_scope.cancel()

    async def _accept(self, listener: Any) -> None:
        listening = listener.extra(SocketAttribute.raw_socket)
        while True:
            await self._door.wait_for_room()
            await self._wait_for_descriptors()
            stream = SocketStream(await accept(listening, self._urls[0], logger))
            self._open += 1
            self.counts.connections += 1
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
            set_patience(stream, self.settings.write_seconds)
            entered = None
            if turn is not None:
                with place:
                    entered = await self._let_in(stream, place, turn)
            if entered is not None:
                await self._run(*entered)
        except GONE:
            pass
        except Exception:
            logger.exception("a connection failed")
        finally:
            await anyio.aclose_forcefully(stream)
            self._open -= 1
            self._closed.set()

    async def _wait_for_descriptors(self) -> None:
        """Leave the last files that may be opened to the database and the management."""
        while self._open >= self._most:
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
            carrier: ByteStream = stream
            connection: DeviceConnection | None = None
            with anyio.move_on_after(self.settings.auth_seconds) as patience:
                if self._tls is not None:
                    carrier = await secure(stream, self._tls)
                subject = subject_name(carrier) if self._certificates else None
                connection = DeviceConnection(carrier, host, self._connections, self.settings)
                entered = await self._admission.admit(connection, host, subject)
                if entered is None:
                    await connection.part()
            if patience.cancelled_caught and connection is not None and not connection.named:
                self._admission.give_up(connection, host)
                await connection.part()
            return entered
        except Untrusted as error:
            self._admission.refuse(str(error), host)
            return None
        finally:
            self._door.leave(place, network_of(host), passed=entered is not None)

    async def _run(self, session: DeviceSession, lines: Sequence[bytes | None]) -> None:
        """Serve an authenticated device."""
        connection = session.connection
        old = self.presence.join(session)
        if old is not None:
            self.commands.release(old, replaced=True)
        try:
            await self._reading.read(session, lines)
            if self.commands.waits_for(session.device_id):
                self.commands.settle(session)
            while not connection.closed:
                lines = await connection.receive()
                if lines:
                    session.settles = 0.0
                    await self._reading.read(session, lines)
                    self.commands.flush(session)
        finally:
            connection.end()  # the store may be writing, and its acknowledgements come too late
            self.presence.leave(session, connection.closed)
            self.commands.release(session, replaced=False)


def _check_asking(tls: ssl.SSLContext | None, certificates: bool) -> None:
    if certificates and (tls is None or tls.verify_mode is ssl.CERT_NONE):
        raise ValueError("certificates need a `tls` that asks for them")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
