"""A device at the other end of a channel, or of one channel after the other."""

import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Literal, TypeVar

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream
from msgspec import UNSET

from ..channel.clock import now
from ..channel.contract import Channel, Trace
from ..channel.info import ChannelInfo
from ..channel.wrappers import TracedChannel
from ..dispatch.declare.context import Timeout
from ..dispatch.declare.event import BoundEvent
from ..dispatch.dispatcher import Dispatcher
from ..errors import CallTimeout, ChannelClosed, TransportError
from ..peer.asking import call_on, learn_for_trace
from ..peer.calls import Calls
from ..peer.new_session import new_session
from ..peer.peer import Peer
from ..peer.remote import Remote
from ..peer.spans import Spans
from ..peer.taskless import Outcome, TasklessCall, begin_call
from ..protocol.about import about
from ..protocol.backoff import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Backoff
from ..protocol.limits import Limits
from ..protocol.messages import Dialect, Message
from .batch import CallBatch
from .notifications import Notification, Notifications
from .proxy import new_proxy
from .subscription import Subscription

F = TypeVar("F", bound=Callable[..., Any])
S = TypeVar("S")

logger = logging.getLogger("jsonrpc_iot.client")

Greet = Callable[[Peer, Callable[[], object]], Coroutine[Any, Any, None]]
"""Finds out whether a peer is of use, and calls what it gets if it is."""
Publish = Callable[[Message], object]
State = Literal["connecting", "connected", "closed"]


class Client(Remote):
    """A device at the other end of a channel; `connect` makes one.

    Args:
        name: where the device is, to be shown.
        dispatcher: answers what the device calls, and receives its notifications.
        timeout: seconds that a call waits unless it says otherwise.
        limits: bounds on what the device may cost.
        dialect: the one to use until the device has spoken.
        extensions: whether the device understands the protocol's extensions; `None` to ask it.
        trace: is shown each message.
        reconnects: it goes on when a channel has ended.
        was_here: another client may have had this one's place on the link before.

    Attributes:
        connected: emits the facts about each channel that was opened.
        lost: emits why each channel ended, in words; empty for no reason in particular.
    """

    def __init__(
        self,
        name: str,
        dispatcher: Dispatcher,
        *,
        timeout: float | None,
        limits: Limits,
        dialect: Dialect,
        extensions: bool | None,
        trace: Trace | None,
        reconnects: bool,
        was_here: bool,
    ) -> None:
        self._name = name
        self._dispatcher = dispatcher
        self._timeout = timeout
        self._limits = limits
        self._dialect = dialect
        self._extensions = extensions
        self._trace = trace
        self._reconnects = reconnects
        self._was_here = was_here
        self.connected: BoundEvent[ChannelInfo] = BoundEvent("connected", ChannelInfo)
        self.lost: BoundEvent[str] = BoundEvent("lost", str)
        self._notifications = Notifications()
        self._notifications.on_change = self._tell_soon
        self._subscription = Subscription(self._notifications, dispatcher)
        self._tasks: TaskGroup | None = None
        self._peer: Peer | None = None
        self._connected = anyio.Event()
        self._backoff = Backoff(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        self._over = anyio.Event()
        self._missed = 0  # on channels that have ended

    @property
    def url(self) -> str:
        """Where the device is, without secrets."""
        return self._name

    @property
    def missed(self) -> int:
        """How many notifications came while 256 others waited in a `notifications` stream.

        Those count too that were dropped before, where a link cannot hold the device back.
        """
        here = sum(each.missed for each in self._peers())
        return self._notifications.missed + self._missed + here

    @property
    def state(self) -> State:
        """Whether there is a connection.

        It is `connecting` while a client that reconnects has none, and `closed` when there will be
        none any more.
        """
        if self._peer is not None and self._peer.calls.is_open:
            return "connected"
        return "connecting" if self._reconnects else "closed"

    @property
    def info(self) -> ChannelInfo:
        """The facts about the present channel.

        Raises:
            ChannelClosed: there is none at the moment.
        """
        if self._peer is None:
            raise ChannelClosed(f"{self._name}: not connected at the moment")
        return self._peer.info

    def _call(
        self, method: str, params: Any, result: Any, timeout: Timeout, idempotent: bool
    ) -> Coroutine[Any, Any, Any]:
        return self._in_span(method, self._make_call(method, params, result, timeout, idempotent))

    async def _make_call(
        self, method: str, params: Any, result: Any, timeout: Timeout, idempotent: bool
    ) -> Any:
        left = seconds = self._seconds(timeout)
        if self._peer is not None and not (idempotent and self._reconnects):  # there is one try
            return await call_on(self._peer.calls, method, params, result, seconds, idempotent)
        deadline = math.inf if seconds is None else now() + seconds
        again: Backoff | None = None
        while True:
            peer = self._peer
            if peer is None:
                peer = await self._next_peer(left)
                left = None if left is None else max(0.0, deadline - now())
            try:
                return await call_on(peer.calls, method, params, result, left, idempotent)
            except ChannelClosed:
                if not (idempotent and self._reconnects):
                    raise
            if peer is self._peer:  # the channel lives on, and this call was lost
                again = again or Backoff(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
                left_now = max(0.0, deadline - now())
                await anyio.sleep(min(again.next_pause(), left_now))
            left = None if left is None else max(0.0, deadline - now())
            if left == 0:
                raise CallTimeout(f"{method}: no answer within {seconds:g} s")

    def begin_call(
        self,
        method: str,
        params: Any,
        timeout: float | None,
        on_end: Callable[[Outcome], object],
    ) -> TasklessCall | None:
        """Make a call without a task, if that can be; see `peer.taskless.begin_call`."""
        peer = self._peer
        if peer is None:
            return None
        return begin_call(peer.calls, method, params, timeout, on_end)

    async def notify(self, method: str, params: Any = None) -> None:
        """Send a notification.

        Raises:
            CallTimeout: a client that reconnects is not connected again in time.
            ChannelClosed: the channel is closed.
            MessageTooLarge: the notification does not fit the channel.
            Unencodable: the codec has no form for the params, or the link, as for a DataPoint.
            UsageError: the params are neither an object nor an array.
        """
        await self._in_span(method, self._notify(method, params))

    def _note_calls(self, spans: Spans) -> None:
        self._spans = spans

    async def _notify(self, method: str, params: Any) -> None:
        peer = await self._find_peer(self._timeout)
        await peer.notify(method, params)

    @asynccontextmanager
    async def batch(self, timeout: Timeout = UNSET) -> AsyncIterator[CallBatch]:
        """Collect calls and notifications, and send them as one message when the block ends.

        Args:
            timeout: seconds to wait for all answers, `None` for ever; the client's by default.

        Raises:
            CallTimeout: a client that reconnects is not connected again in time.
            ChannelClosed: the channel is closed.
            UsageError: more entries than a batch may have.
            MessageTooLarge: the batch does not fit the channel; nothing was sent.
        """
        seconds = self._seconds(timeout)
        peer = await self._find_peer(seconds)
        await learn_for_trace(peer.calls, seconds)
        batch = CallBatch(peer.calls, seconds, self._limits.batch, self._spans)
        try:
            yield batch
            await batch.send()
        finally:
            batch.discard()

    def on(self, method: str) -> Callable[[F], F]:
        """Register a function for a notification of the device; its signature is the validation."""
        return self._dispatcher.notification(method)

    @asynccontextmanager
    async def notifications(
        self, *patterns: str
    ) -> AsyncIterator[MemoryObjectReceiveStream[Notification]]:
        """The notifications that come while the block runs, as a stream to iterate over.

        The stream ends with the channel, unless the client reconnects. As long as all open streams
        name what they want, the device is asked to send nothing but that, and what proxies and
        handlers of this client listen to; a device that cannot do so sends all, and the stream
        picks from that.

        Args:
            patterns: names, and beginnings of names as in `door.*`; all notifications by default.

        Raises:
            CallTimeout: the device did not answer when it was asked for these alone.
            ChannelClosed: the channel is closed.
        """
        async with self._notifications.stream(patterns) as notifications:
            if patterns and self._peer is not None:
                await self._subscription.tell(self._peer.calls, self._timeout)
            yield notifications

    def proxy(
        self,
        service: Callable[..., S],
        *,
        prefix: str = "",
        timeout: Timeout = UNSET,
    ) -> S:
        """Something that looks like a service and calls the device.

        Its methods make calls, and decode the result into the declared type; those that yield give
        a `Stream`, notifications are sent, and events hear of the device's. A method whose
        declaration is a plain function has to be awaited all the same.

        Args:
            service: a class decorated with `@service`, abstract or not; no instance is made.
            prefix: what the device put before the service's names when it included it.
            timeout: seconds that each call waits, `None` for ever; by default the client's own, and
                at least a second more than the method itself may take.

        Raises:
            TypeError: `service` is no such class, or one of its types cannot travel; the text names
                the method or event.
        """
        notifications = self._notifications
        return new_proxy(self._name, self, notifications, service, prefix, timeout, self._timeout)

    async def _run(self, channel: Channel | None, reopen: Callable[[], Awaitable[Channel]]) -> None:
        """Keep the connection, starting with an open channel or none, until it is over for good."""
        if channel is not None:
            await self._run_peer(channel)
        while self._reconnects:
            previous, channel = channel, await self._open_again(reopen)
            if previous is not None:
                channel.follow(previous)
            await self._run_peer(channel)
        self._end()

    def _end(self) -> None:
        """Note that it is over for good."""
        self._notifications.end()
        self._over.set()

    async def _leave(self, grace: float) -> None:
        """Let the device's running calls finish for `grace` seconds, send what waits, and end."""
        self._reconnects = False
        self._connected.set()
        for peer in self._peers():
            peer.leave(grace)
            await self._over.wait()

    def _peers(self) -> tuple[Peer, ...]:
        return () if self._peer is None else (self._peer,)

    async def _run_peer(self, channel: Channel, greet: Greet | None = None) -> None:
        """Run a peer until its channel ends.

        Args:
            channel: to the device.
            greet: decides whether the peer is used at all, and calls what it gets then.
        """
        if self._trace is not None:
            channel = TracedChannel(channel, self._trace)
        codec = self._dispatcher.responder(channel.info.codec).codec
        session = new_session(
            self._dispatcher, channel.info, dialect=self._dialect, extensions=self._extensions
        )
        begin = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            gain = partial(self._gain, tasks, partial(self._notifications.publish, codec))

            def meet(peer: Peer) -> None:
                assert greet is not None
                tasks.start_soon(greet, peer, partial(gain, peer))

            peer = Peer(
                channel,
                self._dispatcher,
                session,
                tasks,
                limits=self._limits,
                probe=True,
                on_open=gain if greet is None else meet,
                on_end=self._lose,
                since=begin if self._was_here else -math.inf,
            )
            await peer.run()
            if self._tasks is tasks:
                self._tasks = None
            tasks.cancel_scope.cancel()
        self._backoff.connection_ended(anyio.current_time() - begin)

    def _tell_soon(self) -> None:
        """Tell the device what is wanted of its notifications, if it has to know."""
        if self._tasks is not None and self._peer is not None and self._subscription.is_due:
            self._tasks.start_soon(self._subscription.tell_quietly, self._peer.calls, self._timeout)

    def _gain(self, tasks: TaskGroup, publish: Publish, peer: Peer) -> None:
        if self._peer is not None:
            self._peer.session.on_notification = None  # the device emits to both for a moment
        peer.session.on_notification = publish
        self._tasks = tasks
        self._peer = peer
        self._subscription.forget()
        self._tell_soon()
        self._connected.set()
        self.connected.emit(peer.info)

    def _lose(self, peer: Peer) -> None:
        if self._reconnects or peer is not self._peer:
            self._missed += peer.missed
        self._part(peer)

    def _part(self, peer: Peer) -> None:
        """Make no more calls there, unless another way leads to the device by now anyway."""
        if peer is not self._peer:
            return
        if self._reconnects:
            self._peer = None
            self._connected = anyio.Event()
        self.lost.emit(peer.calls.why)

    async def _open_again(self, reopen: Callable[[], Awaitable[Channel]]) -> Channel:
        """Try until it works."""
        while True:
            await anyio.sleep(self._backoff.next_pause())
            try:
                return await reopen()
            except (TransportError, OSError) as error:
                logger.info("%s; trying again", error, extra=about(self._name))

    async def _find_peer(self, timeout: float | None) -> Peer:
        return self._peer or await self._next_peer(timeout)

    @property
    def _usual_timeout(self) -> float | None:
        return self._timeout

    async def _find_calls(self, timeout: float | None) -> Calls:
        return (await self._find_peer(timeout)).calls

    async def _next_peer(self, timeout: float | None) -> Peer:
        with anyio.move_on_after(timeout):
            while self._peer is None and self._reconnects:
                await self._connected.wait()
        if self._peer is None and not self._reconnects:
            raise ChannelClosed(f"{self._name}: the client is closed")
        if self._peer is None:
            raise CallTimeout(f"{self._name}: not connected again within {timeout:.3g} s")
        return self._peer
