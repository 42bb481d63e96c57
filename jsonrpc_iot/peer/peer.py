"""The one shell around session, dispatcher and channel; clients and servers are made of it.

A peer reads its channel, hands on what arrives, and ends in an orderly way; its open calls fail at
once then. Those that it makes are in `calls`, those that it answers in `incoming`.
"""

import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from math import inf
from typing import Any

import anyio
from anyio.abc import TaskGroup

from ..channel.contract import Channel, ReceivingChannel
from ..channel.door import Prove
from ..dispatch.answers import Answers
from ..dispatch.declare.context import Timeout
from ..dispatch.response import ReplyTo
from ..dispatch.run.context import CallContext
from ..dispatch.run.item_sender import ItemSender
from ..errors import FramingError, RpcError
from ..protocol.budget import Budget
from ..protocol.limits import Limits
from ..protocol.messages import Id
from ..protocol.session import Session
from ..trust.principal import Principal, Standing
from .asking import call_on, notify_on
from .calls import Calls
from .hearer import Hearer
from .incoming import Incoming
from .lossy import LossyIncoming
from .lossy_outgoing import outgoing_for
from .outgoing import BROKEN
from .parting import finish, part, say
from .remote import Remote
from .workers import Workers

logger = logging.getLogger("jsonrpc_iot.peer")

_CALL_SECONDS = 10.0
_PARTING_SECONDS = 1.0
_EXPELLING_SECONDS = 0.2


class Peer(Remote, Hearer):
    """One end of a connection.

    Args:
        channel: carries the messages; the peer closes it.
        dispatcher: answers what the other end calls.
        session: remembers the conversation.
        tasks: runs the calls of the other end, and must outlive the peer's `run`.
        limits: bounds on what the other end may cost.
        standing: who the other end is; by default whom its link has proved.
        prove: has the other end prove by a token who it is; by default it cannot.
        probe: ask at once whether the other end understands the protocol's extensions.
        on_open: is called once, when calls can be made.
        on_end: is called once, when no more calls can be made.
        on_wake: is called when `run` has returned since the channel rests, and must be called
            again; by default it returns at the end alone.
        budget: what may be remembered of requests on channels that lose messages.
        since: when this end began to listen at its address, as the event loop counts; by default
            nobody was there before.
        workers: run the calls of the other end; by default its own ones do, in `tasks`.

    Attributes:
        calls: makes the calls of this end.
        is_attached: the channel hands out its messages by itself.
        session: what the two ends remember of their conversation.
    """

    __slots__ = (
        "_broken",
        "_channel",
        "_grace",
        "_incoming",
        "_is_resting",
        "_limits",
        "_on_end",
        "_on_open",
        "_on_wake",
        "_opened_at",
        "_outgoing",
        "_probe",
        "_prove",
        "_reading",
        "_tasks",
        "_waiting",
        "calls",
        "is_attached",
        "session",
    )

    def __init__(
        self,
        channel: Channel,
        dispatcher: Answers,
        session: Session,
        tasks: TaskGroup,
        *,
        limits: Limits,
        standing: Standing | None = None,
        prove: Prove | None = None,
        probe: bool = False,
        on_open: Callable[["Peer"], object] | None = None,
        on_end: Callable[["Peer"], object] | None = None,
        on_wake: Callable[["Peer"], object] | None = None,
        budget: Budget | None = None,
        since: float = -inf,
        workers: Workers | None = None,
    ) -> None:
        super().__init__(channel.info, standing or Standing(channel.principal))
        self.session = session
        self._channel = channel
        self._tasks = tasks
        self._outgoing = outgoing_for(channel, session, tasks, limits.queue_bytes, self._break)
        session.on_stray = self._note_stray
        self._prove = prove
        self._limits = limits
        self._probe = probe
        self._on_open = on_open
        self._on_end = on_end
        self._on_wake = on_wake
        context = CallContext(self, self.info, self.standing)
        responder = dispatcher.responder(self.info.codec)
        half = (responder, session, self._outgoing, workers or Workers(tasks), context, limits)
        self._incoming: Incoming
        if self.info.reliable:
            self._incoming = Incoming(*half)
        else:
            budget = budget or Budget(limits.remembered, limits.remembered_bytes)
            self._incoming = LossyIncoming(*half, budget, since)
        self.calls = Calls(channel, session, tasks, self._outgoing, self._incoming)
        self._reading: anyio.CancelScope | None = None
        self._opened_at = 0.0
        self._waiting = False
        self.is_attached = False
        self._is_resting = False
        self._grace: float | None = None
        self._broken = False

    async def run(self) -> bool:
        """Serve the channel until it ends, then close it; or until it rests, given `on_wake`.

        Returns:
            Whether it rests: nobody has to wait for it until `on_wake` is called.
        """
        try:
            if not self.calls.is_open:
                self._channel.keep_while(lambda: self.is_busy)
                self._begin()
                self._channel.offer_to(self.take)
            if not self._rest() and not self._broken:
                with anyio.CancelScope() as self._reading:
                    await self._read()
            if self._is_resting:
                self._reading = None
                return True
            self._end()
            await self._finish()
        finally:
            if not self._is_resting:
                self.end()
                with anyio.move_on_after(_PARTING_SECONDS, shield=True):
                    await self._channel.aclose()
        return False

    def _rest(self) -> bool:
        """Let the channel rest, if it can and is not to end; says whether it does."""
        if self._on_wake is not None and self._grace is None and not self._broken:
            self._is_resting = self._channel.rest(self._wake)
        return self._is_resting

    def _wake(self) -> None:
        """Have `run` called again, now that somebody has to wait for something."""
        if self._is_resting and self._on_wake is not None:
            self._is_resting = False
            self._on_wake(self)

    async def attach(self, channel: ReceivingChannel) -> None:
        """Serve a channel that hands out its messages by itself, until `end`."""
        self.is_attached = True
        self._begin()
        await channel.attach(self)

    def take(self, messages: Sequence[bytes]) -> bool:
        """Handle messages if nobody has to wait for that; says whether it did."""
        try:
            is_taken = self._incoming.take(messages)
        except Exception:
            logger.exception("%s: receiving failed", self.info.peer, extra=self.about)
            is_taken = True
        if is_taken and (traffic := self._outgoing.traffic) is not None:
            traffic.note_in(messages)
        return is_taken

    async def handle(self, messages: Sequence[bytes]) -> None:
        """Handle messages of an attached channel."""
        if self._outgoing.traffic is not None:
            self._outgoing.traffic.note_in(messages)
        try:
            await self._incoming.handle(messages)
        except Exception:
            logger.exception("%s: receiving failed", self.info.peer, extra=self.about)

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

    @property
    def is_stranger(self) -> bool:
        """Whether the other end has said nothing valid so far."""
        return self.session.jsonrpc is None

    @property
    def principal(self) -> Principal | None:
        """Who the other end has proved to be, `None` for a stranger."""
        return self.standing.principal

    def become(self, principal: Principal) -> None:
        """Know the other end as somebody from now on, also for what runs already."""
        self.standing.become(principal)

    def prove(self, token: str) -> Awaitable[None] | None:
        """Have the other end prove by a token who it is; see `Connection.prove`."""
        judged, prove = self._incoming.note_judged, self._prove
        return None if prove is None else prove(self._channel, self.standing, token, judged)

    def expel(self, error: RpcError) -> None:
        """Part with the other end, which may not stay.

        Args:
            error: why; it answers what runs and what still comes, and is sent without an id if
                nothing runs.
        """
        self.standing.refusal = error
        if self._incoming.is_busy:
            self._incoming.cancel_all(error)
        else:
            say(error, self.session, self._outgoing)
        self._channel.tell_why(error.message)
        self.leave(_EXPELLING_SECONDS)

    @property
    def holds_replies(self) -> bool:
        """Whether the other end may ask for something again that it was told already."""
        return self._incoming.holds_replies

    @property
    def missed(self) -> int:
        """Messages of the other end that came faster than they were taken."""
        return self._channel.missed

    async def notify(self, method: str, params: Any = None) -> None:
        """Send a notification to the other end, if it wants to hear it; see `Client.notify`."""
        if self._wants(method):
            await notify_on(self.calls, method, params)

    def _call(
        self, method: str, params: Any, result: Any, timeout: Timeout, idempotent: bool
    ) -> Coroutine[Any, Any, Any]:
        return call_on(self.calls, method, params, result, self._seconds(timeout), idempotent)

    @property
    def _usual_timeout(self) -> float:
        return _CALL_SECONDS

    async def _find_calls(self, timeout: float | None) -> Calls:
        return self.calls

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
        if self.is_attached:
            self._tasks.start_soon(self._leave_attached)
        elif self._waiting and self._reading is not None:
            self._reading.cancel()
        else:
            self._wake()

    async def _leave_attached(self) -> None:
        await self._finish()
        await self._channel.aclose()

    def check(self, now: float) -> None:
        """End the channel of a peer that does not read, or has never said anything.

        Args:
            now: the event loop's time.
        """
        self._incoming.forget(now)
        is_late = now - self._opened_at > self._limits.silent_seconds
        if self._outgoing.is_stalled():
            logger.warning("%s does not read; closing", self.info.peer, extra=self.about)
            self._break()
        elif is_late and self.is_stranger and self.info.reliable:  # a line is no connection
            logger.info("%s says nothing; closing", self.info.peer, extra=self.about)
            self._break()

    def _begin(self) -> None:
        self.calls.begin()
        self._opened_at = anyio.current_time()
        self._channel.tell_failed(self.session.fail)
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
                await self._incoming.handle(messages)
                if self._rest():
                    break
        except anyio.EndOfStream as end:
            self.calls.why = str(end)
        except BROKEN as error:
            self._broken = True
            self.calls.why = str(error)
        except FramingError as failure:
            logger.warning("%s: %s; closing", self.info.peer, failure, extra=self.about)
            self.calls.why = str(failure)
            await self._say_why(failure)
        except Exception:
            logger.exception("%s: receiving failed; closing", self.info.peer, extra=self.about)
            self._broken = True

    async def _finish(self) -> None:
        """Let running calls end and their answers leave."""
        if self._broken:
            return
        patience = self._limits.linger_seconds if self._grace is None else self._grace
        writing = self._patience(self._limits.message_seconds)
        await finish(self._incoming, self._outgoing, patience, writing)
        so_far = self.session.exchanged  # a response may come that nobody waits for
        is_owed = so_far.asked > so_far.heard + so_far.failed
        if self._grace is not None and (is_owed or not self._probe):
            await part(self._channel, self._patience(_PARTING_SECONDS))

    def _patience(self, seconds: float) -> float:
        """How long to wait for the other end; hardly, if it may not do anything here."""
        return seconds if self.standing.refusal is None else min(seconds, _EXPELLING_SECONDS)

    async def _say_why(self, failure: FramingError) -> None:
        say(failure.error, self.session, self._outgoing)
        with anyio.move_on_after(_PARTING_SECONDS):
            await self._outgoing.drain()
        await part(self._channel, self._patience(_PARTING_SECONDS))
        self._broken = True

    def _note_stray(self, what: str) -> None:
        say = logger.debug if self.info.is_shared else logger.info  # answers to others
        say("%s: dropped %s", self.info.peer, what, extra=self.about)

    def _break(self, why: str = "") -> None:
        self._broken = True
        self.calls.why = self.calls.why or why
        self._outgoing.abort()
        self._incoming.cancel_all()
        if self.is_attached:
            self._tasks.start_soon(self._channel.aclose)
        elif self._reading is not None:
            self._reading.cancel()
        else:
            self._wake()
