"""The one shell around session, dispatcher and channel; clients and servers are made of it.

A peer reads its channel, hands on what arrives, and ends in an orderly way. However the channel
ends, its open calls fail at once. The calls that it makes itself are `calling`, those that it
answers `incoming`.
"""

import logging
import random
from collections.abc import Callable, Container, Iterable, Sequence
from typing import Any, TypeVar, overload

import anyio
from anyio.abc import TaskGroup

from ..channel.contract import Channel, ReceivingChannel
from ..channel.info import ChannelInfo
from ..dispatch.dispatcher import Dispatcher
from ..dispatch.response import ReplyTo
from ..dispatch.run.context import CallContext
from ..dispatch.run.item_sender import ItemSender
from ..errors import FramingError
from ..protocol.duplicates import Budget
from ..protocol.items import FIRST_CREDIT
from ..protocol.limits import Limits
from ..protocol.messages import Dialect, Id, Message
from ..protocol.session import Session
from .calls import Calls
from .incoming import Incoming
from .outgoing import BROKEN, Outgoing
from .stream import Stream

T = TypeVar("T")

logger = logging.getLogger("jsonrpc_iot.peer")

_PARTING_SECONDS = 1.0


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
        calls: makes the calls of this end.
        info: the facts about the channel.
        session: what the two ends remember of their conversation.
    """

    __slots__ = (
        "_broken",
        "_channel",
        "_grace",
        "_incoming",
        "_limits",
        "_on_end",
        "_on_open",
        "_opened_at",
        "_outgoing",
        "_probe",
        "_reading",
        "_tasks",
        "_waiting",
        "calls",
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
        self._channel = channel
        self._tasks = tasks
        self._outgoing = Outgoing(channel, tasks, limits.queue_bytes, self._break)
        session.on_stray = self._note_stray
        self._limits = limits
        self._probe = probe
        self._on_open = on_open
        self._on_end = on_end
        context = CallContext(self, self.info, permissions)
        responder = dispatcher.responder(self.info.codec)
        if not self.info.reliable and budget is None:
            budget = Budget(limits.remembered, limits.remembered_bytes)
        if self.info.reliable:
            budget = None
        self._incoming = Incoming(
            responder, session, self._outgoing, tasks, context, limits, budget
        )
        self.calls = Calls(channel, session, tasks, self._outgoing, self._incoming.wake_up)
        self._reading: anyio.CancelScope | None = None
        self._opened_at = 0.0
        self._waiting = False
        self._grace: float | None = None
        self._broken = False

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
                stop. Or the call was not sent, because others were open for so long, and the
                channel takes no more at once; the text says so.
            ChannelClosed: the channel is closed, or closed before the answer came.
            MessageTooLarge: the request does not fit the channel; nothing was sent.
            MalformedResponse: the answer is no response, or its result is not of the type.
            Unencodable: the codec has no form for the params.
            TransportError: the channel has no way back to its client.
        """
        return await self.calls.call(method, params, result, timeout, idempotent)

    async def notify(self, method: str, params: Any = None) -> None:
        """Send a notification.

        Raises:
            ChannelClosed: the channel is closed.
            MessageTooLarge: the notification does not fit the channel.
            Unencodable: the codec has no form for the params.
        """
        await self.calls.send(self.session.notification(method, params))

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

        async def calls(timeout: float | None) -> Calls:
            return self.calls

        return Stream(calls, method, params, item, timeout, window)

    def cancel(self, id: Id) -> None:
        """Cancel the other end's running calls of that id."""
        self._incoming.cancel(id)

    def more(self, id: Id, upto: int, missing: Sequence[int]) -> None:
        """Give the other end's streams of that id credit, and send items again that were lost."""
        self._incoming.more(id, upto, missing)

    def open_items(self, to: ReplyTo) -> ItemSender | None:
        """What sends the items of a result to the other end, `None` if there is no way."""
        has_way = self.info.can_call_back or self.info.is_private
        return self._incoming.open_items(to) if has_way else None

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
        elif self._is_silent(now):
            logger.info("%s says nothing; closing", self.info.peer)
            self._break()

    def _is_silent(self, now: float) -> bool:
        """Whether the other end has connected and never said anything; a line is no connection."""
        if self.session.jsonrpc is not None or not self.info.reliable:
            return False
        return now - self._opened_at > self._limits.silent_seconds

    def _begin(self) -> None:
        self.calls.begin()
        self._opened_at = anyio.current_time()
        self._channel.start(self._tasks)
        if self._probe:
            self.calls.probe()
        if self._on_open is not None:
            self._on_open(self)

    def _end(self) -> None:
        """Make no more calls, and fail the open ones. Answers and pushes still leave."""
        if self.calls.is_open:
            self.calls.end()
            if self._on_end is not None:
                self._on_end(self)

    async def _read(self) -> None:
        try:
            while self._grace is None:
                self._waiting = True
                messages = await self._channel.receive_batch()
                self._waiting = False
                await self._incoming.take(messages)
        except anyio.EndOfStream as end:
            self.calls.why = str(end)
        except BROKEN as error:
            self._broken = True
            self.calls.why = str(error)
        except FramingError as failure:
            logger.warning("%s: %s; closing", self.info.peer, failure)
            self.calls.why = str(failure)
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
        level = logging.DEBUG if self.info.is_shared else logging.INFO  # answers to others
        logger.log(level, "%s: dropped %s", self.info.peer, what)

    def _break(self) -> None:
        self._broken = True
        self._outgoing.abort()
        self._incoming.cancel_all()
        if self._reading is not None:
            self._reading.cancel()
        else:
            self._tasks.start_soon(self._channel.aclose)


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
        retry_seconds_per_byte=info.retry_seconds_per_byte,
        first_id=1 if info.reliable and not info.is_shared else random.randrange(1, 1 << 31),
        shared=info.is_shared,
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
