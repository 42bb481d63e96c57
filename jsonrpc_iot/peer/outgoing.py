"""What waits to be sent over one channel.

Whoever has something to send while nobody else is sending sends it there and then, without waiting
where the link takes it; there is no writer task that sits and waits. What piles up meanwhile, or in
one pass of the event loop after something has left, leaves together. For callers who may give up,
what the link does not take at once leaves from a task, since half a message would break the stream
for everybody.
"""

import logging
from collections.abc import Callable, Sequence

import anyio
from anyio.abc import TaskGroup

from ..channel.clock import asyncio_loop, clock
from ..channel.contract import Channel
from ..channel.traffic import Traffic
from ..protocol.about import about

logger = logging.getLogger("jsonrpc_iot.peer")

BROKEN = (anyio.BrokenResourceError, anyio.ClosedResourceError)


class Outgoing:
    """The sending half of a peer.

    Args:
        channel: takes the messages.
        tasks: runs what is pushed.
        limit: bytes that may wait.
        on_broken: is called when the channel takes no more, with the reason if there is one.

    Attributes:
        is_broken: nothing more is sent.
        loop: the event loop, if it is asyncio's.
        now: gives the event loop's time.
        needs_receiver: the task that reads the channel must not wait for what is sent.
        dropped: messages that were offered while too many bytes waited.
        traffic: counts what has left, `None` where nobody does.
    """

    __slots__ = (
        "_busy",
        "_bytes",
        "_channel",
        "_is_warm",
        "_limit",
        "_on_broken",
        "_queue",
        "_stalled_at",
        "_tasks",
        "_wake",
        "_writes",
        "dropped",
        "is_broken",
        "loop",
        "needs_receiver",
        "now",
        "traffic",
    )

    _gathers = True  # what follows in the same pass of the event loop leaves together

    def __init__(
        self,
        channel: Channel,
        tasks: TaskGroup,
        limit: int,
        on_broken: Callable[[str], object],
    ) -> None:
        self._channel = channel
        self._tasks = tasks
        self._limit = limit
        self._on_broken = on_broken
        self._queue: list[bytes] = []
        self._bytes = 0
        self._busy = False
        self.loop = asyncio_loop()
        self.now = clock()
        self._is_warm = False  # something left in this pass of the event loop; more may follow
        self.is_broken = False
        self.needs_receiver = channel.info.sends_need_receiver
        self._writes = 0
        self._stalled_at: tuple[int, int] | None = None
        self._wake: anyio.Event | None = None
        self.dropped = 0
        self.traffic: Traffic | None = None

    @property
    def waiting_bytes(self) -> int:
        """Bytes of what waits to be sent."""
        return self._bytes

    @property
    def is_full(self) -> bool:
        """Whether so much waits that nothing more should."""
        return self._bytes > self._limit

    async def send(self, messages: Sequence[bytes], *, are_responses: bool = True) -> None:
        """Send messages; returns when they are sent or have room to wait.

        Not for callers who may give up. Says nothing when the channel is broken: `on_broken` does.

        Args:
            messages: to be sent.
            are_responses: as in `push`.
        """
        messages = self._screened(messages, are_responses)
        if self._busy or self._queue or self._is_warm:
            self._push(messages)
            await self.wait_for_room()
            return
        self._send_now(messages)
        if self._queue and not self.is_broken:
            await self._flush()

    def push(self, *messages: bytes, are_responses: bool = False) -> None:
        """Send messages at once, or from a task of their own, whatever waits already.

        Args:
            messages: to be sent.
            are_responses: each answers one request, and neither a batch nor one for a stream.
        """
        self._push(self._screened(messages, are_responses))

    def _screened(self, messages: Sequence[bytes], are_responses: bool) -> Sequence[bytes]:
        """Those of the messages that may leave now."""
        return messages

    def _push(self, messages: Sequence[bytes]) -> None:
        if self._busy or self._queue or self._is_warm:
            self._add(messages)
        else:
            self._send_now(messages)
        if self._queue and not (self._busy or self.is_broken):
            self._busy = True
            self._tasks.start_soon(self._flush)

    def _add(self, messages: Sequence[bytes]) -> None:
        if not self.is_broken:  # whoever answers what has come before may have much to say
            self._queue.extend(messages)
            self._bytes += sum(map(len, messages))

    def _send_now(self, messages: Sequence[bytes]) -> None:
        """Send what the link takes at once, while nothing waits; the rest waits from now on."""
        if self.is_broken or not messages:
            return
        try:
            sent = self._channel.send_now(messages)
        except BROKEN as error:
            self._fail(str(error))
            return
        except Exception:
            logger.exception(
                "%s: sending failed", self._channel.info.peer, extra=about(self._channel.info.peer)
            )
            self._fail()
            return
        if sent < len(messages):
            self._add(messages[sent:])
        if sent:
            self._note_left(messages[:sent])
            if self._gathers and self.loop is not None:
                self._is_warm = True
                self.loop.call_soon(self._cool)

    def _cool(self) -> None:
        self._is_warm = False

    def _note_left(self, messages: Sequence[bytes]) -> None:
        """Note that the link has taken messages."""
        self._writes += 1
        if (traffic := self.traffic) is not None:
            traffic.messages_out += len(messages)
            for each in messages:
                traffic.bytes_out += len(each)

    def offer(self, message: bytes) -> bool:
        """Push a message, or drop and count it when too much waits.

        Returns:
            Whether it was pushed.
        """
        if self.is_full:
            self.dropped += 1
            return False
        self.push(message)
        return True

    async def wait_for_room(self) -> None:
        """Wait until not too much waits, or nothing more is sent."""
        while self.is_full and not self.is_broken:
            await self._next_write()

    async def has_room_by(self, deadline: float) -> bool:
        """Wait as `wait_for_room` does, but no longer; says whether it came to that.

        Args:
            deadline: as the event loop counts.
        """
        if self.is_full:
            with anyio.CancelScope(deadline=deadline) as scope:
                await self.wait_for_room()
            return not scope.cancelled_caught
        return True

    async def drain(self) -> None:
        """Wait until all that waits is sent."""
        while self._busy and not self.is_broken:
            await self._next_write()

    def abort(self) -> None:
        """Send no more, and let nobody wait for it."""
        self.is_broken = True
        self._wake_up()

    def is_stalled(self) -> bool:
        """Whether a write is under way that has not moved since this was last asked."""
        progress = (self._writes, self._channel.pieces_sent)
        stalled = self._busy and self._stalled_at == progress
        self._stalled_at = progress if self._busy else None
        return stalled

    async def _flush(self) -> None:
        self._busy = True
        try:
            waiting, self._queue, self._bytes = self._queue, [], 0
            self._send_now(waiting)
            while self._queue and not self.is_broken:
                messages, self._queue = self._queue, []
                await self._write(messages)
                self._wake_up()
        finally:
            self._busy = False
            self._wake_up()

    async def _write(self, messages: Sequence[bytes]) -> None:
        try:
            await self._hand_over(messages)
        except BROKEN as error:
            self._fail(str(error))
        except Exception:
            logger.exception(
                "%s: sending failed", self._channel.info.peer, extra=about(self._channel.info.peer)
            )
            self._fail()

    async def _hand_over(self, messages: Sequence[bytes]) -> None:
        await self._channel.send_batch(messages)
        self._note_written(messages)

    def _note_written(self, messages: Sequence[bytes]) -> None:
        self._bytes -= sum(map(len, messages))
        self._note_left(messages)

    def _fail(self, why: str = "") -> None:
        self.abort()
        self._on_broken(why)

    def _wake_up(self) -> None:
        if self._wake is not None:
            self._wake.set()
            self._wake = None

    async def _next_write(self) -> None:
        self._wake = self._wake or anyio.Event()
        await self._wake.wait()
