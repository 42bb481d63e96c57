"""One dispatcher at several URLs, and on open channels, all at once; `serving` makes it."""

import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cached_property, partial
from math import inf
from typing import TYPE_CHECKING, Any

import anyio
import anyio.from_thread
import anyio.lowlevel
from anyio.abc import TaskGroup, TaskStatus

from ..asgi import RpcApp
from ..channel.changes import Change
from ..channel.contract import Channel, Listener, ReceivingChannel, asks_first
from ..channel.door import GONE
from ..channel.tasks import task_group
from ..channel.web import AsgiReceive, AsgiSend, Scope, WebListener, refuse_websocket
from ..dispatch.counted.stats import Stats
from ..dispatch.declare.event import BoundEvent
from ..dispatch.dispatcher import Dispatcher
from ..errors import ChannelClosed, Unauthorized, UsageError
from ..peer.new_session import new_session
from ..peer.peer import Peer
from ..peer.workers import Workers
from ..protocol.about import about
from ..trust.principal import Standing
from .ended import Ended
from .guests import Guests, rules_for
from .house import House
from .renewal import renew
from .runner import Runner

if TYPE_CHECKING:
    from ..trust.keyring import Keyring

logger = logging.getLogger("jsonrpc_iot.server")

_GRACE_BELOW_SECONDS = 1.0


class Server:
    """A dispatcher at its URLs and channels; `serve` makes one.

    Args:
        dispatcher: answers.
        listeners: bound already.
        tasks: runs the peers and their calls.
        house: what holds here, and below the addresses.
        keyring: is read again with the rest, `None` where there is none or somebody else does it.
        place: the name of the device that this is at its own address, of a gateway.

    Attributes:
        peer_joined: emits each peer that can be called and notified from now on.
        peer_left: emits each peer that is gone.
        announced: the name by which mDNS finds it, once it has one; see `serve`.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        listeners: Sequence[Listener],
        tasks: TaskGroup,
        house: House,
        keyring: "Keyring | None" = None,
        place: str = "",
    ) -> None:
        self._dispatcher = dispatcher
        self._house = house
        self._door = door = house.door
        self._limits = house.limits
        counting = house.statistics
        self._answers = counting.answers(dispatcher, place) if counting else dispatcher
        self._listeners = listeners
        self._tasks = tasks
        # Each peer has these, and an idle one should not have copies of its own.
        self._prove = door.prove
        self._on_open = partial(self._welcome, None)
        self._on_end = self._forget
        self._runner = Runner(tasks, self._on_end)
        self._keyring = keyring
        self._below: set[Server] = set()
        self._ended = Ended()
        self._peers: set[Peer] = set()
        self.peer_joined: BoundEvent[Peer] = BoundEvent("peer_joined", Peer)
        self.peer_left: BoundEvent[Peer] = BoundEvent("peer_left", Peer)
        self.announced: str | None = None
        self._apps = [self._mount(each) for each in listeners if isinstance(each, WebListener)]
        self._thread = threading.get_ident()
        self._token = anyio.lowlevel.current_token()
        self._peer_left = Change()
        self._parting = False
        self._closing = Change()
        self._is_closing = False
        if counting is not None:
            counting.follow(self)

    # A gateway has a server for each device, of which most have neither peers nor guests.
    @cached_property
    def _workers(self) -> Workers:
        return Workers(self._tasks)

    @cached_property
    def _guests(self) -> Guests:
        return Guests(self._serve, self._tasks, self._limits)

    @property
    def urls(self) -> list[str]:
        """Where the server is reached; `connect` takes them as they stand."""
        return [address for listener in self._listeners for address in listener.addresses]

    @property
    def peers(self) -> Sequence[Peer]:
        """The peers that are connected; each can be called and notified."""
        return tuple(self._peers)

    def all_peers(self) -> "Iterator[Peer]":
        """The peers, and those below the addresses."""
        for each in (self, *self._below):
            yield from tuple(each._peers)

    @property
    def has_places(self) -> bool:
        """Whether any of the addresses has a path below which there may be others."""
        return any(each.has_places for each in self._listeners)

    @asynccontextmanager
    async def below(self, name: str, dispatcher: Dispatcher) -> "AsyncIterator[Server]":
        """Serve another dispatcher one step below the addresses while the block runs.

        Those are the ones with a path: of HTTP, WebSockets and MQTT. Who may come in is as here.

        Args:
            name: is put behind each path, with a slash.
            dispatcher: answers there.

        Raises:
            BindFailed: it cannot be; the text names the URL.
        """
        async with AsyncExitStack() as stack:
            listeners = [
                await stack.enter_async_context(listener)
                for each in self._listeners
                if (listener := await each.below(name)) is not None
            ]
            accepting = [each for each in listeners if not isinstance(each, WebListener)]
            # Most devices of a gateway have an address over HTTP alone, where there are no peers.
            peers = await stack.enter_async_context(task_group()) if accepting else self._tasks
            server = Server(dispatcher, listeners, peers, self._house, place=name)
            stack.callback(dispatcher.on_emit(server.broadcast))
            self._below.add(server)
            try:
                if accepting:
                    async with server._accept(accepting):
                        yield server
                else:
                    yield server
            finally:
                self._below.discard(server)
                if self._house.statistics is not None:
                    self._house.statistics.leave(server)
                with anyio.CancelScope(shield=True):
                    await server._part(_GRACE_BELOW_SECONDS if not self._parting else 0.0)
            if accepting:
                peers.cancel_scope.cancel()

    @asynccontextmanager
    async def _accept(self, listeners: Sequence[Listener]) -> AsyncIterator[None]:
        """Serve what comes to listeners while the block runs."""
        async with task_group() as accepting:
            for listener in listeners:
                accepting.start_soon(listener.serve, self._serve, self._tasks)
            for listener in listeners:
                await listener.heard()
            yield
            accepting.cancel_scope.cancel()

    def broadcast(self, method: str, params: Any = None, *, requires: str | None = None) -> int:
        """Notify every peer that can, may and wants to hear, and wait for none of them.

        A peer for whom too much waits already misses the notification, which is counted. Over HTTP
        those hear it who have subscribed to events.

        Any thread may call it; one that is not the event loop's waits until the loop has done it.

        Args:
            method: the notification's name.
            params: an object (dict, Struct, dataclass) or an array (list, tuple) of params.
            requires: the permission that a peer needs to hear it.

        Returns:
            How many peers took it.

        Raises:
            Unencodable: the codec has no form for the params.
            UsageError: the params are neither an object nor an array.
        """
        if threading.get_ident() != self._thread:
            broadcast = partial(self.broadcast, method, params, requires=requires)
            return anyio.from_thread.run_sync(broadcast, token=self._token)
        taken = 0
        encoded: dict[object, bytes] = {}
        for peer in self._peers:
            if not peer.hears(method, requires):
                continue
            way = peer.session.jsonrpc_to_send, peer.info.codec
            if way not in encoded:
                encoded[way] = peer.session.notification(method, params)
            taken += peer.calls.offer(encoded[way])
        return taken + sum(app.publish(method, params, requires=requires) for app in self._apps)

    async def add(self, channel: Channel) -> Peer:
        """Serve one more channel, which is open already, until it ends or the server does.

        Args:
            channel: leads to one peer; the server closes it, also when it is not served.

        Returns:
            The peer, which can be called and notified at once.

        Raises:
            ChannelClosed: it is not served, since `authenticate` failed or the server is closing.
        """
        try:
            peer: Peer = await self._tasks.start(self._serve, channel)
        except RuntimeError:  # it ended before it was open, or never began
            await anyio.aclose_forcefully(channel)
            raise ChannelClosed(f"{channel.info.peer} is not served") from None
        return peer

    async def add_websocket(
        self,
        scope: Scope,
        receive: AsgiReceive,
        send: AsgiSend,
        *,
        max_message: int = 1 << 20,
        cors: str | Sequence[str] = (),
        hosts: Sequence[str] = (),
        forwarded: bool = False,
        token: str | None = None,
    ) -> None:
        """Serve a WebSocket of a web program until it ends, or refuse it.

        Args:
            scope: of its request, as ASGI has it.
            receive: gives its events, of which none has been taken.
            send: takes them.
            max_message: bytes of the largest message that is sent.
            cors: the origin or origins whose pages may connect from a browser, `*` for all. Pages
                of the program's own address always may.
            hosts: names under which the program may be asked, `*` for any, beside addresses, names
                of its machine and names without a dot.
            forwarded: it is behind a proxy that sets `X-Forwarded-Host`.
            token: the bearer token that the request must have.
        """
        if self._parting:
            await refuse_websocket(scope, receive, send, 503, "The server is closing")
            return
        rules = rules_for(scope, max_message, token, cors, hosts, forwarded=forwarded)
        await self._guests.serve(scope, receive, send, rules)

    def stats(self) -> Stats:
        """What it has done since it began, in numbers; to be called in its event loop.

        Raises:
            UsageError: it does not count: see `stats` of `serve`.
        """
        if self._house.statistics is None:
            raise UsageError("this server does not count: serve(…, stats=True)")
        return self._house.statistics.tell()

    @property
    def reads_files(self) -> bool:
        """Whether there is anything that `reload` reads."""
        return self._keyring is not None or any(each.reads_files for each in self._listeners)

    def reload(self) -> None:
        """Read the keyring and the files of certificates again, as programs do on SIGHUP.

        It happens by itself soon after they change. What is open goes on, and a file with a mistake
        changes nothing, which is logged.
        """
        if self._keyring is not None:
            self._keyring.refresh(force=True)
        for listener in self._listeners:
            listener.reload()

    def close(self) -> None:
        """Ask whoever waits in `wait_closed` to leave the server's `async with` block."""
        self._is_closing = True
        self._closing.notify()

    async def wait_closed(self) -> None:
        """Wait until somebody calls `close`."""
        while not self._is_closing:
            await self._closing.wait()

    def _mount(self, listener: WebListener) -> RpcApp:
        """Have the requests of a listener without channels answered."""
        app = RpcApp(
            self._dispatcher,
            listener.rules,
            door=self._door,
            limits=self._limits,
            trace=self._house.trace,
            console=self._house.console,
            answers=self._answers,
        )
        listener.mount(app)
        return app

    @asks_first
    async def _serve(
        self, channel: Channel, *, task_status: TaskStatus[Peer] | None = None
    ) -> None:
        """Serve one channel until it ends, whatever happens on it."""
        channel = self._house.trace.watch(channel)
        attached = False
        try:
            standing = await self._door.admit(channel)
            if not self._parting:
                on_open = task_status.started if task_status else None
                attached = await self._run_peer(channel, standing, on_open)
        except Unauthorized as refusal:  # nobody has the token that it brings
            channel.tell_why(refusal.message)
        except Exception:
            logger.exception(
                "%s: serving failed", channel.info.peer, extra=about(channel.info.peer)
            )
        finally:
            if not attached:
                await anyio.aclose_forcefully(channel)

    async def _run_peer(
        self, channel: Channel, standing: Standing, on_open: Callable[[Peer], object] | None
    ) -> bool:
        """Serve a channel; says whether it lives on without a task."""
        peer = Peer(
            channel,
            self._answers,
            new_session(self._dispatcher, channel.info),
            self._tasks,
            limits=self._limits,
            standing=standing,
            prove=self._prove,
            on_open=self._on_open if on_open is None else partial(self._welcome, on_open),
            on_end=self._on_end if isinstance(channel, ReceivingChannel) else None,
            on_wake=self._runner.wake,
            budget=self._house.budget,
            # Nobody was at an added channel before.
            since=self._ended.known_since(channel.info.peer) if on_open is None else -inf,
            workers=self._workers,
        )
        self._peers.add(peer)
        if isinstance(channel, ReceivingChannel):
            await peer.attach(channel)
            return True
        return await self._runner.run(peer)

    def _welcome(self, on_open: Callable[[Peer], object] | None, peer: Peer) -> None:
        if on_open is not None:
            on_open(peer)
        self.peer_joined.emit(peer)

    def _renew(self) -> None:
        """Look at all peers again, now that the keyring has changed."""
        for each in (self, *self._below):
            renew(each._door, each._peers, each._apps, each._tasks)

    def _forget(self, peer: Peer) -> None:
        may_ask_again = peer.holds_replies or not peer.is_attached
        if not peer.info.reliable and (may_ask_again or peer.standing.refusal is GONE):
            self._ended.note(peer.info.peer)  # who was sent away may ask again as a stranger
        self._peers.discard(peer)
        self._peer_left.notify()
        self.peer_left.emit(peer)

    async def _end(self, grace: float) -> None:
        """Part, and have nobody wait any more who has proved nothing."""
        self._door.refuser.close()
        await self._part(grace)

    async def _part(self, grace: float) -> None:
        """Let the peers finish for `grace` seconds."""
        self._parting = True
        for peer in self._peers:
            peer.leave(grace)
        for app in self._apps:
            app.leave()
        with anyio.move_on_after(grace):
            for app in self._apps:
                await app.wait_idle()
            while self._peers:
                await self._peer_left.wait()
