"""A raw connection to a device: bytes out, whatever comes in, opened again when it ends."""

import json
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from ...channel.contract import Channel
from ...channel.info import ChannelInfo
from ...channel.url import Url
from ...errors import TransportError
from ...transports import open_channel
from ...transports.requirements import require_extra
from ...transports.sockets.framed import FramedChannel
from .model import LineEnded
from .replies import METHOD_NOT_FOUND, NO_JSON, strict_json

GONE = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, TransportError)

_WAITING = 4096
_PIECE_SECONDS = 0.002  # so that most pieces arrive alone
_SEND_SECONDS = 30.0  # as long as any other sender waits


class Line:
    """One raw connection to a device.

    Args:
        url: where it is.
        tasks: receive as long as the connection lasts.

    Attributes:
        url: where the device is.
        pushed: notifications that have come, the newest.
        largest: bytes of the largest message that has come.
    """

    def __init__(self, url: str, tasks: TaskGroup) -> None:
        self.largest = 0
        self.pushed = deque[bytes](maxlen=_WAITING)
        self._sent = deque[bytes](maxlen=_WAITING)
        self._ids = set[str]()
        self.url = url
        self._tasks = tasks
        self._channel: Channel | None = None
        self._inbox: MemoryObjectReceiveStream[bytes]
        self._why = ""

    @property
    def channel(self) -> Channel:
        """The connection."""
        assert self._channel is not None
        return self._channel

    @property
    def info(self) -> ChannelInfo:
        """The facts about the connection."""
        return self.channel.info

    async def open(self) -> None:
        """Connect, instead of the connection there was.

        Raises:
            ConnectFailed: nobody answers there.
            InvalidUrl: the URL makes no sense.
        """
        await self.aclose()
        self._channel = await _open(self.url)
        self._channel.start(self._tasks)
        into, self._inbox = anyio.create_memory_object_stream[bytes](_WAITING)
        self._why = "the connection ended"
        self._tasks.start_soon(self._receive, self._channel, into)

    async def aclose(self) -> None:
        """Close the connection."""
        if self._channel is not None:
            await self._channel.aclose()
            self._inbox.close()

    async def _receive(self, channel: Channel, into: MemoryObjectSendStream[bytes]) -> None:
        with into, suppress(anyio.BrokenResourceError):
            try:
                while True:
                    await into.send(await channel.receive())
            except GONE as error:
                if channel is self._channel and str(error):
                    self._why = f"the connection ended: {error}"

    async def send(self, message: bytes) -> None:
        """Send one message as it is.

        Raises:
            LineEnded: the connection has ended, or takes nothing.
        """
        self._sent.append(message)
        self._ids.update(_ids_in(message))
        await self._send(self.channel.send, message)

    async def write(self, piece: bytes) -> None:
        """Write bytes to a stream as they are, so that the other end may see them alone.

        Raises:
            LineEnded: the connection has ended, or takes nothing.
        """
        assert isinstance(self.channel, FramedChannel)
        await self._send(self.channel.write, piece)
        await anyio.sleep(_PIECE_SECONDS)

    async def _send(self, send: Callable[[bytes], Awaitable[None]], data: bytes) -> None:
        with anyio.move_on_after(_SEND_SECONDS) as scope:
            try:
                await send(data)
            except GONE:
                raise LineEnded(self._why) from None
        if scope.cancelled_caught:
            raise LineEnded("the device takes nothing in")

    async def receive(self, seconds: float) -> bytes | None:
        """The next message that answers something; what the device pushes is passed over.

        What it asks for is answered as by an end that serves nothing. Echoes, and what answers
        others on a link that is shared, are passed over too.

        Args:
            seconds: how long to wait; then there is none.

        Raises:
            LineEnded: the connection has ended.
        """
        with anyio.move_on_after(seconds):
            while True:
                try:
                    message = await self._inbox.receive()
                except anyio.EndOfStream:
                    raise LineEnded(self._why) from None
                if self.info.has_echoes and message in self._sent:
                    continue
                self.largest = max(self.largest, len(message))
                if not (self._answers_others(message) or await self._is_its_own(message)):
                    return message
        return None

    def _answers_others(self, message: bytes) -> bool:
        """Whether all ids in it are those of others."""
        ids = _ids_in(message) if self.info.is_shared else set[str]()
        return b'"method"' not in message and bool(ids) and not ids & self._ids

    async def _is_its_own(self, message: bytes) -> bool:
        """Whether the device begins to speak with it, instead of answering."""
        value = value_of(message)
        if not isinstance(value, dict) or not isinstance(value.get("method"), str):
            return False
        if "id" in value:
            version = b'"jsonrpc":"2.0",' if "jsonrpc" in value else b""
            refusal = b'"error":{"code":%d,"message":"Method not found"}' % METHOD_NOT_FOUND
            await self.send(
                b'{%s"id":%s,%s}' % (version, json.dumps(value["id"]).encode(), refusal)
            )
        else:
            self.pushed.append(message)
        return True


def _ids_in(message: bytes) -> set[str]:
    """The ids of a message, or of those of a batch, in a form in which equal ones are equal."""
    try:
        value = json.loads(message)
    except (ValueError, RecursionError):
        return set()
    entries = value if isinstance(value, list) else [value]
    ids = [each.get("id") for each in entries if isinstance(each, dict)]
    return {f"{id:.17g}" if isinstance(id, float) else str(id) for id in ids if id is not None}


async def _open(url: str) -> Channel:
    parsed = Url.parse(url)
    if parsed.scheme not in ("http", "https"):
        return await open_channel(url)
    require_extra(parsed, "HTTP needs", "http", "httpx2")
    from .posts import Posts

    return Posts(parsed)


def value_of(message: bytes) -> object:
    """The value of a message that came; `NO_JSON` for what is none."""
    try:
        return strict_json(message)
    except (ValueError, RecursionError):
        return NO_JSON
