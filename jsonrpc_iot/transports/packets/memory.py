"""`memory://NAME`: both ends in one process, for tests and for parts of one program.

Names belong to the process, as ports belong to the machine.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup
from msgspec import Meta, structs

from ...channel.contract import Channel, Listener, Serve
from ...channel.info import ChannelInfo
from ...channel.options import PacketOptions
from ...channel.signal import Signal
from ...channel.url import Url
from ...errors import BindFailed, ConnectFailed
from ...protocol.limits import Limits
from ..batched import BatchedChannel

_WAITING_MESSAGES = 64


class MemoryOptions(PacketOptions, frozen=True):
    """Options of a `memory://` URL.

    Args:
        max: bytes of the largest message that is sent.
    """

    max: Annotated[int, Meta(gt=0)] | None = None


class _Way:
    """One direction between two channels."""

    __slots__ = ("is_ended", "is_unread", "messages", "news", "room")

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.is_ended = False  # nothing more is sent
        self.is_unread = False  # nobody receives any more
        self.news = Signal()
        self.room = anyio.Event()


class MemoryChannel(BatchedChannel):
    """One end of a link in memory, which holds 64 messages each way.

    Args:
        info: the facts about it.
        there: leads to the other end.
        here: leads to this end.
    """

    def __init__(self, info: ChannelInfo, there: _Way, here: _Way) -> None:
        super().__init__()
        self._info = info
        self._there = there
        self._here = here
        self._is_closed = False

    async def _next_batch(self) -> list[bytes]:
        way = self._here
        if way.messages:
            await anyio.lowlevel.checkpoint()
        while not way.messages:
            if self._is_closed:
                raise anyio.ClosedResourceError
            if way.is_ended:
                raise anyio.EndOfStream
            way.news = Signal()
            await way.news.wait()
        messages, way.messages = way.messages, []
        way.room.set()
        return messages

    def send_now(self, messages: Sequence[bytes]) -> int:
        """Send what there is room for; see `Channel.send_now`."""
        way = self._there
        if way.is_ended:
            raise anyio.ClosedResourceError
        if way.is_unread:
            raise anyio.BrokenResourceError
        taken = messages[: _WAITING_MESSAGES - len(way.messages)]
        way.messages += taken
        if taken:
            way.news.set()
        return len(taken)

    async def send(self, item: bytes) -> None:
        """Send one message; see `Channel.send`."""
        await anyio.lowlevel.checkpoint_if_cancelled()
        while not self.send_now((item,)):
            self._there.room = anyio.Event()
            await self._there.room.wait()
        await anyio.lowlevel.cancel_shielded_checkpoint()

    async def send_eof(self) -> None:
        """Say that no more messages will be sent."""
        self._there.is_ended = True
        self._there.news.set()
        self._there.room.set()

    async def aclose(self) -> None:
        """Close both directions."""
        self._is_closed = True
        await self.send_eof()
        self._here.is_unread = True
        self._here.messages = []
        self._here.news.set()
        self._here.room.set()


def memory_pair(here: ChannelInfo, there: ChannelInfo) -> tuple[MemoryChannel, MemoryChannel]:
    """Two channels, each the other's peer.

    Args:
        here: the facts about the first one.
        there: the facts about the second one.
    """
    forth, back = _Way(), _Way()
    return MemoryChannel(here, forth, back), MemoryChannel(there, back, forth)


def _info(name: str, options: MemoryOptions) -> ChannelInfo:
    return ChannelInfo(
        transport="memory",
        local=f"memory://{name}",
        peer=f"memory://{name}",
        max_message=options.max,
        codec=options.codec,
    )


class MemoryListener(Listener):
    """Accepts the channels of one name.

    Args:
        name: the address.
        options: those of the URL.
    """

    addresses: Sequence[str] = ()
    names: ClassVar[dict[str, "MemoryListener"]] = {}

    def __init__(self, name: str, options: MemoryOptions) -> None:
        self._name = name
        self._options = options
        self.addresses = [options.reached_at(f"memory://{name}")]
        self._send, self._receive = anyio.create_memory_object_stream[Channel](_WAITING_MESSAGES)
        self.names[name] = self

    async def connect(self, options: MemoryOptions) -> Channel:
        """Open a channel to this listener; its `max` holds unless the caller has one."""
        options = structs.replace(options, max=options.max or self._options.max)
        here, there = memory_pair(_info(self._name, options), _info(self._name, self._options))
        await self._send.send(there)
        return here

    async def serve(self, handler: Serve, task_group: TaskGroup) -> None:
        """Accept until cancelled; see `Listener.serve`."""
        async for channel in self._receive:
            task_group.start_soon(handler, channel)

    async def aclose(self) -> None:
        """Give the name back."""
        if self.names.get(self._name) is self:
            del self.names[self._name]
        self._send.close()
        while self._receive.statistics().current_buffer_used:
            await self._receive.receive_nowait().aclose()
        self._receive.close()


def read_url(url: Url) -> MemoryOptions:
    """What a URL to connect to says; raises `InvalidUrl`."""
    return url.read_options(MemoryOptions)


async def connect(url: Url, limits: Limits) -> Channel:
    """Open a channel to the server of that name."""
    options = read_url(url)
    listener = MemoryListener.names.get(_name(url))
    if listener is None:
        raise ConnectFailed(f"{url}: nothing in this process serves it")
    try:
        return await listener.connect(options)
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        raise ConnectFailed(f"{url}: its server has just stopped") from None


async def listen(url: Url, limits: Limits) -> Listener:
    """Take a name."""
    options = url.read_options(MemoryOptions)
    name = _name(url)
    if name in MemoryListener.names:
        raise BindFailed(f"{url}: already served in this process")
    return MemoryListener(name, options)


def _name(url: Url) -> str:
    url.forbid_path()
    url.forbid_port()
    if not url.host:
        raise url.error("a name is missing, as in memory://lamp")
    return url.host
