"""What the other end asks for over a link that loses, doubles and delays: each request runs once.

Source: the protocol page, section 1, "Lossy channels". What is remembered for that, and how long,
is the business of `protocol/duplicates`.
"""

import math
from collections.abc import Iterable, Sequence
from typing import TypeGuard, cast

from msgspec import UNSET, structs

from ..channel.arrival import Answer, Arrival
from ..dispatch.declare.context import Context
from ..dispatch.identity import identify
from ..dispatch.judge import FOR_STRANGERS
from ..dispatch.responder import Read, Responder
from ..dispatch.response import ReplyTo
from ..dispatch.run.batch import Pending
from ..dispatch.run.call import PendingCall
from ..dispatch.run.item_sender import ItemSender
from ..protocol.budget import Budget, Share
from ..protocol.duplicates import RETRY_SECONDS, DuplicateTable, Identity, Verdict
from ..protocol.limits import Limits
from ..protocol.messages import ExactId, Id, Invalid, Message, exact
from ..protocol.session import Session
from .incoming import GONE_ITEM, Incoming
from .lossy_outgoing import ItemSink, LossyOutgoing
from .outgoing import Outgoing
from .workers import Workers

_NO_SECONDS = 1e-6  # nothing is to begin by a copy whose caller says that it waits no longer


class _WithTicket:
    """What is still to be run for a message whose answer brings back its ticket.

    Args:
        begun: the calls.
        ticket: of the message.
    """

    def __init__(self, begun: Pending, ticket: object) -> None:
        self.calls = begun.calls
        self._begun = begun
        self._ticket = ticket

    @property
    def is_finished(self) -> bool:
        """See `Batch.is_finished`."""
        return self._begun.is_finished

    def finish(self, pending: PendingCall, reply: bytes | None) -> bytes | None:
        """Take the response to one of the calls; see `Batch.finish`."""
        whole = self._begun.finish(pending, reply)
        return whole and Answer.to(self._ticket, whole)


class LossyIncoming(Incoming):
    """The receiving half of a peer, where messages get lost.

    Args:
        responder: answers.
        session: takes the responses to calls of ours.
        outgoing: takes the responses to theirs.
        workers: run the calls that take time.
        context: what handlers are told of the connection.
        limits: as in `Incoming`.
        budget: room for what may be asked for again.
        since: when this end began to listen, as the event loop counts.
    """

    __slots__ = ("_ended", "_seen")

    _outgoing: LossyOutgoing

    def __init__(
        self,
        responder: Responder,
        session: Session,
        outgoing: Outgoing,
        workers: Workers,
        context: Context,
        limits: Limits,
        budget: Budget,
        since: float,
    ) -> None:
        super().__init__(responder, session, outgoing, workers, context, limits)
        info = context.info
        assert info is not None and isinstance(outgoing, LossyOutgoing)
        share = Share(budget, context._standing.share_of(info.network))
        self._seen = DuplicateTable(share, since=since, has_twins=info.has_twins)
        outgoing.seen = self._seen
        self._ended: dict[ExactId, tuple[float, ItemSender]] | None = None  # oldest first

    def take(self, messages: Sequence[bytes]) -> bool:
        """Handle messages, for which nobody has to wait on links that lose them."""
        if replies := self._answer(messages):
            self._outgoing.push(*replies, are_responses=True)
        return True

    async def handle(self, messages: Sequence[bytes]) -> None:
        """Handle messages; returns when what answers them has left, where it cannot wait."""
        replies = self._answer(messages)
        if replies and self._outgoing.needs_receiver:
            self._outgoing.push(*replies, are_responses=True)
        elif replies:
            await self._outgoing.send(replies)

    def _answer(self, messages: Sequence[bytes]) -> list[bytes]:
        """Take messages in order, cancellations first; each request runs at most once.

        Returns:
            What is to be sent now.
        """
        outgoing = self._outgoing
        replies: list[bytes] = []
        if len(messages) == 1:
            (data,) = messages
            read = [(data, self._read(data))]
        else:  # what is cancelled by what waits here too need not begin
            read = [(data, self._read(data)) for data in messages]
            read.sort(key=lambda each: not _is_cancellation(each[1]))
        since = outgoing.now()
        for data, message in read:
            before = len(replies)
            self._take_one(data, message, since, replies)
            if isinstance(message, list) and _is_batch(message):
                outgoing.push(*replies[before:])
                del replies[before:]
            if replies and outgoing.needs_receiver:
                outgoing.push(*replies, are_responses=True)
                replies.clear()
        if overdue := self._session.overdue():
            assert self._context.info is not None
            replies += filter(self._context.info.fits, overdue)
        outgoing.go_on()
        return replies

    def _read(self, data: bytes) -> Read:
        """Read a message; of its caller's patience, what is left counts."""
        message = self._responder.read(data)
        if not isinstance(data, Arrival):
            return message
        if isinstance(message, list):
            return [(entry, _after(data.waited, each)) for entry, each in message]
        return _after(data.waited, message)

    def _take_one(self, data: bytes, message: Read, since: float, replies: list[bytes]) -> None:
        """Take one message.

        Args:
            data: the message.
            message: what `_read` made of it.
            since: when that was, in seconds.
            replies: takes what is to be sent.
        """
        if isinstance(message, Message):
            if message.method is UNSET:
                self._session.hear(message, data)
                return
            if self._session.noise.is_echo(message.id, data):
                return
        request = self._identify(data, message)
        if request is not None and self._outgoing.is_full:
            self._outgoing.dropped += 1  # as if it was lost on its way: it comes again
            return
        at = self._outgoing.now()  # those before may have taken time
        verdict = Verdict.RUN if request is None else self._seen.admit(request, at)
        if verdict is Verdict.RUN and _is_too_late(message, at - since):
            verdict = Verdict.UNKNOWN if message.retry else Verdict.LATE
        if verdict is Verdict.RUN:
            self._begin(data, message, request, replies)
        elif isinstance(verdict, bytes):
            self._session.noise.suspects = None  # it was valid, though nothing runs
            replies.append(Answer.to(_ticket_of(data), verdict))
        elif verdict is not Verdict.JOIN:
            replies += self._object(data, message, request, verdict)

    def _identify(self, data: bytes, message: Read) -> Identity | None:
        if self._context._standing.refusal is not None and not _is_for_strangers(message):
            return None  # it will not run
        request = identify(data, message, self._responder.handler)
        if request is not None and isinstance(data, Arrival) and data.is_repeat:
            return structs.replace(request, retry=True)
        return request

    def _object(
        self, data: bytes, message: Read, request: Identity | None, verdict: Verdict
    ) -> Iterable[bytes]:
        """The response to a request that does not run."""
        reply = self._decline(data, message, self._seen.refusal(verdict, self._outgoing.now()))
        reply = reply and Answer.to(_ticket_of(data), reply)
        if verdict is not Verdict.FULL:
            self._remember(request, reply)
        return filter(None, (reply,))

    def _begin(
        self, data: bytes, message: Read, request: Identity | None, replies: list[bytes]
    ) -> None:
        begun = self._responder.begin_read(data, message, self._context, self._limit, self._session)
        if begun is None or isinstance(begun, bytes):
            begun = begun and Answer.to(_ticket_of(data), begun)
            self._remember(request, begun)
            replies += filter(None, (begun,))
        else:
            if (ticket := _ticket_of(data)) is not None:
                begun = cast(Pending, _WithTicket(begun, ticket))
            for pending in begun.calls:
                pending.start_clock(self._outgoing.now())
                if self._in_flight < self._limits.in_flight:
                    self._launch(pending, begun, request)
                else:  # who waits would read on too late; the other end asks again
                    replies += filter(None, (self._turn_away(pending, begun, request),))

    def _remember(self, request: Identity | None, reply: bytes | None) -> None:
        if request is not None:
            self._seen.finish(request.key, reply, self._outgoing.now())

    def cancel(self, id: Id) -> bool:
        """Cancel the running calls of that id, or the request that may still come."""
        is_running = super().cancel(id)
        if not is_running:
            self._seen.cancel(id, self._outgoing.now())
        return is_running

    def open_items(self, to: ReplyTo) -> ItemSender:
        """What sends the items of a result."""
        codec, limits = self._responder.codec, self._limits
        sink = ItemSink(self._outgoing, limits.unproved_seconds)
        return ItemSender(to, codec, sink, self._seen.share, limits.linger_seconds)

    def more(self, id: Id, upto: int, missing: Sequence[int]) -> bool:
        """Give the streams of that id credit; those that are over send what was lost, too."""
        if super().more(id, upto, missing):
            return True
        _, items = (self._ended or {}).get(exact(id), (0.0, None))
        if items is not None and not items.again(missing):
            failure = self._responder.fail(items.to, GONE_ITEM)
            self._outgoing.push(*filter(None, (failure,)))
        return False

    def _retire(self, pending: PendingCall, items: ItemSender) -> None:
        """Keep the items of a stream that is over, for whom they are lost."""
        if self._outgoing.is_broken:  # the other end is gone
            items.forget()
            return
        id = exact(pending.call.id)
        self._ended = {} if self._ended is None else self._ended
        _, previous = self._ended.pop(id, (0.0, None))
        if previous is not None:
            previous.forget()
        self._ended[id] = (self._outgoing.now(), items)

    def forget(self, now: float) -> None:
        """Drop remembered responses that are too old to be asked for again.

        Args:
            now: the event loop's time.
        """
        self._seen.forget(now)
        self._outgoing.forget(now)
        while self._ended and now - next(iter(self._ended.values()))[0] > RETRY_SECONDS:
            self._ended.pop(next(iter(self._ended)))[1].forget()

    @property
    def holds_replies(self) -> bool:
        """Whether responses are remembered."""
        return len(self._seen) > 0

    def forget_all(self) -> None:
        """Drop all remembered responses: the other end is gone."""
        self._seen.clear()
        self.forget(math.inf)


def _ticket_of(data: bytes) -> object:
    return data.ticket if isinstance(data, Arrival) else None


def _after(seconds: float, message: Message | Invalid) -> Message | Invalid:
    """A message whose caller has waited so long already."""
    if not isinstance(message, Message) or message.timeout is UNSET:
        return message
    return structs.replace(message, timeout=message.timeout - seconds)


def _is_batch(messages: Sequence[tuple[bytes, Message | Invalid]]) -> bool:
    """Whether anything in an array of messages could be read; else all of it is one bad message."""
    return any(isinstance(each, Message) for _, each in messages)


def _is_cancellation(message: Read) -> bool:
    return isinstance(message, Message) and message.method == "rpc.cancel"


def _is_for_strangers(message: Read) -> bool:
    return isinstance(message, Message) and message.method in FOR_STRANGERS


def _is_too_late(message: Read, waited: float) -> TypeGuard[Message]:
    """Whether the caller has stopped waiting, so many seconds after `LossyIncoming._read`."""
    return (
        isinstance(message, Message)
        and message.timeout is not UNSET
        and message.timeout <= max(waited, _NO_SECONDS)
    )
