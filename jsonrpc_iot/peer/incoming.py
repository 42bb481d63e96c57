"""What the other end of one channel asks for: begun in order, run within limits, answered."""

import logging
import math
from collections.abc import Iterable, Sequence
from typing import cast

import anyio
from anyio.abc import TaskGroup
from msgspec import UNSET, structs

from ..channel.clock import now
from ..channel.contract import Arrival
from ..dispatch.declare.context import Context
from ..dispatch.responder import Begun, Read, Responder
from ..dispatch.response import ReplyTo
from ..dispatch.run.batch import Batch
from ..dispatch.run.call import Work
from ..dispatch.run.item_sender import ItemSender
from ..errors import Busy, RpcError, ServerError
from ..protocol.budget import Budget, Share
from ..protocol.duplicates import RETRY_SECONDS, DuplicateTable, Identity, Verdict
from ..protocol.limits import Limits
from ..protocol.messages import ExactId, Id, Message, exact
from ..protocol.session import Session
from .outgoing import Outgoing

logger = logging.getLogger("jsonrpc_iot.peer")

_FLUSH_BYTES = 1 << 16
_BUSY = Busy(data={"retry_after": 1.0})
_GONE_ITEM = ServerError("An item that was lost is no longer held")


class Incoming:
    """The receiving half of a peer.

    Args:
        responder: answers.
        session: takes the responses to calls of ours.
        outgoing: takes the responses to theirs.
        tasks: runs the calls that take time.
        context: what handlers are told of the connection.
        limits: of which `in_flight` and `linger_seconds` are used here.
        budget: room for what may be asked for again on a channel that loses messages, else `None`.
        since: when this end began to listen, as the event loop counts.

    Attributes:
        leaving: no more calls are begun.
    """

    __slots__ = (
        "_context",
        "_ended",
        "_in_flight",
        "_limits",
        "_outgoing",
        "_responder",
        "_running",
        "_seen",
        "_session",
        "_tasks",
        "_wake",
        "leaving",
    )

    def __init__(
        self,
        responder: Responder,
        session: Session,
        outgoing: Outgoing,
        tasks: TaskGroup,
        context: Context,
        limits: Limits,
        budget: Budget | None,
        since: float,
    ) -> None:
        info = context.info
        assert info is not None
        self._responder = responder
        self._session = session
        self._outgoing = outgoing
        self._tasks = tasks
        self._context = context
        self._limits = limits
        self._seen: DuplicateTable | None = None
        if budget is not None:
            self._seen = DuplicateTable(
                Share(budget, info.network), since=since, has_twins=info.has_twins
            )
            outgoing.seen = self._seen
        self._ended: dict[ExactId, tuple[float, ItemSender]] | None = None  # oldest first
        self._running: list[Work] = []
        self._in_flight = 0
        self._wake: anyio.Event | None = None
        self.leaving = False

    @property
    def _limit(self) -> int | None:
        """Bytes that a response may have; a link may come to carry more."""
        return None if self._context.info is None else self._context.info.max_message

    async def take(self, messages: Sequence[bytes]) -> None:
        """Handle messages in order; returns when the channel may be read on."""
        if self._seen is not None:
            await self._take_lossy(messages, self._seen)
            return
        begin = self._responder.begin
        limit = self._limit
        replies: list[bytes] = []
        size = 0
        for message in messages:
            begun: Begun
            if self._outgoing.is_full and self._session.open_calls:
                begun = self._decline(message, self._responder.read(message), _BUSY)
            else:
                begun = begin(message, self._context, limit, self._session)
            if type(begun) is bytes:
                replies.append(begun)
                size += len(begun)
            elif begun is not None:
                await self._start(cast(Work | Batch, begun), replies)
            if size > _FLUSH_BYTES:
                await self._send(replies)
                replies, size = [], 0
        if replies:
            await self._send(replies)

    async def _take_lossy(self, messages: Sequence[bytes], seen: DuplicateTable) -> None:
        """Handle messages that may be lost, doubled or late: each request runs at most once."""
        info = self._context.info
        assert info is not None
        replies: list[bytes] = []
        read = [(data, self._read(data)) for data in messages]
        arrived = [each for each in read if not self._is_echo(*each)]
        if len(arrived) > 1:  # what is cancelled by what waits here too need not begin
            arrived.sort(key=lambda each: not _is_cancellation(each[1]))
        begin = at = now()
        for place, (data, message) in enumerate(arrived):
            if place > 0:  # those before may have taken time
                at = now()
            request = self._identify(data, message)
            if request is not None and self._outgoing.is_full:
                self._outgoing.dropped += 1  # as if it was lost on its way: it comes again
                continue
            verdict = None if request is None else seen.admit(request, at)
            if verdict in (None, Verdict.RUN) and _is_too_late(message, at - begin):
                verdict = Verdict.LATE
            if verdict is None or verdict is Verdict.RUN:
                await self._begin_lossy(data, message, request, replies)
            elif isinstance(verdict, bytes):
                self._session.noise.suspects = None  # it was valid, though nothing runs
                replies.append(verdict)
            elif verdict is not Verdict.JOIN:
                replies += self._object(data, message, request, verdict, seen)
            if replies and self._outgoing.needs_receiver:
                self._outgoing.push(*replies)
                replies.clear()
        replies += filter(info.fits, self._session.overdue())
        if replies and self._outgoing.needs_receiver:
            self._outgoing.push(*replies)
        elif replies:
            await self._outgoing.send(replies)

    def _read(self, data: bytes) -> Read:
        """Read a message; of its caller's patience, what is left counts."""
        message = self._responder.read(data)
        if not isinstance(data, Arrival) or not isinstance(message, Message):
            return message
        if message.timeout is UNSET:
            return message
        return structs.replace(message, timeout=message.timeout - data.waited)

    def _identify(self, data: bytes, message: Read) -> Identity | None:
        request = self._responder.identify(data, message)
        if request is not None and isinstance(data, Arrival) and data.is_repeat:
            return structs.replace(request, retry=True)
        return request

    def _is_echo(self, data: bytes, message: Read) -> bool:
        return isinstance(message, Message) and self._session.noise.is_echo(message.id, data)

    def _object(
        self,
        data: bytes,
        message: Read,
        request: Identity | None,
        verdict: Verdict,
        seen: DuplicateTable,
    ) -> Iterable[bytes]:
        """The response to a request that does not run."""
        reply = self._decline(data, message, seen.refusal(verdict, now()))
        if verdict is not Verdict.FULL:
            self._remember(request, reply)
        return filter(None, (reply,))

    async def _begin_lossy(
        self, data: bytes, message: Read, request: Identity | None, replies: list[bytes]
    ) -> None:
        begun = self._responder.begin_read(data, message, self._context, self._limit, self._session)
        if begun is None or isinstance(begun, bytes):
            self._remember(request, begun)
            replies += filter(None, (begun,))
        else:
            await self._start(begun, replies, request)

    def _decline(self, data: bytes, message: Read, error: RpcError) -> bytes | None:
        return self._responder.decline(
            data, message, error, self._limit, self._session, self._context
        )

    def _remember(self, request: Identity | None, reply: bytes | None) -> None:
        if self._seen is not None and request is not None:
            self._seen.finish(request.key, reply, now())

    def cancel(self, id: Id) -> None:
        """Cancel the running calls of that id; where its request may still come, that too."""
        running = [work for work in self._running if exact(work.call.id) == exact(id)]
        for work in running:
            work.cancel()
        if self._seen is not None and not running:
            self._seen.cancel(id, now())

    def open_items(self, to: ReplyTo) -> ItemSender:
        """What sends the items of a result."""
        codec = self._responder.codec
        if self._seen is None:
            return ItemSender(to, codec, self._outgoing, None, None)
        patience = self._limits.linger_seconds
        return ItemSender(to, codec, self._outgoing, self._seen.share, patience)

    def more(self, id: Id, upto: int, missing: Sequence[int]) -> None:
        """Give the streams of that id credit, and send items again that were lost."""
        ended = (self._ended or {}).get(exact(id))
        for work in self._running:
            if work.items is not None and exact(work.call.id) == exact(id):
                ended = None  # its id is in use again
                work.items.grant(upto)
                if not work.items.again(missing):
                    work.cancel(_GONE_ITEM)
        if ended is not None and not ended[1].again(missing):
            failure = self._responder.fail(ended[1].to, _GONE_ITEM)
            self._outgoing.push(*filter(None, (failure,)))

    def _retire(self, work: Work) -> None:
        """Keep the items of a stream that is over, for whom they are lost."""
        if work.items is None or self._seen is None:
            return
        if self._outgoing.is_broken:  # the other end is gone
            work.items.forget()
            return
        self._ended = self._ended or {}
        id = exact(work.call.id)
        previous = self._ended.pop(id, None)
        if previous is not None:
            previous[1].forget()
        self._ended[id] = (now(), work.items)

    def forget(self, now: float) -> None:
        """Drop remembered responses that are too old to be asked for again.

        Args:
            now: the event loop's time.
        """
        if self._seen is not None:
            self._seen.forget(now)
        while self._ended and now - next(iter(self._ended.values()))[0] > RETRY_SECONDS:
            self._ended.pop(next(iter(self._ended)))[1].forget()

    @property
    def holds_replies(self) -> bool:
        """Whether responses are remembered."""
        return self._seen is not None and len(self._seen) > 0

    def forget_all(self) -> None:
        """Drop all remembered responses: the other end is gone."""
        if self._seen is not None:
            self._seen.clear()
        self.forget(math.inf)

    @property
    def is_busy(self) -> bool:
        """Whether calls run."""
        return self._in_flight > 0

    def cancel_all(self) -> None:
        """Cancel all running calls."""
        for work in tuple(self._running):
            work.cancel()

    async def finish(self) -> None:
        """Wait until no call runs, now that nothing more is read."""
        for work in self._running:
            if work.items is not None:
                work.items.expect_no_credit()
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

    async def _start(
        self, begun: Work | Batch, replies: list[bytes], request: Identity | None = None
    ) -> None:
        """Start calls that take time; wait for a free place where the channel can wait.

        Args:
            begun: the calls.
            replies: finished ones, which are sent before anybody waits.
            request: under which the response is remembered.
        """
        for work in begun.works:
            if self._in_flight >= self._limits.in_flight:
                if replies:
                    await self._send(tuple(replies))
                    replies.clear()
                if not await self._make_room():
                    refusal = begun.finish(work, work.refuse(_BUSY))
                    if begun.is_finished:
                        self._remember(request, refusal)
                    if refusal is not None:
                        replies.append(refusal)
                    continue
            self._in_flight += 1
            self._running.append(work)
            if self._seen is not None:
                work.start_clock(now())
            self._tasks.start_soon(self._run, work, begun, request)

    async def _make_room(self) -> bool:
        """Wait until fewer calls run; says whether they do.

        Who waits does not read. So where an answer to a call of our own may be on its way, or the
        channel cannot hold back what is sent, the call is turned away instead. And nobody waits
        for ever, since the other end may have gone meanwhile.
        """
        with anyio.move_on_after(self._limits.linger_seconds):
            while self._in_flight >= self._limits.in_flight:
                if self._session.open_calls or self._seen is not None or self.leaving:
                    return False
                if self._outgoing.needs_receiver:
                    return False
                if any(work.items for work in self._running):  # whose credit must be read
                    return False
                await self._next_change()
        return self._in_flight < self._limits.in_flight

    async def _next_change(self) -> None:
        self._wake = self._wake or anyio.Event()
        await self._wake.wait()

    async def _run(self, work: Work, begun: Work | Batch, request: Identity | None) -> None:
        try:
            reply = await work.run()
            self._running.remove(work)
            self._retire(work)
            reply = begun.finish(work, reply)
            if begun.is_finished:
                self._remember(request, reply)
            if reply is not None:
                await self._outgoing.send((reply,))
        except Exception:
            logger.exception("method %r: no response could be made", work.call.method)
        finally:
            self._in_flight -= 1
            self.wake_up()


def _is_cancellation(message: Read) -> bool:
    return isinstance(message, Message) and message.method == "rpc.cancel"


def _is_too_late(message: Read, waited: float) -> bool:
    """Whether the caller has stopped waiting, so many seconds after `Incoming._read`."""
    return (
        isinstance(message, Message) and message.timeout is not UNSET and message.timeout <= waited
    )
