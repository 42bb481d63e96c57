"""The calling half of a peer: calls, notifications and streams of its own over one channel."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

import anyio
from anyio.abc import TaskGroup

from .channel import Channel, ChannelInfo
from .errors import (
    CallTimeout,
    ChannelClosed,
    JsonRpcIotError,
    MalformedResponse,
    MessageTooLarge,
    RpcError,
    TransportError,
)
from .in_flight import InFlight, not_sent
from .outgoing import Outgoing
from .protocol.session import OpenCall, Session
from .protocol.stream import FIRST_CREDIT, ReceivedItems
from .stream import Stream

T = TypeVar("T")

_ASKING_SECONDS = 2.0


class Calling(ABC):
    """Makes calls over one channel, as long as it is open.

    Args:
        channel: carries the messages.
        session: remembers the conversation.
        tasks: runs what is sent and timed.
        queue_bytes: bytes that may wait to be sent.

    Attributes:
        info: the facts about the channel.
        in_flight: gives turns to requests, where only so many may be open at once.
        session: what the two ends remember of their conversation.
    """

    __slots__ = (
        "_channel",
        "_new_timer",
        "_open",
        "_outgoing",
        "_tasks",
        "in_flight",
        "info",
        "session",
    )

    def __init__(
        self, channel: Channel, session: Session, tasks: TaskGroup, queue_bytes: int
    ) -> None:
        self.info: ChannelInfo = channel.info
        self.session = session
        self._channel = channel
        self._tasks = tasks
        self._outgoing = Outgoing(channel, tasks, queue_bytes, self._break)
        self._new_timer: anyio.Event | None = None
        self._open = False
        limit = self.info.in_flight
        self.in_flight = None if limit is None else InFlight(limit)

    @abstractmethod
    def _closed(self) -> JsonRpcIotError:
        """The error of calls that the end of the channel leaves without an answer."""

    @abstractmethod
    def _break(self) -> None:
        """End at once: the channel takes no more."""

    @abstractmethod
    def _wake_reader(self) -> None:
        """Have the channel read on, now that an answer may come."""

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
        if self.in_flight is None:
            return await self._call(method, params, result, timeout, idempotent)
        async with self.in_flight.turn(method, timeout) as left:
            return await self._call(method, params, result, left, idempotent)

    async def _call(
        self, method: str, params: Any, result: Any, timeout: float | None, idempotent: bool
    ) -> Any:
        """Call without waiting for a turn."""
        answered = anyio.Event()
        call, request = self.open(
            method, params, answered.set, timeout, idempotent=idempotent, alone=True
        )
        await self._exchange(request, (call,), answered, timeout)
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

        Where only so many requests may be open at once, the message waits for its turn, and counts
        as one. A call that is not answered in time gets `CallTimeout` as its outcome. A call that
        nobody waits for any more is cancelled at the other end, if that understands.
        """
        if self.in_flight is None or not calls:
            await self._exchange(message, calls, answered, timeout)
            return
        try:
            async with self.in_flight.turn(calls[0].method, timeout) as left:
                await self._exchange(message, calls, answered, left)
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
        answered: anyio.Event,
        timeout: float | None,
    ) -> None:
        """Send a message without waiting for a turn; see `exchange`."""
        sent = False
        try:
            self._check_size(message)
            self._channel.expect_within(message, timeout)
            with anyio.move_on_after(timeout):
                await self._outgoing.wait_for_room()
                sent = True
                self._outgoing.push(message)
                self._repeat()
                self._wake_reader()
                await answered.wait()
            for call in calls:
                if call.outcome is None:
                    call.outcome = CallTimeout(
                        f"{call.method}: no answer within {round(timeout or 0, 3):g} s"
                    )
        finally:
            cancellations = [self.session.give_up(call) for call in calls]
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
                self._outgoing.push(*(each for each in messages if self.info.fits(each)))
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
        if self.info.fits(message):
            self._outgoing.push(message)
            self._wake_reader()

    async def learn_extensions(self, timeout: float | None) -> bool:
        """Find out whether the other end understands the protocol's extensions.

        Args:
            timeout: seconds that the caller has. One that does not say is not waited for as long.

        Raises:
            CallTimeout: it could not be asked in time, because other calls were open for so long.
        """
        if self.session.extensions is None:
            if self.in_flight is None:
                await self._ask_for_extensions(timeout)
            else:
                async with self.in_flight.turn("rpc.ping", timeout) as left:
                    if self.session.extensions is None:  # else another one has asked meanwhile
                        await self._ask_for_extensions(left)
        return bool(self.session.extensions)

    async def _ask_for_extensions(self, timeout: float | None) -> None:
        seconds = _ASKING_SECONDS if timeout is None else min(_ASKING_SECONDS, timeout)
        known: bool | None = None
        try:
            known = await self._call("rpc.ping", None, Any, seconds, True) is True
        except (RpcError, MalformedResponse):
            known = False
        except CallTimeout:
            pass
        if self.session.extensions is None:
            self.session.extensions = known

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

        async def myself(timeout: float | None) -> Calling:
            return self

        return Stream(myself, method, params, item, timeout, window)

    def offer(self, message: bytes) -> bool:
        """Send a message without waiting; drop it when it is too large or too much waits already.

        Returns:
            Whether it was taken.
        """
        if not self._open or not self.info.fits(message):
            return False
        return self._outgoing.offer(message)

    def _send_probe(self) -> None:
        """Ask what the other end understands, where it matters and is not known.

        Where only so many requests may be open at once, who needs to know asks in turn.
        """
        probe = self.session.probe() if self.info.reliable and self.in_flight is None else None
        if probe is not None:
            self._outgoing.push(probe)

    def _check_size(self, message: bytes) -> None:
        if self.info.max_message is not None and not self.info.fits(message):
            raise MessageTooLarge(len(message), self.info.max_message)
