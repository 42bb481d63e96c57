"""The NovaCloud platform: the TCP server that devices connect to.

`NovaPlatform` puts the parts together: `entrance` lets devices in, `presence` knows who is there,
`ingest` stores what they report, `commands` follows commands, `cluster` has to do with other nodes.
What people and programs ask of it is `management`.
"""

import logging
import ssl
from collections.abc import Sequence
from contextlib import AsyncExitStack
from copy import copy
from socket import gethostname
from typing import Any, Self

import anyio
from anyio.abc import TaskGroup

from jsonrpc_iot import BoundEvent, Event

from ...protocol.about import about
from ..bus.bus import Bus
from ..bus.local import LocalBus
from ..clock import TimeOfDay
from ..errors import StoreFailed
from ..messages import DEFAULT_PORT
from ..steady import keep_running
from ..store.store import Store
from ..token_bucket import TokenBucket
from .admission import Admission
from .changes import Changes
from .cluster.cluster import Cluster
from .command_states import CommandStates
from .commands import OpenCommands
from .counts import Counts, Heard
from .custody import Custody
from .entrance import Entrance, Where
from .ingest import Ingest, Telemetry
from .lists import Lists, lists_of
from .news import News
from .open_command import CommandUpdate
from .permissions import READ
from .presence import Offline, Online, Presence
from .reading import Reading
from .session import DeviceSession
from .settings import PlatformSettings
from .shared_commands import SharedCommands

logger = logging.getLogger("jsonrpc_iot.novacloud")

_LAST_WRITE_SECONDS = 5.0


class NovaPlatform:
    """A platform, while the `async with` block runs.

    Its events may be subscribed to in the same process: those of devices that are with this node.
    `management` sends its callers those of all nodes.

    Args:
        store: is opened and closed with the platform.
        host: the address to listen on.
        port: 0 takes a free one.
        tls: has devices connect with TLS.
        certificates: devices prove who they are by a certificate, whose subject's common name is
            their id, and not by their key; `tls` asks for one, and says whose to trust. Where it
            does not demand one, a device without learns why it is refused.
        proxied: connections come through a proxy that says whose they are, by the PROXY protocol,
            version 2. It is believed, so nobody else may reach the port.
        reuse_port: other processes of this machine listen on that port, too, and the system shares
            connections out among them.
        settings: limits and times.
        bus: carries hints between the nodes that share the store; is opened and closed with the
            platform.
        node: the name of this one among them; that of the machine by default.

    Attributes:
        counts: what it has counted so far.
        cluster: what it has to do with the other nodes of its store.

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
        proxied: bool = False,
        reuse_port: bool = False,
        settings: PlatformSettings = PlatformSettings(),  # noqa: B008  # nobody changes it
        bus: Bus | None = None,
        node: str | None = None,
    ) -> None:
        self.store = store
        self.settings = settings = copy(settings)
        self.counts = Counts()
        self.time = TimeOfDay()
        self.bus = bus or LocalBus()
        self.cluster = Cluster(
            store.nodes, self.bus, node or gethostname(), self.time, self._events
        )
        self.presence = Presence(
            store,
            settings,
            self.device_online.emit,
            self.device_offline.emit,
            self.cluster.ownership,
            self.time,
        )
        self.custody = Custody()
        self._states = states = CommandStates(store, self.custody)
        self.ingest = Ingest(
            store, states, settings, self.counts, self.telemetry.emit, self.time.now
        )
        self.commands = OpenCommands(
            store,
            settings,
            self.counts,
            states,
            self.presence,
            self.custody,
            self.command_update.emit,
            self.time.now,
        )
        self.shared_commands = SharedCommands(
            store, self.commands, states, self.custody, self.time.now
        )
        self.news = News(store)
        self.changes = Changes(store, self.presence, self.news, self.time)
        self.cluster.attach(self.presence, self.figures, self.changes.refresh, self.shared_commands)
        where = Where(host, port, tls, certificates, proxied, reuse_port)
        admission = Admission(
            store, settings, self.presence, self.counts, self.cluster.ownership, self.time
        )
        self.entrance = Entrance(
            where, settings, self.counts, admission, self.cluster.membership.term, self._run
        )
        self._reading = Reading(settings, self.counts, self.presence, self.ingest, self.commands)
        self._stack = AsyncExitStack()

    @property
    def _events(self) -> Sequence[BoundEvent[Any]]:
        return self.device_online, self.device_offline, self.telemetry, self.command_update

    def figures(self) -> dict[str, int]:
        """What this node has counted, and how many devices it has."""
        sessions = self.presence.sessions.values()
        return {
            "connected": len(sessions),
            "online": sum(session.is_online for session in sessions),
            "flapping_devices": len(self.presence.flapping()),
            **self.counts.totals,
            "ignored_devices": len(self.counts.ignored),
        }

    def _answer_other_nodes(self) -> None:
        answer = self.cluster.questions.answer
        answer("lists", lambda _: self.lists().parts())
        answer("device", lambda device_id: [self.heard(device_id)])

    def lists(self) -> Lists:
        """The devices of this node that stand out."""
        return lists_of(self.counts, self.presence.flapping())

    def heard(self, device_id: str) -> Heard:
        """What this node knows of a device and no record keeps."""
        return Heard(self.presence.last_seen(device_id), self.counts.devices.get(device_id))

    @property
    def urls(self) -> Sequence[str]:
        """Where devices connect, as `novacloud://HOST:PORT`."""
        return self.entrance.urls

    @property
    def port(self) -> int:
        """The port that devices connect to."""
        return self.entrance.port

    @property
    def open_connections(self) -> int:
        """Connections that are open now, those that are not authenticated included."""
        return self.entrance.open

    async def __aenter__(self) -> Self:
        """Open the store and listen.

        Raises:
            BindFailed: the port cannot be had.
            NameTaken: another node has the name of this one.
            StoreFailed: the store cannot be opened.
        """
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.store)
            listeners = await self.entrance.bind(stack)
            await self.cluster.membership.enter()
            self._answer_other_nodes()
            is_alone = self.cluster.membership.is_alone
            self.custody.is_alone = self.ingest.writes_states = is_alone
            if is_alone:
                await self.commands.load()
            await stack.enter_async_context(self.bus)
            background = await stack.enter_async_context(anyio.create_task_group())
            for run in (self.ingest.run, self.presence.run, self.commands.run, self.cluster.run):
                background.start_soon(keep_running, run)
            if not is_alone:
                background.start_soon(keep_running, self._states.run)
            stack.push_async_callback(self._finish, background)
            connections = await stack.enter_async_context(anyio.create_task_group())
            stack.callback(connections.cancel_scope.cancel)
            self.entrance.start(listeners, connections)
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
            self.entrance.renew_tls(tls)
        if settings is not None:
            for name in PlatformSettings.__struct_fields__:
                setattr(self.settings, name, getattr(settings, name))
            self.entrance.resize(settings.unauthenticated)
            for session in self.presence.sessions.values():
                session.connection.resize(settings.line)
                session.tokens = TokenBucket(settings.messages_per_second, settings.burst)

    async def __aexit__(self, *failure: object) -> None:
        """Close all connections, store what has come, and close the store."""
        await self._stack.aclose()  # the failure goes on by itself, in no group

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
            if not self.custody.is_alone:
                await self._states.settle()
            try:
                await self.cluster.membership.leave()
            except StoreFailed as error:
                logger.error("the other nodes notice only later that this one stops: %s", error)
        background.cancel_scope.cancel()

    async def _run(self, session: DeviceSession, lines: Sequence[bytes | None]) -> None:
        """Serve an authenticated device."""
        connection = session.connection
        old = self.presence.join(session)
        if old is not None:
            self.commands.release(old, replaced=True)
        try:
            await self.cluster.delivery.adopt(session)
            await self._reading.read(session, lines)
            if self.commands.waits_for(session.device_id):
                self.commands.settle(session)
            while not connection.closed:
                lines = await connection.receive()
                if lines:
                    session.settles = 0.0
                    await self._reading.read(session, lines)
                    self.commands.flush(session)
        except StoreFailed as error:
            logger.error(
                "%s: its commands are not known: %s",
                session.device_id,
                error,
                extra=about(session.device_id),
            )
        finally:
            connection.end()  # the store may be writing, and its acknowledgements come too late
            self.presence.leave(session, connection.closed)
            self.commands.release(session, replaced=False)
