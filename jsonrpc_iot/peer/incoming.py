"""What the other end of one channel asks for: begun in order, run within limits, answered.

What links that lose messages need in addition is in `lossy`.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import anyio
from msgspec import Struct

from ..dispatch.declare.context import Context
from ..dispatch.identity import ids_of_requests
from ..dispatch.responder import Begun, Read, Responder
from ..dispatch.response import ReplyTo
from ..dispatch.run.batch import Pending
from ..dispatch.run.call import PendingCall
from ..dispatch.run.item_sender import ItemSender
from ..errors import Busy, Cancelled, RpcError, ServerError
from ..protocol.codec.codec import DECODE_ERRORS
from ..protocol.duplicates import Identity
from ..protocol.limits import Limits
from ..protocol.messages import ExactId, Id, Message, exact
from ..protocol.session import Session
from .outgoing import Outgoing
from .workers import Workers

logger = logging.getLogger("jsonrpc_iot.peer")

_CANCEL = b"rpc.cancel"
_PROVE = "rpc.authenticate"
_PROVE_BYTES = _PROVE.encode()
_FLUSH_BYTES = 1 << 16
_TURN = 256
_BUSY = Busy(data={"retry_after": 1.0})
GONE_ITEM = ServerError("An item that was lost is no longer held")


class _Target(Struct):
    """The params of `rpc.cancel`."""

    id: Id


class Incoming:
    """The receiving half of a peer.

    Args:
        responder: answers.
        session: takes the responses to calls of ours.
        outgoing: takes the responses to theirs.
        workers: run the calls that take time.
        context: what handlers are told of the connection.
        limits: of which `in_flight` and `linger_seconds` are used here.

    Attributes:
        leaving: no more calls are begun.
    """

    __slots__ = (
        "_context",
        "_has_pushed",
        "_in_flight",
        "_judged",
        "_limits",
        "_outgoing",
        "_responder",
        "_running",
        "_session",
        "_wake",
        "_workers",
        "leaving",
    )

    def __init__(
        self,
        responder: Responder,
        session: Session,
        outgoing: Outgoing,
        workers: Workers,
        context: Context,
        limits: Limits,
    ) -> None:
        self._responder = responder
        self._session = session
        self._outgoing = outgoing
        self._workers = workers
        self._context = context
        self._limits = limits
        self._running: list[PendingCall] = []
        self._in_flight = 0
        self._has_pushed = False
        self._judged = 0
        self._wake: anyio.Event | None = None
        self.leaving = False

    @property
    def _limit(self) -> int | None:
        """Bytes that a response may have; a link may come to carry more."""
        return None if self._context.info is None else self._context.info.max_message

    def take(self, messages: Sequence[bytes]) -> bool:
        """Handle a few messages, if nobody has to wait for that; says whether it did.

        What makes others wait is for `handle`, and what is cancelled by what comes along.
        """
        if self.leaving or self._outgoing.waiting_bytes:
            return False
        if self._context._standing.refusal is not None:
            return False
        if self._in_flight + len(messages) > self._limits.in_flight:
            return False
        is_batch, are_several = self._responder.codec.is_batch, len(messages) > 1
        for each in messages:
            if is_batch(each) or _PROVE_BYTES in each or (are_several and _CANCEL in each):
                return False
        begin, limit = self._responder.begin, self._limit
        replies: list[bytes] = []
        for each in messages:
            begun = begin(each, self._context, limit, self._session)
            if type(begun) is bytes:
                replies.append(begun)
            elif begun is not None:
                assert isinstance(begun, PendingCall)
                self._launch(begun, begun, None)
        if replies:
            self._outgoing.push(*replies)
            self._has_pushed = bool(self._outgoing.waiting_bytes)
        return True

    async def handle(self, messages: Sequence[bytes]) -> None:
        """Handle messages in order; returns when the channel may be read on."""
        begin: Callable[..., Begun] = self._responder.begin
        if self._context._standing.refusal is not None:
            begin = self._begin_refused
        limit = self._limit
        replies, size = list[bytes](), 0
        if self._has_pushed:  # who does not read what `take` has answered is not read either
            self._has_pushed = False
            if not (self._session.open_calls or self._outgoing.needs_receiver):
                await self._outgoing.drain()
        if len(messages) > 1 and any(_CANCEL in each for each in messages):
            messages = self._call_off(messages, replies)
        for number, message in enumerate(messages, 1):
            if number % _TURN == 0:  # others are not to wait for all that a flood brings
                await anyio.lowlevel.cancel_shielded_checkpoint()
            begun: Begun
            if self._outgoing.is_full and self._session.open_calls:
                begun = self._decline(message, self._responder.read(message), _BUSY)
            else:
                begun = begin(message, self._context, limit, self._session)
            if type(begun) is bytes:
                replies.append(begun)
                size += len(begun)
            elif begun is not None:
                await self._start(cast(Pending, begun), replies)
            if size > _FLUSH_BYTES:
                await self._send(replies)
                replies, size = [], 0
        if replies:
            await self._send(replies)

    def _begin_refused(
        self, data: bytes, context: Context, limit: int | None, session: Session
    ) -> Begun:
        """Begin to answer a message, looking at who sends it; `Responder.begin` does not."""
        read = self._responder.read(data)
        return self._responder.begin_read(data, read, context, limit, session)

    def _call_off(self, messages: Sequence[bytes], replies: list[bytes]) -> Sequence[bytes]:
        """Answer what is cancelled by what has arrived behind it, and return the other messages.

        They have arrived together because this program was busy or stopped: nobody waits any more
        for what is cancelled.
        """
        others: list[bytes] = []
        cancelled: set[ExactId] = set()
        for data in reversed(messages):
            message = self._responder.read(data)
            if isinstance(message, Message) and message.method == _CANCEL.decode():
                cancelled |= self._targets(message)
            ids = ids_of_requests(message)
            if ids and ids <= cancelled:
                cancelled -= ids
                reply = self._decline(data, message, Cancelled())
                replies.extend(filter(None, (reply,)))
            else:
                others.append(data)
        return others[::-1]

    def _targets(self, cancellation: Message) -> set[ExactId]:
        try:
            params = self._responder.codec.decode_value(cancellation.params, _Target)
        except DECODE_ERRORS:  # said when its turn comes
            return set()
        return {exact(params.id)}

    def _decline(self, data: bytes, message: Read, error: RpcError) -> bytes | None:
        return self._responder.decline(
            data, message, error, self._limit, self._session, self._context
        )

    def _remember(self, request: Identity | None, reply: bytes | None) -> None:
        """Note the reply to a request, where it may come again."""

    def cancel(self, id: Id) -> bool:
        """Cancel the running calls of that id; says whether there are any."""
        running = [pending for pending in self._running if exact(pending.call.id) == exact(id)]
        for pending in running:
            pending.cancel()
        return bool(running)

    def open_items(self, to: ReplyTo) -> ItemSender:
        """What sends the items of a result."""
        return ItemSender(to, self._responder.codec, self._outgoing, None, None)

    def more(self, id: Id, upto: int, missing: Sequence[int]) -> bool:
        """Give the streams of that id credit, and send items again that were lost.

        Returns:
            Whether one runs.
        """
        runs = False
        for pending in self._running:
            if pending.items is not None and exact(pending.call.id) == exact(id):
                runs = True
                pending.items.grant(upto)
                if not pending.items.again(missing):
                    pending.cancel(GONE_ITEM)
        return runs

    def _retire(self, pending: PendingCall, items: ItemSender) -> None:
        """A stream is over; its items may be asked for again."""

    def forget(self, now: float) -> None:
        """Drop remembered responses that are too old to be asked for again.

        Args:
            now: the event loop's time.
        """

    @property
    def holds_replies(self) -> bool:
        """Whether responses are remembered."""
        return False

    def forget_all(self) -> None:
        """Drop all remembered responses: the other end is gone."""

    @property
    def is_busy(self) -> bool:
        """Whether calls run."""
        return self._in_flight > 0

    def cancel_all(self, error: RpcError | None = None) -> None:
        """Cancel all running calls, which answer with an error, `Cancelled` by default."""
        for pending in tuple(self._running):
            pending.cancel(error)

    async def finish(self) -> None:
        """Wait until no call runs, now that nothing more is read."""
        for pending in self._running:
            if pending.items is not None:
                pending.items.expect_no_credit()
        while self._in_flight:
            await self._next_change()

    def wake_up(self) -> None:
        """Let whoever waits here look again at what has changed."""
        if self._wake is not None:
            self._wake.set()
            self._wake = None

    async def _send(self, replies: Sequence[bytes]) -> None:
        """Send replies. Who waits until they are written does not read.

        So where an answer to a call of our own may be on its way, or what is sent leaves only as
        the channel is read, nobody waits.
        """
        if self._session.open_calls or self._outgoing.needs_receiver:
            self._outgoing.push(*replies)
        else:
            await self._outgoing.send(replies)

    async def _start(self, begun: Pending, replies: list[bytes]) -> None:
        """Start calls that take time; wait for a free place where the channel can wait.

        Args:
            begun: the calls.
            replies: finished ones, which are sent before anybody waits.
        """
        for pending in begun.calls:
            if self._in_flight >= self._limits.in_flight:
                if replies:
                    await self._send(tuple(replies))
                    replies.clear()
                if not await self._make_room():
                    replies.extend(filter(None, (self._turn_away(pending, begun, None),)))
                    continue
            self._launch(pending, begun, None)
            if pending.call.method == _PROVE:
                await self._let_prove(pending, replies)

    def _turn_away(
        self, pending: PendingCall, begun: Pending, request: Identity | None
    ) -> bytes | None:
        """Refuse a call for which there is no room; gives the response if that completes it."""
        refusal = begun.finish(pending, pending.refuse(_BUSY))
        if begun.is_finished:
            self._remember(request, refusal)
        return refusal

    def _launch(self, pending: PendingCall, begun: Pending, request: Identity | None) -> None:
        """Start one call."""
        self._in_flight += 1
        self._running.append(pending)
        if not pending.start(partial(self._finish, pending, begun, request)):
            self._workers.start(partial(self._run, pending, begun, request))

    def _finish(
        self,
        pending: PendingCall,
        begun: Pending,
        request: Identity | None,
        reply: bytes | None,
    ) -> None:
        """Take the response to a call that had no task, or give it one."""
        if pending.later is not None:
            self._workers.start(partial(self._run, pending, begun, request))
            return
        self._running.remove(pending)
        reply = begun.finish(pending, reply)
        if begun.is_finished:
            self._remember(request, reply)
        if reply is not None:
            self._outgoing.push(reply, are_responses=begun is pending)
            self._has_pushed = bool(self._outgoing.waiting_bytes)
        self._in_flight -= 1
        self.wake_up()

    async def _let_prove(self, pending: PendingCall, replies: list[bytes]) -> None:
        """Wait until the other end has proved who it is, or not: what it sends next counts on it.

        Where nobody may wait, as in `_make_room`, what comes next is judged as before.
        """
        if self._session.open_calls or self._outgoing.needs_receiver:
            return
        if replies:
            await self._send(tuple(replies))
            replies.clear()
        judged = self._judged
        while pending in self._running and self._judged == judged and not self.leaving:
            await self._next_change()

    def note_judged(self) -> None:
        """Note that a proof was wrong: what comes next need not wait until that is answered."""
        self._judged += 1
        self.wake_up()

    async def _make_room(self) -> bool:
        """Wait until fewer calls run; says whether they do.

        Who waits does not read. So where an answer to a call of our own may be on its way, or the
        channel cannot hold back what is sent, the call is turned away instead. And nobody waits
        for ever, since the other end may have gone meanwhile.
        """
        with anyio.move_on_after(self._limits.linger_seconds):
            while self._in_flight >= self._limits.in_flight:
                if self._session.open_calls or self.leaving or self._outgoing.needs_receiver:
                    return False
                if any(pending.items for pending in self._running):  # whose credit must be read
                    return False
                await self._next_change()
        return self._in_flight < self._limits.in_flight

    async def _next_change(self) -> None:
        self._wake = self._wake or anyio.Event()
        await self._wake.wait()

    async def _run(self, pending: PendingCall, begun: Pending, request: Identity | None) -> None:
        try:
            reply = await pending.run(self._workers.new_scope)
            self._running.remove(pending)
            if pending.items is not None:
                self._retire(pending, pending.items)
            reply = begun.finish(pending, reply)
            if begun.is_finished:
                self._remember(request, reply)
            if reply is not None:
                is_alone = begun is pending and pending.items is None
                await self._outgoing.send((reply,), are_responses=is_alone)
        except Exception:
            method = pending.call.method
            extra = self._context._about(method)
            logger.exception("method %r: no response could be made", method, extra=extra)
        finally:
            self._in_flight -= 1
            self.wake_up()
