"""`memory://NAME`: both ends in one process, for tests and for parts of one program.

Names belong to the process, as ports belong to the machine.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import anyio
from anyio.abc import TaskGroup
from anyio.streams.stapled import StapledObjectStream
from msgspec import Meta, structs

from ...channel.contract import Channel, Listener, Serve
from ...channel.info import ChannelInfo
from ...channel.options import PacketOptions
from ...channel.url import Url
from ...channel.wrappers import StreamChannel
from ...errors import BindFailed, ConnectFailed
from ...protocol.limits import Limits

_WAITING_MESSAGES = 64


class MemoryOptions(PacketOptions, frozen=True):
    """Options of a `memory://` URL.

    Args:
        max: bytes of the largest message that is sent.
    """

    max: Annotated[int, Meta(gt=0)] | None = None


def memory_pair(
    name: str = "",
    here: MemoryOptions = MemoryOptions(),  # noqa: B008  # frozen
    there: MemoryOptions = MemoryOptions(),  # noqa: B008  # frozen
) -> tuple[StreamChannel, StreamChannel]:
    """Two channels, each the other's peer.

    Args:
        name: the address that both show.
        here: options of the first one.
        there: options of the second one.
    """
    send_there, receive_there = anyio.create_memory_object_stream[bytes](_WAITING_MESSAGES)
    send_back, receive_back = anyio.create_memory_object_stream[bytes](_WAITING_MESSAGES)
    return (
        StreamChannel(StapledObjectStream(send_there, receive_back), _info(name, here)),
        StreamChannel(StapledObjectStream(send_back, receive_there), _info(name, there)),
    )


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
        here, there = memory_pair(self._name, options, self._options)
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


async def connect(url: Url, limits: Limits) -> Channel:
    """Open a channel to the server of that name."""
    options = url.read_options(MemoryOptions)
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
