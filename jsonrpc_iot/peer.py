"""The one shell around session, dispatcher and channel; clients and servers are made of it.

A peer reads its channel and hands on what arrives, makes calls of its own, and ends in an orderly
way. However the channel ends, its open calls fail at once.
"""

import logging
import random
from collections.abc import Callable, Container, Iterable, Sequence
from typing import Any, TypeVar, overload

import anyio
from anyio.abc import TaskGroup

from .channel import Channel, ChannelInfo, ReceivingChannel
from .context import Context
from .dispatcher import Dispatcher
from .errors import (
    CallTimeout,
    ChannelClosed,
    FramingError,
    JsonRpcIotError,
    MalformedResponse,
    MessageTooLarge,
    RpcError,
    TransportError,
)
from .incoming import Incoming
from .items import ItemSender
from .outgoing import BROKEN, Outgoing
from .protocol.limits import Limits
from .protocol.lossy import Budget
from .protocol.messages import Dialect, Id, Message
from .protocol.session import OpenCall, Session
from .protocol.stream import FIRST_CREDIT, ReceivedItems
from .reply import ReplyTo
from .stream import Stream

T = TypeVar("T")

logger = logging.getLogger("jsonrpc_iot.peer")

_PARTING_SECONDS = 1.0
_ASKING_SECONDS = 2.0


class Peer:
    """One end of a connection.

    Args:
        channel: carries the messages; the peer closes it.
        dispatcher: answers what the other end calls.
        session: remembers the conversation.
        tasks: runs the calls of the other end, and must outlive the peer's `run`.
        limits: bounds on what the other end may cost.
        permissions: what the other end may do; `None` if nobody authenticated it.
        probe: ask at once whether the other end understands the protocol's extensions.
        on_open: is called once, when calls can be made.
        on_end: is called once, when no more calls can be made.
        budget: what may be remembered of requests on channels that lose messages.

    Attributes:
        info: the facts about the channel.
        session: what the two ends remember of their conversation.
    """

    __slots__ = (
        "_broken",
        "_channel",
        "_failure",
        "_grace",
        "_incoming",
        "_limits",
        "_new_timer",
        "_on_end",
        "_on_open",
        "_open",
        "_opened_at",
        "_outgoing",
        "_probe",
        "_reading",
        "_tasks",
        "_waiting",
        "info",
        "session",
    )

    def __init__(
        self,
        channel: Channel,
        dispatcher: Dispatcher,
        session: Session,
        tasks: TaskGroup,
        *,
        limits: Limits,
        permissions: Container[str] | None = None,
        probe: bool = False,
        on_open: Callable[["Peer"], object] | None = None,
        on_end: Callable[["Peer"], object] | None = None,
        budget: Budget | None = None,
    ) -> None:
        self.info: ChannelInfo = channel.info
        self.session = session
        session.on_stray = self._note_stray
        self._channel = channel
        self._tasks = tasks
        self._limits = limits
        self._probe = probe
        self._on_open = on_open
        self._on_end = on_end
        context = Context(self, self.info, permissions)
        responder = dispatcher.responder(self.info.codec)
        if not self.info.reliable and budget is None:
            budget = Budget(limits.remembered, limits.remembered_bytes)
        if self.info.reliable:
            budget = None
        self._outgoing = Outgoing(channel, tasks, limits.queue_bytes, self._break)
        self._incoming = Incoming(
            responder, session, self._outgoing, tasks, context, limits, budget
        )
        self._reading: anyio.CancelScope | None = None
        self._opened_at = 0.0
        self._waiting = False
        self._new_timer: anyio.Event | None = None
        self._grace: float | None = None
        self._failure: FramingError | None = None
        self._broken = False
        self._open = False

    async def run(self) -> None:
        """Serve the channel until it ends, then close it."""
        try:
            self._channel.keep_while(lambda: self.is_busy)
            with anyio.CancelScope() as self._reading:
                self._begin()
                await self._read()
            self._end()
            await self._finish()
        finally:
            self.end()
            with anyio.move_on_after(_PARTING_SECONDS, shield=True):
                await self._channel.aclose()

    async def attach(self, channel: ReceivingChannel) -> None:
        """Serve a channel that hands out its messages by itself, until `end`."""
        self._begin()
        await channel.attach(self)

    async def take(self, messages: Sequence[bytes]) -> None:
        """Handle messages of an attached channel."""
        try:
            await self._incoming.take(messages)
        except Exception:
            logger.exception("%s: receiving failed", self.info.peer)

    def end(self) -> None:
        """Stop, now that the channel is closed."""
        self._end()
        self._incoming.cancel_all()
        self._incoming.forget_all()
        self._outgoing.abort()

    @property
    def is_busy(self) -> bool:
        """Whether calls are under way, in either direction."""
        return self._incoming.is_busy or self.session.open_calls > 0

    @overload
    async def call(
        self,
        method: str,
        params: Any = None,
        *,
        timeout: float | None = 10.0,
        idempotent: bool = False,
    ) -> Any: ...
    @overload
    async def call(
        self,
        method: str,
        params: Any = None,
        *,
        result: type[T],
        timeout: float | None = 10.0,
        idempotent: bool = False,
    ) -> T: ...
    async def call(
        self,
        method: str,
        params: Any = None,
        *,
        result: Any = Any,
        timeout: float | None = 10.0,
        idempotent: bool = False,
    ) -> Any:
        """Call a method of the other end and wait for its result.

        Args:
            method: the name to call.
            params: an object (dict, Struct, dataclass) or an array (list, tuple) of params.
            result: the type that the result must have; it is decoded into it.
            timeout: seconds to wait, `None` for ever.
            idempotent: calling twice does no harm, so the request may be sent again to anybody.

        Raises:
            RpcError: the other end answered with an error; of the class of its code.
            CallTimeout: no answer came in time. Where the other end understands, it is told to
                stop.
            ChannelClosed: the channel is closed, or closed before the answer came.
            MessageTooLarge: the request does not fit the channel; nothing was sent.
            MalformedResponse: the answer is no response, or its result is not of the type.
            Unencodable: the codec has no form for the params.
            TransportError: the channel has no way back to its client.
        """
        answered = anyio.Event()
        call, request = self.open(
            method, params, answered.set, timeout, idempotent=idempotent, alone=True
        )
        await self.exchange(request, (call,), answered, timeout)
        return call.result(result)

    def open(
        self,
        method: str,
        params: Any,
        on_answer: Callable[[], object],
        timeout: float | None,
        *,
        idempotent: bool = False,
        alone: bool = False,
        items: ReceivedItems | None = None,
    ) -> tuple[OpenCall, bytes]:
        """Open a call; `exchange` sends it.

        Args:
            method: the name to call.
            params: an object or an array of params.
            on_answer: is called once, when the outcome is there.
            timeout: seconds that the caller will wait.
            idempotent: calling twice does no harm.
            alone: it is not sent in a batch, so it can be sent again by itself.
            items: takes the result item by item.
        """
        if not self.info.can_call_back:
            raise TransportError(f"{self.info.transport} has no way to call {self.info.peer}")
        if not self._open:
            raise self._closed()
        self._send_probe()
        return self.session.open(
            method,
            params,
            on_answer,
            timeout=timeout,
            idempotent=idempotent,
            now=anyio.current_time() if alone and not self.info.reliable else None,
            items=items,
        )

    async def exchange(
        self,
        message: bytes,
        calls: Sequence[OpenCall],
        answered: anyio.Event,
        timeout: float | None,
    ) -> None:
        """Send a message that holds open calls, and wait until they are answered.

        A call that is not answered in time gets `CallTimeout` as its outcome. A call that nobody
        waits for any more is cancelled at the other end, if that understands.
        """
        sent = False
        try:
            self._check_size(message)
            with anyio.move_on_after(timeout):
                await self._outgoing.wait_for_room()
                sent = True
                self._outgoing.push(message)
                self._repeat()
                self._incoming.wake_up()  # who reads no further must do so now
                await answered.wait()
            for call in calls:
                if call.outcome is None:
                    call.outcome = CallTimeout(
                        f"{call.method}: no answer within {timeout or 0:g} s"
                    )
        finally:
            cancellations = [self.session.give_up(call) for call in calls]
            if not answered.is_set():
                self._channel.forget(message)
            if sent:
                self._outgoing.push(*filter(None, cancellations))

    def _repeat(self) -> None:
        """Send again what is not answered, as long as anything is under way."""
        if self._new_timer is not None:
            self._new_timer.set()
        elif self.session.next_due is not None:
            self._new_timer = anyio.Event()
            self._tasks.start_soon(self._run_timers)

    async def _run_timers(self) -> None:
        try:
            while self._open and (due := self.session.next_due) is not None:
                self._new_timer = anyio.Event()
                if self._channel.is_mid_message:  # a long answer is not asked for again
                    due = max(due, anyio.current_time() + self.info.retry_seconds)
                with anyio.CancelScope(deadline=due):
                    await self._new_timer.wait()
                if self._channel.is_mid_message:
                    continue
                messages = self.session.poll(anyio.current_time())
                self._outgoing.push(*(each for each in messages if self._fits(each)))
        finally:
            self._new_timer = None

    async def notify(self, method: str, params: Any = None) -> None:
        """Send a notification.

        Raises:
            ChannelClosed: the channel is closed.
            MessageTooLarge: the notification does not fit the channel.
            Unencodable: the codec has no form for the params.
        """
        await self.send(self.session.notification(method, params))

    async def send(self, message: bytes) -> None:
        """Send a message that is encoded already; see `notify`."""
        self._check_size(message)
        await self._outgoing.wait_for_room()
        if self._outgoing.is_broken:
            raise self._closed()
        self.push(message)

    def push(self, message: bytes) -> None:
        """Send a message without waiting, if it fits the channel."""
        if self._fits(message):
            self._outgoing.push(message)
            self._incoming.wake_up()  # who reads no further must do so now

    async def learn_extensions(self, timeout: float | None) -> bool:
        """Find out whether the other end understands the protocol's extensions.

        Args:
            timeout: seconds that the caller has. One that does not say is not waited for as long.
        """
        if self.session.extensions is None:
            seconds = _ASKING_SECONDS if timeout is None else min(_ASKING_SECONDS, timeout)
            known: bool | None = None
            try:
                known = await self.call("rpc.ping", timeout=seconds, idempotent=True) is True
            except (RpcError, MalformedResponse):
                known = False
            except CallTimeout:
                pass
            if self.session.extensions is None:
                self.session.extensions = known
        return bool(self.session.extensions)

    def abandon(self, call: OpenCall, *, sent: bool) -> None:
        """Wait no more for a streamed call, and cancel it at the other end if it was sent."""
        self.session.close_stream(call)
        cancellation = self.session.give_up(call)
        if sent and cancellation is not None and self._open:
            self.push(cancellation)

    @overload
    def stream(
        self, method: str, params: Any = None, *, timeout: float | None = 10.0, window: int = ...
    ) -> Stream[Any]: ...
    @overload
    def stream(
        self,
        method: str,
        params: Any = None,
        *,
        item: type[T],
        timeout: float | None = 10.0,
        window: int = ...,
    ) -> Stream[T]: ...
    def stream(
        self,
        method: str,
        params: Any = None,
        *,
        item: Any = Any,
        timeout: float | None = 10.0,
        window: int = FIRST_CREDIT,
    ) -> Stream[Any]:
        """Call a method whose result is a list, and get the items as they come.

        Args:
            method: the name to call.
            params: as in `call`.
            item: the type that each item must have; it is decoded into it.
            timeout: seconds to wait for each item, `None` for ever.
            window: items that may be under way or wait here. More are faster over long ways.
        """

        async def myself(timeout: float | None) -> Peer:
            return self

        return Stream(myself, method, params, item, timeout, window)

    def offer(self, message: bytes) -> bool:
        """Send a message without waiting; drop it when it is too large or too much waits already.

        Returns:
            Whether it was taken.
        """
        if not self._open or not self._fits(message):
            return False
        return self._outgoing.offer(message)

    def cancel(self, id: Id) -> None:
        """Cancel the other end's running calls of that id."""
        self._incoming.cancel(id)

    def more(self, id: Id, upto: int, missing: Sequence[int]) -> None:
        """Give the other end's streams of that id credit, and send items again that were lost."""
        self._incoming.more(id, upto, missing)

    def open_items(self, to: ReplyTo) -> ItemSender:
        """What sends the items of a result to the other end."""
        return self._incoming.open_items(to)

    def leave(self, grace: float) -> None:
        """Read no more, let running calls finish for `grace` seconds, and end."""
        self._grace = grace
        self._incoming.leaving = True
        self._incoming.wake_up()
        if self._reading is None:
            self._tasks.start_soon(self._leave_attached)
        elif self._waiting:
            self._reading.cancel()

    async def _leave_attached(self) -> None:
        await self._finish()
        await self._channel.aclose()

    def check(self, now: float) -> None:
        """End the channel of a peer that does not read, or has never said anything.

        Args:
            now: the event loop's time.
        """
        self._incoming.forget(now)
        if self._outgoing.is_stalled():
            logger.warning("%s does not read; closing", self.info.peer)
            self._break()
        elif self.session.jsonrpc is None and now - self._opened_at > self._limits.silent_seconds:
            logger.info("%s says nothing; closing", self.info.peer)
            self._break()

    def _begin(self) -> None:
        self._open = True
        self._opened_at = anyio.current_time()
        if self._probe:
            self._send_probe()
        if self._on_open is not None:
            self._on_open(self)

    def _end(self) -> None:
        """Make no more calls, and fail the open ones. Answers and pushes still leave."""
        if self._open:
            self._open = False
            self.session.close(self._closed)
            if self._on_end is not None:
                self._on_end(self)

    def _send_probe(self) -> None:
        """Ask what the other end understands, where it matters and is not known."""
        probe = self.session.probe() if self.info.reliable else None
        if probe is not None:
            self._outgoing.push(probe)

    async def _read(self) -> None:
        try:
            while self._grace is None:
                self._waiting = True
                messages = await self._channel.receive_batch()
                self._waiting = False
                await self._incoming.take(messages)
        except anyio.EndOfStream:
            pass
        except BROKEN:
            self._broken = True
        except FramingError as failure:
            logger.warning("%s: %s; closing", self.info.peer, failure)
            self._failure = failure
            await self._say_why(failure)
        except Exception:
            logger.exception("%s: receiving failed; closing", self.info.peer)
            self._broken = True

    async def _finish(self) -> None:
        """Let running calls end and their answers leave."""
        if self._broken:
            return
        with anyio.move_on_after(
            self._limits.linger_seconds if self._grace is None else self._grace
        ):
            await self._incoming.finish()
        with anyio.move_on_after(self._limits.message_seconds):
            await self._outgoing.drain()
        if self._grace is not None and (self.session.is_owed or not self._probe):
            await self._part()

    async def _say_why(self, failure: FramingError) -> None:
        self._outgoing.push(self.session.farewell(failure.error))
        with anyio.move_on_after(_PARTING_SECONDS):
            await self._outgoing.drain()
        await self._part()
        self._broken = True

    async def _part(self) -> None:
        """Give the other end a moment to read the last messages.

        Closing at once, with something on its way to us, would reset the connection and lose them.
        """
        with anyio.move_on_after(_PARTING_SECONDS):
            try:
                await self._channel.send_eof()
                while True:
                    await self._channel.receive()
            except (anyio.EndOfStream, FramingError, NotImplementedError, *BROKEN):
                pass
            except Exception as error:  # noqa: BLE001  # TLS has more ways to end
                logger.debug("%s: parting failed: %r", self.info.peer, error)

    def _note_stray(self, what: str) -> None:
        logger.info("%s: dropped %s", self.info.peer, what)

    def _fits(self, message: bytes) -> bool:
        limit = self.info.max_message
        return limit is None or len(message) <= limit

    def _check_size(self, message: bytes) -> None:
        if self.info.max_message is not None and not self._fits(message):
            raise MessageTooLarge(len(message), self.info.max_message)

    def _break(self) -> None:
        self._broken = True
        self._outgoing.abort()
        self._incoming.cancel_all()
        if self._reading is not None:
            self._reading.cancel()
        else:
            self._tasks.start_soon(self._channel.aclose)

    def _closed(self) -> JsonRpcIotError:
        why = f" ({self._failure})" if self._failure else ""
        return ChannelClosed(f"the channel to {self.info.peer} is closed{why}; outcome unknown")


def new_session(
    dispatcher: Dispatcher,
    info: ChannelInfo,
    *,
    dialect: Dialect = "iot",
    extensions: bool | None = None,
    on_notification: Callable[[Message], object] | None = None,
) -> Session:
    """A session for a channel.

    Args:
        dispatcher: knows the channel's codec.
        info: the facts about the channel.
        dialect: as in `Session`.
        extensions: as in `Session`.
        on_notification: as in `Session`.
    """
    return Session(
        dispatcher.responder(info.codec).codec,
        retry_seconds=None if info.reliable else info.retry_seconds,
        first_id=1 if info.reliable else random.randrange(1, 1 << 31),
        dialect=dialect,
        extensions=extensions,
        on_notification=on_notification,
    )


async def watch(peers: Callable[[], Iterable[Peer]], limits: Limits) -> None:
    """Look after peers that do not read or say nothing, until cancelled."""
    while True:
        await anyio.sleep(limits.send_seconds)
        now = anyio.current_time()
        for peer in tuple(peers()):
            peer.check(now)
