"""Links between two channels: in memory, and bad on purpose."""

import math
import random
from collections import deque
from heapq import heappop, heappush
from typing import final

import anyio
import anyio.lowlevel
from msgspec import Struct, structs

from ..channel.changes import Change
from ..channel.contract import Channel
from ..channel.info import ChannelInfo
from ..protocol.messages import CodecName
from ..transports.packets import memory


def memory_pair(
    *,
    max_message: int | None = None,
    reliable: bool = True,
    can_call_back: bool = True,
    retry_seconds: float = 0.5,
    in_flight: int | None = None,
) -> tuple[Channel, Channel]:
    """Two channels, each the other's peer, that lose nothing.

    Args:
        max_message: bytes of the largest message that either may send.
        reliable: what the channels say of themselves; `False` brings the rules for lossy links.
        can_call_back: what the channels say of themselves.
        retry_seconds: the first timer of a request on a lossy link.
        in_flight: requests of either end that may be open at once; `None` for any number.
    """
    info = ChannelInfo(
        transport="memory",
        local="memory://",
        peer="memory://",
        max_message=max_message,
        reliable=reliable,
        can_call_back=can_call_back,
        retry_seconds=retry_seconds,
        in_flight=in_flight,
    )
    return memory.memory_pair(info, info)


class Faults(Struct, frozen=True, kw_only=True):
    """What goes wrong with messages in one direction; each a probability from 0 to 1 per message.

    Args:
        drop: it never arrives.
        duplicate: it arrives twice; each copy is delayed or overtaken by itself.
        reorder: the next message overtakes it.
        delay: it arrives late.
        corrupt: one of its bytes is another one.
        cut: the link ends in both directions, and the message is lost.
        freeze: it waits, with all behind it, until `thaw`.
        delay_seconds: the longest delay. So long a message waits to be overtaken, too.
    """

    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay: float = 0.0
    corrupt: float = 0.0
    cut: float = 0.0
    freeze: float = 0.0
    delay_seconds: float = 0.01


class LinkCounts(Struct, kw_only=True):
    """What has happened to the messages of one direction.

    Args:
        sent: by the one end.
        delivered: to the other end, copies included.
        dropped: by chance.
        duplicated: messages with a copy.
        reordered: held back for the next one.
        delayed: messages and copies.
        corrupted: messages with a wrong byte.
        frozen: how often the direction froze by chance.
        cut: how often the link ended by chance.
        overflowed: lost because too many waited.
    """

    sent: int = 0
    delivered: int = 0
    dropped: int = 0
    duplicated: int = 0
    reordered: int = 0
    delayed: int = 0
    corrupted: int = 0
    frozen: int = 0
    cut: int = 0
    overflowed: int = 0


@final
class OneWay:
    """One direction of a `LossyLink`.

    Attributes:
        faults: what goes wrong from now on.
        counts: what went wrong so far.
        is_frozen: messages wait.
    """

    def __init__(self, faults: Faults, seed: str, waiting: int) -> None:
        self.faults = faults
        self.counts = LinkCounts()
        self.is_frozen = False
        self._random = random.Random(seed)
        self._waiting = waiting
        self._ready: deque[bytes] = deque()
        self._later: list[tuple[float, int, bytes]] = []
        self._overtaken: list[tuple[float, int, bytes]] = []
        self._changed = Change()
        self.is_over = False

    def __len__(self) -> int:
        """Messages that are under way."""
        return len(self._ready) + len(self._later) + len(self._overtaken)

    def freeze(self) -> None:
        """Deliver nothing until `thaw`."""
        self.is_frozen = True

    def thaw(self) -> None:
        """Deliver what waits, and go on."""
        self.is_frozen = False
        self._changed.notify()

    def end(self) -> None:
        """Deliver what is under way, and take no more."""
        self.is_over = True
        self._changed.notify()

    def lose_all(self) -> None:
        """End, and lose what is under way."""
        self._ready.clear()
        self._later.clear()
        self._overtaken.clear()
        self.is_frozen = False
        self.end()

    def put(self, message: bytes, now: float) -> bool:
        """Take a message; says whether the link survives it."""
        faults, counts = self.faults, self.counts
        counts.sent += 1
        if self._chance(faults.cut):
            counts.cut += 1
            return False
        if self._chance(faults.freeze):
            counts.frozen += 1
            self.freeze()
        if self._chance(faults.drop):
            counts.dropped += 1
            return True
        if message and self._chance(faults.corrupt):
            counts.corrupted += 1
            place = self._random.randrange(len(message))
            wrong = message[place] ^ self._random.randrange(1, 256)
            message = message[:place] + bytes([wrong]) + message[place + 1 :]
        twice = self._chance(faults.duplicate)
        counts.duplicated += twice
        overtaken, self._overtaken = self._overtaken, []
        for _ in range(1 + twice):
            self._schedule(message, now)
        self._ready.extend(each for _, _, each in overtaken)
        self._changed.notify()
        return True

    async def get(self) -> bytes:
        """Wait for the next message; raises `anyio.EndOfStream` when no more can come."""
        await anyio.lowlevel.checkpoint()
        while True:
            self._ripen(anyio.current_time())
            if self._ready and not self.is_frozen:
                self.counts.delivered += 1
                return self._ready.popleft()
            if self.is_over and not len(self):
                raise anyio.EndOfStream
            with anyio.CancelScope(deadline=self._next_due()):
                await self._changed.wait()

    def _schedule(self, message: bytes, now: float) -> None:
        faults = self.faults
        if len(self) >= self._waiting:
            self.counts.overflowed += 1
        elif self._chance(faults.delay):
            self.counts.delayed += 1
            due = now + self._random.uniform(0, faults.delay_seconds)
            heappush(self._later, (due, self.counts.sent, message))
        elif self._chance(faults.reorder):
            self.counts.reordered += 1
            self._overtaken.append((now + faults.delay_seconds, self.counts.sent, message))
        else:
            self._ready.append(message)

    def _ripen(self, now: float) -> None:
        while self._later and self._later[0][0] <= now:
            self._ready.append(heappop(self._later)[2])
        while self._overtaken and self._overtaken[0][0] <= now:
            self._ready.append(self._overtaken.pop(0)[2])

    def _next_due(self) -> float:
        if self.is_frozen:
            return math.inf
        return min(
            (each[0][0] for each in (self._later, self._overtaken) if each), default=math.inf
        )

    def _chance(self, probability: float) -> bool:
        return probability > 0 and self._random.random() < probability


@final
class LossyLink:
    """Two channels joined by a link that is as bad as one likes, the same each time.

    Args:
        faults: what goes wrong, in both directions to begin with.
        seed: gives the same faults for the same messages.
        max_message: bytes of the largest message that either end may send.
        reliable: what the channels say of themselves.
        retry_seconds: the first timer of a request.
        codec: how messages are written.
        waiting: messages that may be under way in one direction; more are lost and counted.
        in_flight: requests of either end that may be open at once; `None` for any number.

    Attributes:
        client: the one end.
        server: the other end.
        to_server: what happens to messages from client to server.
        to_client: what happens to messages from server to client.
    """

    def __init__(
        self,
        faults: Faults = Faults(),  # noqa: B008  # frozen
        *,
        seed: int = 0,
        max_message: int | None = None,
        reliable: bool = False,
        retry_seconds: float = 0.5,
        codec: CodecName = "json",
        waiting: int = 10_000,
        in_flight: int | None = None,
    ) -> None:
        self.to_server = OneWay(faults, f"{seed} to server", waiting)
        self.to_client = OneWay(faults, f"{seed} to client", waiting)
        info = ChannelInfo(
            transport="lossy",
            local="lossy://client",
            peer="lossy://server",
            max_message=max_message,
            reliable=reliable,
            retry_seconds=retry_seconds,
            codec=codec,
            in_flight=in_flight,
        )
        back = structs.replace(info, local=info.peer, peer=info.local)
        self.client: Channel = _LinkEnd(self, self.to_server, self.to_client, info)
        self.server: Channel = _LinkEnd(self, self.to_client, self.to_server, back)

    def set_faults(self, faults: Faults) -> None:
        """Let that go wrong in both directions from now on."""
        self.to_server.faults = self.to_client.faults = faults

    def freeze(self) -> None:
        """Deliver nothing in either direction until `thaw`."""
        self.to_server.freeze()
        self.to_client.freeze()

    def thaw(self) -> None:
        """Deliver what waits, and go on."""
        self.to_server.thaw()
        self.to_client.thaw()

    def cut(self) -> None:
        """End the link in both directions; what is under way is lost."""
        self.to_server.lose_all()
        self.to_client.lose_all()


@final
class _LinkEnd(Channel):
    """One end of a `LossyLink`."""

    def __init__(self, link: LossyLink, there: OneWay, here: OneWay, info: ChannelInfo) -> None:
        self._link = link
        self._there = there
        self._here = here
        self._info = info
        self._closed = False

    @property
    def info(self) -> ChannelInfo:
        """The facts about this channel."""
        return self._info

    async def receive(self) -> bytes:
        if self._closed:
            raise anyio.ClosedResourceError
        try:
            return await self._here.get()
        except anyio.EndOfStream:
            if self._closed:
                raise anyio.ClosedResourceError from None
            raise

    async def send(self, item: bytes) -> None:
        await anyio.lowlevel.checkpoint()
        if self._closed:
            raise anyio.ClosedResourceError
        if self._there.is_over:
            raise anyio.BrokenResourceError
        if not self._there.put(item, anyio.current_time()):
            self._link.cut()

    async def send_eof(self) -> None:
        """Say that no more messages will be sent."""
        self._there.end()

    async def aclose(self) -> None:
        """Close both directions; what is under way to the other end arrives."""
        self._closed = True
        self._there.end()
        self._here.lose_all()
