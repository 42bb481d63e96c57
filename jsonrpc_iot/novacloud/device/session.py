"""One authenticated connection of a device: heartbeats, the outbox on its way out, lines coming in.

When rows may leave the outbox is decided here. With the extension `ack` the platform says so.
Without it they leave once the other end's kernel has them and the connection has lived one more
heartbeat interval; a connection that ends before leaves them where they are.
"""

import logging
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias

import anyio
import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from jsonrpc_iot import MalformedFrame

from ..messages import Ack, Command, Error, UnreadableCommand, decode_from_platform, encode_line
from ..messages import Heartbeat as HeartbeatMessage
from ..token_bucket import TokenBucket
from .link import Link, LinkSilent
from .outbox import Outbox, OutboxFailed
from .outbox_rows import Kind, Row
from .pulse import Pulse
from .settings import DeviceCounts, DeviceSettings

logger = logging.getLogger("jsonrpc_iot.novacloud")

Deliver: TypeAlias = Callable[[Command | UnreadableCommand | dict[str, Any]], object]

_HEARTBEAT = encode_line(HeartbeatMessage())
_GROUP = 64
_LONGEST_TICK = 3.0
_RETRY_SECONDS = 5.0
_MUCH_SLOWER = 10.0  # than ever before on this connection


class _Line(Struct, omit_defaults=True):
    """A row as it travels; the payload is JSON already."""

    type: Kind
    payload: Raw
    timestamp: float | UnsetType = UNSET
    seq: int | UnsetType = UNSET


class _Mark(Struct):
    """Rows that were sent: up to which byte and number, and when that was confirmed."""

    offset: int
    seq: int
    made: float
    confirmed: float | None = None


class PlatformSession:
    """What goes on while a device is connected.

    Args:
        link: leads to the platform.
        outbox: what is to be sent.
        acknowledges: the platform says what it has stored.
        pulse: how often to give signs of life.
        settings: of which the rate of draining and `ack_seconds` are used here.
        counts: of the device.
        deliver: gets commands, and messages of unknown types.

    Attributes:
        link: as above.
    """

    def __init__(
        self,
        link: Link,
        outbox: Outbox,
        *,
        acknowledges: bool,
        pulse: Pulse,
        settings: DeviceSettings,
        counts: DeviceCounts,
        deliver: Deliver,
    ) -> None:
        self.link = link
        self._outbox = outbox
        self._acknowledges = acknowledges
        self._pulse = pulse
        self._tokens = TokenBucket(settings.drain_rate, settings.drain_burst)
        self._counts = counts
        self._deliver = deliver
        self._sent = self._offered = self._acked = 0
        self._patience = settings.ack_seconds
        self._slowest = 0.0
        self._waits_since: float | None = None  # for an acknowledgement
        self._over = False
        self._marks: deque[_Mark] = deque()
        self._moved = anyio.Event()

    async def run(self) -> None:
        """Go on until the connection ends.

        Raises:
            LinkLost: it has ended; the only way out. Perhaps in a group of such.
        """
        try:
            async with anyio.create_task_group() as tasks:
                for work in (self._read, self._beat, self._drain):
                    tasks.start_soon(work)
                tasks.start_soon(self._await_acks if self._acknowledges else self._release)
        finally:
            self._over = True
            self._move(self._sent)

    async def finished(self) -> None:
        """Wait until all reports are sent, and acknowledged where they are, or the session ends."""
        while not self._over and (
            self._sent < self._outbox.last_seq
            or (self._acknowledges and self._acked < self._offered)
        ):
            await self._moved.wait()

    async def _read(self) -> None:
        while True:
            line = await self.link.receive()
            if not line or line.isspace():
                continue
            try:
                message = decode_from_platform(line)
            except MalformedFrame as error:
                self._counts.malformed += 1
                logger.warning("a line of the platform makes no sense: %s", error)
                continue
            if isinstance(message, Command | UnreadableCommand | dict):
                self._deliver(message)
            elif isinstance(message, Ack) and self._acknowledges:
                self._note_ack(min(message.payload.upto, self._offered))
                self._outbox.forget(self._acked)
                self._move(self._sent)
            elif isinstance(message, Error):
                self._counts.complaints += 1
                logger.warning("the platform complains: %.200r", message.payload.message)

    def _note_ack(self, upto: int) -> None:
        now = anyio.current_time()
        if upto > self._acked and self._waits_since is not None:
            self._slowest = max(self._slowest, now - self._waits_since)
            self._waits_since = now if upto < self._offered else None
        self._acked = upto

    async def _await_acks(self) -> None:
        """Give the connection up when there are none: the platform is not what takes our bytes."""
        while True:
            while (since := self._waits_since) is None:
                await self._moved.wait()
            seconds = max(self._patience, _MUCH_SLOWER * self._slowest)
            for _ in range(2):  # who was stopped for long reads first what has come meanwhile
                await anyio.sleep(seconds / 2)
            if self._waits_since == since:
                raise LinkSilent(f"nothing was acknowledged for {seconds:g} s")

    async def _beat(self) -> None:
        due = anyio.current_time()
        while True:
            due = max(due + self._heartbeat, anyio.current_time())
            await anyio.sleep_until(due)
            await self.link.send(_HEARTBEAT)

    async def _drain(self) -> None:
        while True:
            newest = self._outbox.ready_seq
            try:
                rows = await self._outbox.read(self._sent, _GROUP)
            except OutboxFailed as error:
                logger.error("%s", error)
                await anyio.sleep(_RETRY_SECONDS)
                continue
            if rows:
                await anyio.sleep(self._tokens.spend(len(rows), anyio.current_time()))
                await self._send(rows)
            elif newest > self._sent:  # those between were dropped, or acknowledged long ago
                self._move(newest)
            else:
                await self._outbox.changed(self._sent)

    async def _send(self, rows: list[Row]) -> None:
        self._offered = rows[-1].seq  # an acknowledgement may come before `send` returns
        await self.link.send(b"".join(map(self._line, rows)))
        self._counts.sent += len(rows)
        if self._acked < self._offered and self._waits_since is None:
            self._waits_since = anyio.current_time()
        if not self._acknowledges:
            self._mark(self._offered)
        self._move(self._offered)

    def _move(self, seq: int) -> None:
        self._sent = seq
        self._moved.set()
        self._moved = anyio.Event()

    def _line(self, row: Row) -> bytes:
        line = _Line(row.kind, Raw(row.payload), row.timestamp)
        if self._acknowledges:
            line.seq = row.seq
        elif row.kind == "status":  # the base protocol gives a status no time
            line.timestamp = UNSET
        return msgspec.json.encode(line) + b"\n"

    @property
    def _heartbeat(self) -> float:
        return self._pulse.seconds(anyio.current_time())

    @property
    def _tick(self) -> float:
        return min(self._heartbeat / 20, _LONGEST_TICK)

    def _mark(self, seq: int) -> None:
        now = anyio.current_time()
        last = self._marks[-1] if self._marks else None
        if last is None or last.confirmed is not None or now - last.made > self._tick:
            self._marks.append(_Mark(self.link.written, seq, now))
        else:  # a few marks are enough for any number of rows
            last.offset, last.seq = self.link.written, seq

    async def _release(self) -> None:
        """Forget rows that have certainly left, as far as that can be known."""
        while True:
            while not self._marks:
                await self._moved.wait()
            await anyio.sleep(self._tick)
            taken, now = self.link.taken, anyio.current_time()
            for mark in self._marks:
                if mark.confirmed is None and mark.offset <= taken:
                    mark.confirmed = now
            while self._marks:
                confirmed = self._marks[0].confirmed
                if confirmed is None or now - confirmed < self._heartbeat:
                    break
                self._outbox.forget(self._marks.popleft().seq)
