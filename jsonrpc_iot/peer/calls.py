"""The calling half of a peer: calls, notifications and streams of its own over one channel."""

from collections.abc import Callable, Coroutine, Sequence
from math import inf
from typing import Any, Protocol

from anyio.abc import TaskGroup

from ..channel.contract import Channel
from ..channel.info import ChannelInfo, check_size
from ..channel.signal import Deadlines, Signal
from ..channel.trace_context import current_traceparent
from ..errors import (
    CallTimeout,
    ChannelClosed,
    DeadlineExceeded,
    JsonRpcIotError,
    OutcomeUnknown,
    TransportError,
)
from ..protocol.items import ReceivedItems
from ..protocol.open_call import OpenCall
from ..protocol.session import Session
from .in_flight import InFlight, not_sent
from .outgoing import Outgoing

_TICK_SECONDS = 0.002  # event loops keep time in whole milliseconds


class Reader(Protocol):
    """What reads the channel."""

    def wake_up(self) -> None:
        """Go on, if anything has stopped it."""


class Calls:
    """Makes calls over one channel, between `begin` and `end`.

    Args:
        channel: carries the messages.
        session: remembers the conversation.
        tasks: runs what is sent and timed.
        outgoing: takes the messages.
        reader: reads on where it has stopped, now that an answer may come.

    Attributes:
        has_asked: it was waited for whether the other end knows the protocol's extensions.
        info: the facts about the channel.
        in_flight: gives turns to requests, where only so many may be open at once.
        is_open: calls can be made.
        session: what the two ends remember of their conversation.
        why: the channel has ended, or will, for that reason; empty for none in particular.
    """

    __slots__ = (
        "_channel",
        "_deadlines",
        "_is_wired",
        "_outgoing",
        "_reader",
        "_tasks",
        "_timer",
        "_timer_due",
        "has_asked",
        "in_flight",
        "info",
        "is_open",
        "session",
        "why",
    )

    def __init__(
        self,
        channel: Channel,
        session: Session,
        tasks: TaskGroup,
        outgoing: Outgoing,
        reader: Reader,
    ) -> None:
        self.info: ChannelInfo = channel.info
        self.session = session
        self._is_wired = False
        self._deadlines: Deadlines | None = None
        self.is_open = False
        self.has_asked = False
        self.why = ""
        self._channel = channel
        self._tasks = tasks
        self._outgoing = outgoing
        self._reader = reader
        self._timer: Signal | None = None
        self._timer_due = inf
        limit = self.info.in_flight
        self.in_flight = None if limit is None else InFlight(limit)

    def begin(self) -> None:
        """Let calls be made."""
        self.is_open = True

    def end(self) -> None:
        """Make no more calls, and fail the open ones."""
        self.is_open = False
        if self._timer is not None:
            self._timer.set()
        self.session.close(self._closed)
        if self._deadlines is not None:
            self._deadlines.close()
        if self.in_flight is not None:
            self.in_flight.end(self._closed)

    def _closed(self) -> JsonRpcIotError:
        why = f" ({self.why})" if self.why else ""
        return ChannelClosed(f"the channel to {self.info.peer} is closed{why}; outcome unknown")

    def call(
        self, method: str, params: Any, result: Any, timeout: float | None, idempotent: bool
    ) -> Coroutine[Any, Any, Any]:
        """Call a method of the other end and wait for its result; see `Peer.call`."""
        if self.in_flight is None:
            return self.call_now(method, params, result, timeout, idempotent)
        return self._call_in_turn(self.in_flight, method, params, result, timeout, idempotent)

    async def _call_in_turn(
        self,
        in_flight: InFlight,
        method: str,
        params: Any,
        result: Any,
        timeout: float | None,
        idempotent: bool,
    ) -> Any:
        async with in_flight.turn(method, timeout) as left:
            return await self.call_now(method, params, result, left, idempotent)

    async def call_now(
        self, method: str, params: Any, result: Any, timeout: float | None, idempotent: bool
    ) -> Any:
        """Call without waiting for a turn; see `Peer.call`."""
        sent_at = self._outgoing.now()
        deadline = inf if timeout is None else sent_at + timeout
        while True:
            answered = Signal(self._outgoing.loop)
            call, request = self.open(
                method, params, answered.set, timeout, idempotent=idempotent, alone_at=sent_at
            )
            await self._exchange(request, (call,), answered, timeout, sent_at)
            if not isinstance(call.outcome, OutcomeUnknown):
                return call.take_result(result)
            at = self._outgoing.now()
            if at >= deadline or not self.never_ran(call.outcome, sent_at):
                return call.take_result(result)
            timeout = None if timeout is None else deadline - at
            sent_at = at

    def never_ran(self, outcome: OutcomeUnknown, sent_at: float) -> bool:
        """Whether a request that was sent first then cannot have run, though nobody knows."""
        data = outcome.data
        listening = data.get("listening") if isinstance(data, dict) else None
        return (
            not self.info.reliable
            and isinstance(listening, int | float)
            and listening >= self._outgoing.now() - sent_at
        )

    def open(
        self,
        method: str,
        params: Any,
        on_answer: Callable[[], object],
        timeout: float | None,
        *,
        idempotent: bool = False,
        alone_at: float | None = None,
        items: ReceivedItems | None = None,
    ) -> tuple[OpenCall, bytes]:
        """Open a call; `exchange` sends it.

        Args:
            method: the name to call.
            params: an object or an array of params.
            on_answer: is called once, when the outcome is there.
            timeout: seconds that the caller will wait.
            idempotent: calling twice does no harm.
            alone_at: it is sent then, in no batch, so it can be sent again by itself.
            items: takes the result item by item.
        """
        if not self.info.can_call_back:
            raise TransportError(f"{self.info.transport} has no way to call {self.info.peer}")
        if not self.is_open:
            raise self._closed()
        self.probe()
        if self.info.reliable:
            alone_at = None
        elif alone_at is not None and self.info.retry_seconds_per_byte:
            alone_at += self._queue_seconds
        return self.session.open(
            method,
            params,
            on_answer,
            timeout=timeout,
            idempotent=idempotent,
            now=alone_at,
            items=items,
            traceparent=current_traceparent(),
        )

    def _wire(self) -> None:
        """Have the session tell of what concerns its calls, now that there are any."""
        self._is_wired = True
        if self._outgoing.loop is not None:
            self._deadlines = Deadlines(self._outgoing.loop)
        channel, session = self._channel, self.session
        session.on_repeat = channel.supersede
        session.noise.count_bytes = lambda: channel.noise_bytes
        session.first.send = self._outgoing.push

    @property
    def _queue_seconds(self) -> float:
        """How long what waits keeps a slow link busy: nobody can answer what is behind it."""
        return self._outgoing.waiting_bytes * self.info.retry_seconds_per_byte

    async def exchange(
        self,
        message: bytes,
        calls: Sequence[OpenCall],
        answered: Signal,
        timeout: float | None,
    ) -> None:
        """Send a message that holds open calls, and wait until they are answered.

        Where only so many requests may be open at once, the message waits for its turn, and counts
        as one. A call that is not answered in time gets `CallTimeout` as its outcome. A call that
        nobody waits for any more is cancelled at the other end, if that understands.
        """
        if self.in_flight is None or not calls:
            await self._exchange(message, calls, answered, timeout, self._outgoing.now())
            return
        try:
            async with self.in_flight.turn(calls[0].method, timeout) as left:
                await self._exchange(message, calls, answered, left, self._outgoing.now())
        except CallTimeout:
            for call in calls:
                call.outcome = not_sent(call.method, timeout)
        except ChannelClosed:
            pass  # that is the outcome of all calls
        finally:
            for call in calls:
                self.session.give_up(call)

    async def _exchange(
        self,
        message: bytes,
        calls: Sequence[OpenCall],
        answered: Signal,
        timeout: float | None,
        at: float,
    ) -> None:
        """Send a message now, without waiting for a turn; see `exchange`."""
        deadline = inf if timeout is None else at + timeout
        sent = False
        copies = self.session.copies
        silence = self.session.noise.begin()
        try:
            check_size(message, self.info)
            self._channel.expect_within(message, timeout)
            if not self._outgoing.is_full or await self._outgoing.has_room_by(deadline):
                sent = True
                self._outgoing.push(message)
                self._repeat(at)
                self._reader.wake_up()
                await answered.wait(deadline, self._deadlines)
            for call in calls:
                is_late = isinstance(call.outcome, DeadlineExceeded) and (
                    answered.was_late or self._outgoing.now() > deadline - _TICK_SECONDS
                )
                if call.outcome is None or is_late:
                    call.outcome = CallTimeout(silence.no_answer(call.method, timeout or 0))
        finally:
            for call in calls:
                cancellation = self.session.give_up(call)
                if sent and cancellation is not None:
                    self._outgoing.push(cancellation)
            self.forget(message, has_copy=self.session.copies > copies)

    def _repeat(self, at: float) -> None:
        """Send again what is not answered, as long as anything is under way."""
        if self.info.reliable:
            return
        if self._timer is None:
            if self.session.next_due is not None:
                self._timer = Signal()
                self._tasks.start_soon(self._run_timer)
        elif self._timer_due > at + self.info.retry_seconds:  # it sleeps for too long
            self._timer.set()

    async def _run_timer(self) -> None:
        """Look when something may be due, and not with each request and answer."""
        try:
            while self.is_open and (due := self.session.next_due) is not None:
                if self._channel.is_mid_message:  # a long answer is not asked for again
                    due = max(due, self._outgoing.now() + self.info.retry_seconds)
                self._timer_due = max(due, self._outgoing.now() + self._queue_seconds)
                self._timer = Signal()
                await self._timer.wait(self._timer_due)
                if self._channel.is_mid_message or self._queue_seconds:
                    continue
                messages = self.session.poll(self._outgoing.now())
                self._outgoing.push(*(each for each in messages if self.info.fits(each)))
        finally:
            self._timer = None

    async def send(self, message: bytes) -> None:
        """Send a notification that is encoded already; see `Peer.notify`."""
        check_size(message, self.info)
        self._channel.check(message)
        await self._outgoing.wait_for_room()
        if self._outgoing.is_broken:
            raise self._closed()
        self.push(message)

    def push_call(self, request: bytes, timeout: float | None) -> bool:
        """Send a request that is answered in time, if it fits the channel and there is room."""
        if self._outgoing.is_full or not self.info.fits(request):
            return False
        self._channel.expect_within(request, timeout)
        self._outgoing.push(request)
        self._reader.wake_up()
        return True

    def push(self, message: bytes) -> None:
        """Send a message without waiting, if it fits the channel."""
        if self.info.fits(message):
            self._outgoing.push(message)
            self._reader.wake_up()

    def abandon(self, call: OpenCall, request: bytes, *, sent: bool) -> None:
        """Wait no more for a streamed call, and cancel it at the other end if it was sent."""
        self.session.close_stream(call)
        self.forget(request, has_copy=self.session.copies > 0)
        cancellation = self.session.give_up(call)
        if sent and cancellation is not None and self.is_open:
            self.push(cancellation)

    def offer(self, message: bytes) -> bool:
        """Send a message without waiting, unless it is too large or much waits; says whether."""
        if not self.is_open or not self.info.fits(message):
            return False
        return self._outgoing.offer(message)

    def probe(self) -> None:
        """Ask what the other end understands, where it matters and is not known.

        Where only so many requests may be open at once, who needs to know asks in turn.
        """
        if not self._is_wired:
            self._wire()
        probe = self.session.probe() if self.info.reliable and self.in_flight is None else None
        if probe is not None:
            self._outgoing.push(probe)

    def forget(self, message: bytes, *, has_copy: bool = False) -> None:
        """Let nothing more leave of a message, and of its copy if there may be one."""
        self._channel.forget(message)
        if has_copy:
            self._channel.forget(self.session.codec.mark_retry(message))
            self._channel.forget(self.session.codec.mark_retry(message, late=True))
