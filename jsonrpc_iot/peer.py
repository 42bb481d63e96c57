"""The one shell around session, dispatcher and channel; clients and servers are made of it.

A peer reads its channel, answers requests, makes calls of its own, and keeps the other end from
costing more than the limits allow. However the channel ends, its open calls fail at once.
"""

import logging
import random
from collections.abc import Callable, Container, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar, cast

import anyio
from anyio.abc import TaskGroup, TaskStatus

from .channel import Channel, ChannelInfo
from .context import Context
from .dispatcher import Dispatcher
from .errors import (
    Busy,
    CallTimeout,
    ChannelClosed,
    FramingError,
    JsonRpcIotError,
    MessageTooLarge,
    TransportError,
)
from .outgoing import BROKEN, Outgoing
from .protocol.codec import JsonCodec
from .protocol.limits import Limits
from .protocol.messages import Dialect, Id, Message
from .protocol.session import OpenCall, Session
from .work import Batch, Work

T = TypeVar("T")

logger = logging.getLogger("jsonrpc_iot.peer")

_FLUSH_BYTES = 1 << 16
_PARTING_SECONDS = 1.0
_RETRY_AFTER_SECONDS = 1.0


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
        on_end: is called once, when no more calls can be made.

    Attributes:
        info: the facts about the channel.
        session: what the two ends remember of their conversation.
    """

    __slots__ = (
        "_broken",
        "_channel",
        "_context",
        "_dispatcher",
        "_in_flight",
        "_leaving",
        "_limits",
        "_on_end",
        "_open",
        "_outgoing",
        "_probe",
        "_reading",
        "_room",
        "_running",
        "_tasks",
        "_waiting",
        "_writes_seen",
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
        on_end: Callable[[], object] = lambda: None,
    ) -> None:
        self.info: ChannelInfo = channel.info
        self._channel = channel
        self._dispatcher = dispatcher
        self.session = session
        self._limits = limits
        self._context = Context(self, self.info, permissions)
        self._outgoing = Outgoing(channel, limits.queue_bytes, self._break)
        self._tasks = tasks
        self._reading: anyio.CancelScope | None = None
        self._running: list[Work] = []
        self._in_flight = 0
        self._room: anyio.Event | None = None
        self._waiting = False
        self._writes_seen = -1
        self._leaving: float | None = None
        self._broken = False
        self._open = False
        self._probe = probe
        self._on_end = on_end

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Serve the channel until it ends, then close it. Reports itself started at once."""
        try:
            with anyio.CancelScope() as self._reading:
                self._open = True
                if self._probe:
                    self._send_probe()
                task_status.started()
                await self._read()
            self._end()
            await self._finish()
        finally:
            self._end()
            for work in tuple(self._running):
                work.cancel()
            with anyio.move_on_after(_PARTING_SECONDS, shield=True):
                await self._channel.aclose()

    async def call(
        self,
        method: str,
        params: Any = None,
        *,
        result: type[T] = Any,  # type: ignore[assignment]
        timeout: float | None = 10.0,
    ) -> T:
        """Call a method of the other end and wait for its result.

        Args:
            method: the name to call.
            params: an object (dict, Struct, dataclass) or an array (list, tuple) of params.
            result: the type that the result must have; it is decoded into it.
            timeout: seconds to wait, `None` for ever.

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
        call, request = self.open(method, params, answered.set, timeout)
        await self.exchange(request, (call,), answered, timeout)
        return call.result(result)

    def open(
        self,
        method: str,
        params: Any,
        on_answer: Callable[[], object],
        timeout: float | None,
    ) -> tuple[OpenCall, bytes]:
        """Open a call; `exchange` sends it.

        Args:
            method: the name to call.
            params: an object or an array of params.
            on_answer: is called once, when the outcome is there.
            timeout: seconds that the caller will wait.
        """
        if not self.info.can_call_back:
            raise TransportError(f"{self.info.transport} has no way to call {self.info.peer}")
        if not self._open:
            raise self._closed()
        self._send_probe()
        return self.session.open(method, params, on_answer, timeout=timeout)

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
        try:
            with anyio.move_on_after(timeout):
                await self._push(message)
                if self._room is not None:
                    self._room.set()  # who reads no further must do so now, or miss the answer
                await answered.wait()
            for call in calls:
                if call.outcome is None:
                    call.outcome = CallTimeout(f"{call.method}: no answer within {timeout} s")
        finally:
            for call in calls:
                cancellation = self.session.give_up(call)
                if cancellation is not None:
                    self._outgoing.push(cancellation, self._tasks)

    async def notify(self, method: str, params: Any = None) -> None:
        """Send a notification.

        Raises:
            ChannelClosed: the channel is closed.
            MessageTooLarge: the notification does not fit the channel.
            Unencodable: the codec has no form for the params.
        """
        await self._push(self.session.notification(method, params))

    def offer(self, message: bytes) -> bool:
        """Send a message without waiting; drop and count it when too much waits already.

        Returns:
            Whether it was taken.
        """
        limit = self.info.max_message
        if not self._open or (limit is not None and len(message) > limit):
            return False
        return self._outgoing.offer(message, self._tasks)

    def cancel(self, id: Id) -> None:
        """Cancel the other end's running calls of that id."""
        for work in self._running:
            if type(work.call.id) is type(id) and work.call.id == id:
                work.cancel()

    def leave(self, grace: float) -> None:
        """Read no more, let running calls finish for `grace` seconds, and end."""
        self._leaving = grace
        if self._room is not None:
            self._room.set()
        if self._waiting and self._reading is not None:
            self._reading.cancel()

    def abort_if_stalled(self) -> None:
        """End the channel if the write that was under way when last asked still is."""
        if self._outgoing.busy and self._outgoing.writes == self._writes_seen:
            logger.warning("%s does not read; closing", self.info.peer)
            self._break()
        self._writes_seen = self._outgoing.writes if self._outgoing.busy else -1

    def _end(self) -> None:
        if self._open:
            self._open = False
            self.session.close(self._closed)
            self._on_end()

    def _send_probe(self) -> None:
        """Ask what the other end understands, where it matters and is not known."""
        probe = self.session.probe() if self.info.reliable else None
        if probe is not None:
            self._outgoing.push(probe, self._tasks)

    async def _read(self) -> None:
        begin = self._dispatcher.begin
        limit = self.info.max_message
        try:
            while self._leaving is None:
                self._waiting = True
                messages = await self._channel.receive_batch()
                self._waiting = False
                replies: list[bytes] = []
                size = 0
                for message in messages:
                    begun = begin(message, self._context, limit, self.session)
                    if type(begun) is bytes:
                        replies.append(begun)
                        size += len(begun)
                    elif begun is not None:
                        await self._start(cast(Work | Batch, begun), replies)
                    if size > _FLUSH_BYTES:
                        await self._outgoing.send(replies)
                        replies, size = [], 0
                if replies:
                    await self._outgoing.send(replies)
        except anyio.EndOfStream:
            pass
        except BROKEN:
            self._broken = True
        except FramingError as failure:
            logger.warning("%s: %s; closing", self.info.peer, failure)
            await self._say_why(failure)

    async def _start(self, begun: Work | Batch, replies: list[bytes]) -> None:
        """Start calls that take time; wait for a free place where the channel can wait."""
        batch = begun if isinstance(begun, Batch) else None
        for work in begun.works if isinstance(begun, Batch) else (begun,):
            if self._in_flight >= self._limits.in_flight:
                if replies:
                    await self._outgoing.send(tuple(replies))
                    replies.clear()
                if not await self._make_room():
                    busy = work.refuse(Busy(data={"retry_after": _RETRY_AFTER_SECONDS}))
                    busy = batch.finish(busy) if batch else busy
                    if busy is not None:
                        replies.append(busy)
                    continue
            self._in_flight += 1
            self._running.append(work)
            self._tasks.start_soon(self._run, work, batch)

    async def _make_room(self) -> bool:
        """Wait until fewer calls run.

        Who waits does not read. So where an answer to a call of our own may be on its way, or the
        channel cannot hold back what is sent, the call is turned away instead.
        """
        while self._in_flight >= self._limits.in_flight:
            if self.session.open_calls or not self.info.reliable or self._leaving is not None:
                return False
            await self._next_finish()
        return True

    async def _next_finish(self) -> None:
        self._room = anyio.Event()
        try:
            await self._room.wait()
        finally:
            self._room = None

    async def _run(self, work: Work, batch: Batch | None) -> None:
        try:
            reply = await work.run()
            self._running.remove(work)
            if batch is not None:
                reply = batch.finish(reply)
            if reply is not None:
                await self._outgoing.send((reply,))
        finally:
            self._in_flight -= 1
            if self._room is not None:
                self._room.set()

    async def _finish(self) -> None:
        """Let running calls end and their answers leave."""
        if self._broken:
            return
        with anyio.move_on_after(
            self._limits.linger_seconds if self._leaving is None else self._leaving
        ):
            while self._in_flight and not self._broken:
                await self._next_finish()
            await self._outgoing.drain()
        if self._leaving is not None:
            await self._part()

    async def _say_why(self, failure: FramingError) -> None:
        farewell = self._dispatcher.codec.encode_error(None, failure.error, "2.0")
        assert farewell is not None
        await self._outgoing.send((farewell,))
        await self._part()
        self._broken = True

    async def _part(self) -> None:
        """Give the other end a moment to read the last messages.

        Closing at once with something unread would reset the connection, and lose them.
        """
        with anyio.move_on_after(_PARTING_SECONDS):
            try:
                await self._channel.send_eof()
                while True:
                    await self._channel.receive()
            except (anyio.EndOfStream, FramingError, NotImplementedError, *BROKEN):
                pass

    async def _push(self, message: bytes) -> None:
        limit = self.info.max_message
        if limit is not None and len(message) > limit:
            raise MessageTooLarge(len(message), limit)
        if not self._open:
            raise self._closed()
        self._outgoing.push(message, self._tasks)
        await self._outgoing.wait_for_room()

    def _break(self) -> None:
        self._broken = True
        if self._reading is not None:
            self._reading.cancel()
        if self._room is not None:
            self._room.set()

    def _closed(self) -> JsonRpcIotError:
        return ChannelClosed(f"the channel to {self.info.peer} is closed; outcome unknown")


def new_session(
    codec: JsonCodec,
    info: ChannelInfo,
    *,
    dialect: Dialect = "iot",
    extensions: bool | None = None,
    on_notification: Callable[[Message], object] | None = None,
) -> Session:
    """A session for a channel; the parameters are `Session`'s."""
    return Session(
        codec,
        first_id=1 if info.reliable else random.randrange(1, 1 << 31),
        dialect=dialect,
        extensions=extensions,
        on_notification=on_notification,
        on_stray=partial(logger.info, "%s: dropped %s", info.peer),
    )


async def watch(peers: Callable[[], Iterable[Peer]], limits: Limits) -> None:
    """Look for peers that do not read, until cancelled."""
    while True:
        await anyio.sleep(limits.send_seconds)
        for peer in tuple(peers()):
            peer.abort_if_stalled()
