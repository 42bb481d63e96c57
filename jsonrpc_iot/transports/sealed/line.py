"""The server's end of a line that plain and sealed ends share, such as a serial one.

What is not sealed goes through one channel, as it would without keys. Each sealed client has its
seat, and a channel of its own.
"""

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from math import inf

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup
from msgspec import structs

from ...channel.changes import Change
from ...channel.clock import now
from ...channel.contract import Channel, Serve
from ...channel.drops import added
from ...channel.info import ChannelInfo
from ...channel.wrappers import WrappedChannel
from ...errors import TransportError
from ...protocol.about import about
from ...protocol.limits import Limits
from ...protocol.seal.crypto import Crypto
from ...protocol.seal.packets import Form
from ...protocol.seal.server import IDLE_SECONDS
from ..inbox import Inbox
from ..packets.demux import Demux
from ..packets.gate import Keys

logger = logging.getLogger("jsonrpc_iot.transports")

_SWEEP_SECONDS = 5.0
_PLAIN_SECONDS = 3.0
"""Who has connected and says nothing for so long may wait for what is not sealed."""
_WAITING_PACKETS = 64
_LINE = "line"
"""The one address there is."""

_ENDED = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)


class SharedLine:
    """A line, and the channels on it.

    Args:
        inner: carries packets and plain messages.
        crypto: the primitives.
        keys: finds the keys that open.
        form: how packets travel.
        limits: bounds on what peers may cost.

    Attributes:
        unsent: packets that were dropped because too many waited.
    """

    def __init__(
        self, inner: Channel, crypto: Crypto, keys: Keys, form: Form, limits: Limits
    ) -> None:
        self._inner = inner
        self._form = form
        self._sending = anyio.Lock(fast_acquire=True)
        self._plain: PlainChannel | None = None
        self._outbox: deque[bytes] = deque()
        self._put = Change()
        self._left = Change()
        self._demux: Demux[str] = Demux(
            self._transmit,
            self._describe,
            max_peers=limits.peers,
            wait_for_room=self._wait_for_room,
        )
        # Where a link ends with its other end, so do the sessions, and not before.
        lasting = inner.info.reliable
        self._demux.seal_with(crypto, keys, inf if lasting else IDLE_SECONDS)
        self.unsent = 0

    async def serve(self, handler: Serve) -> None:
        """Run the handler for each channel, until the line ends."""
        try:
            async with anyio.create_task_group() as beside:
                beside.start_soon(self._send_all)
                beside.start_soon(self._sweep)
                async with anyio.create_task_group() as serving:
                    try:
                        await self._read(handler, serving)
                    except _ENDED as error:
                        if self._plain is not None:
                            self._plain.end(error)
                        await self._demux.aclose()
                beside.cancel_scope.cancel()
        finally:
            await anyio.aclose_forcefully(self._inner)

    async def _read(self, handler: Serve, serving: TaskGroup) -> None:
        batch: list[bytes] | None = None
        if self._inner.info.reliable:
            with anyio.move_on_after(_PLAIN_SECONDS):
                batch = await self._inner.receive_batch()
        if batch is None:
            self._open_plain(handler, serving)
            batch = await self._inner.receive_batch()
        while True:
            await self._take(batch, handler, serving)
            batch = await self._inner.receive_batch()

    async def _take(self, batch: Sequence[bytes], handler: Serve, serving: TaskGroup) -> None:
        packets: list[tuple[bytes, str]] = []
        for each in batch:
            packet = self._form.unwrap(each) if self._form.is_packet(each) else None
            if packet is None:
                self._open_plain(handler, serving).put(each)
            else:
                packets.append((packet, _LINE))
        for channel in await self._demux.deliver(packets, now()):
            serving.start_soon(handler, channel)

    def _open_plain(self, handler: Serve, serving: TaskGroup) -> "PlainChannel":
        if self._plain is None:
            self._plain = PlainChannel(self._inner, self._sending, self._may_close, self._drops)
            serving.start_soon(handler, self._plain)
        return self._plain

    def _drops(self) -> Mapping[str, int]:
        """What was dropped of that which is sealed."""
        return added((self._demux.drops, {"not_sent": self.unsent}))

    def _may_close(self) -> bool:
        """Whether whoever closes the plain channel takes the line from nobody."""
        return not self._inner.info.reliable or not len(self._demux)

    def _describe(self, place: str) -> ChannelInfo:
        info = self._inner.info
        room = None if info.max_message is None else self._form.room(info.max_message)
        return structs.replace(info, max_message=room, reliable=False, sends_need_receiver=True)

    def _transmit(self, packet: bytes, place: str) -> None:
        if len(self._outbox) >= _WAITING_PACKETS:
            self.unsent += 1
            return
        self._outbox.append(packet)
        self._put.notify()

    async def _wait_for_room(self) -> None:
        while self._outbox:
            await self._left.wait()

    async def _send_all(self) -> None:
        while True:
            while not self._outbox:
                await self._put.wait()
            try:
                async with self._sending:
                    await self._inner.send(self._form.wrap(self._outbox[0]))
            except _ENDED:
                await anyio.sleep_forever()  # whoever reads notices, too
            except TransportError as error:
                logger.info(
                    "%s: a packet was not sent: %s",
                    self._inner.info.peer,
                    error,
                    extra=about(self._inner.info.peer),
                )
            self._outbox.popleft()
            self._left.notify()

    async def _sweep(self) -> None:
        while True:
            await anyio.sleep(_SWEEP_SECONDS)
            await self._demux.expire(now())


class PlainChannel(WrappedChannel):
    """What is not sealed on a line.

    Args:
        inner: the line, which somebody else reads.
        sending: is held by whoever sends.
        may_close: says whether the line is closed with this channel.
        sealed_drops: tells what was dropped beside it.
    """

    def __init__(
        self,
        inner: Channel,
        sending: anyio.Lock,
        may_close: Callable[[], bool],
        sealed_drops: Callable[[], Mapping[str, int]],
    ) -> None:
        super().__init__(inner)
        self._sending = sending
        self._may_close = may_close
        self._sealed_drops = sealed_drops
        self._inbox = Inbox(inner.info)
        self._news = Change()
        self._ended: Exception | None = None
        self._received: list[bytes] = []

    @property
    def missed(self) -> int:
        """See `Channel.missed`."""
        return self._inner.missed + self._inbox.dropped

    @property
    def drops(self) -> Mapping[str, int]:
        """See `Channel.drops`; those of the sealed channels beside it too."""
        mine = {"too_fast": self._inbox.dropped}
        return added((self._inner.drops, mine, self._sealed_drops()))

    def put(self, message: bytes) -> None:
        """Take a message in."""
        if self._ended is None:
            self._inbox.put(message)
            self._news.notify()

    def end(self, error: Exception) -> None:
        """The line has ended, and why."""
        self._ended = self._ended or error
        self._news.notify()

    async def receive(self) -> bytes:
        """Wait for the next message; see `Channel.receive`."""
        if not self._received:
            self._received = (await self.receive_batch())[::-1]
        return self._received.pop()

    async def receive_batch(self) -> list[bytes]:
        """Wait for messages; see `Channel.receive_batch`."""
        if self._received:
            received, self._received = self._received[::-1], []
            return received
        await anyio.lowlevel.checkpoint()
        while not self._inbox:
            if self._ended is not None:
                raise self._ended
            await self._news.wait()
        return self._inbox.take()

    def send_now(self, messages: Sequence[bytes]) -> int:
        """Send nothing: others may be sending."""
        return 0

    async def send(self, item: bytes) -> None:
        """Send one message; see `Channel.send`."""
        async with self._sending:
            await self._inner.send(item)

    async def send_batch(self, messages: Sequence[bytes]) -> None:
        """Send messages; see `Channel.send_batch`."""
        async with self._sending:
            await self._inner.send_batch(messages)

    async def aclose(self) -> None:
        """Close the line, unless sealed ends use it."""
        self.end(anyio.ClosedResourceError())
        if self._may_close():
            await self._inner.aclose()
