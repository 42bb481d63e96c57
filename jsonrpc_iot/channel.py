"""What a transport is to the rest: channels that carry whole messages, and listeners.

A transport implements these two contracts; everything above them is the same for all transports.
"""

from abc import abstractmethod
from collections.abc import (
    Awaitable,
    Callable,
    Container,
    Coroutine,
    Mapping,
    Sequence,
)
from typing import Any, Protocol, final

from anyio import TypedAttributeSet, typed_attribute
from anyio.abc import AsyncResource, ObjectStream, TaskGroup
from msgspec import Struct

from .protocol.limits import Limits
from .protocol.messages import CodecName
from .url import Url

Trace = Callable[[str, bytes], object]
"""Is shown each message: `<-` for one that arrived, `->` for one that leaves, and its bytes.

Where messages travel in frames or in pieces, these are shown too, as they are on the link: `<=` for
what arrived, `=>` for what leaves, and `<?` for bytes that arrived and belong to no frame.
"""


class ChannelInfo(Struct, frozen=True, kw_only=True):
    """The facts about a channel.

    Args:
        transport: the URL's scheme.
        local: this end's address.
        peer: the other end's address.
        max_message: bytes of the largest message that may be sent, `None` for any size.
        reliable: messages arrive once each, in order, or the channel ends.
        can_call_back: the other end can be called and notified, not only answered.
        is_private: an end that cannot be called hears all that is sent here, nobody else does, and
            all that it sends comes here; so streamed results go item by item.
        hears_broadcasts: what is for everybody is sent here too; not where another channel takes it
            to the same end.
        is_shared: what answers others may arrive here too, so ids begin at a random number.
        retry_seconds: where messages get lost, how long to wait for an answer before a request is
            sent again.
        retry_seconds_per_byte: what each byte of the request adds to that, on slow links.
        codec: how the messages are written.
        in_flight: requests of this end that may be open at once; `None` for any number.
    """

    transport: str
    local: str = ""
    peer: str = ""
    max_message: int | None = None
    reliable: bool = True
    can_call_back: bool = True
    is_private: bool = False
    hears_broadcasts: bool = True
    is_shared: bool = False
    retry_seconds: float = 0.5
    retry_seconds_per_byte: float = 0.0
    codec: CodecName = "json"
    in_flight: int | None = None

    def fits(self, message: bytes) -> bool:
        """Whether a message may be sent."""
        return self.max_message is None or len(message) <= self.max_message


class PeerCredentials(Struct, frozen=True):
    """The process at the other end of a local socket, as the kernel knows it."""

    pid: int
    uid: int
    gid: int


class ChannelAttribute(TypedAttributeSet):
    """Facts that only some transports know; ask with `channel.extra(…)`.

    Attributes:
        credentials: the process at the other end of a local socket.
        baudrate: bits per second of a serial line.
        bearer_token: what a request or its upgrade brought to prove who it is from.
    """

    credentials: PeerCredentials = typed_attribute()
    baudrate: int = typed_attribute()
    bearer_token: str = typed_attribute()


class Channel(ObjectStream[bytes]):
    """A stream of whole messages in both directions.

    A transport implements `info`, `receive`, `send`, `send_eof` and `aclose`, and the batch
    methods where it can do better than one message at a time. One task receives and one sends at
    a time; a `receive` that is cancelled loses no message.
    """

    @property
    def pieces_sent(self) -> int:
        """A number that grows while a message leaves in pieces, so that slow is told from stuck."""
        return 0

    @property
    def is_mid_message(self) -> bool:
        """Whether part of a message has just arrived or left, so that more of it is to come."""
        return False

    @property
    def sends_need_receiver(self) -> bool:
        """Whether a `send` may wait for what only `receive` takes in."""
        return False

    def forget(self, message: bytes) -> None:
        """Stop sending a message for which nobody waits any more, if it is still leaving."""
        return

    def expect_within(self, message: bytes, seconds: float | None) -> None:
        """Learn that somebody waits for the answer to a message, so long, and until `forget`."""
        return

    def keep_while(self, is_busy: Callable[[], bool]) -> None:
        """Stay open while that says so, where silence would end the channel."""
        return

    def trace_frames(self, trace: Trace) -> None:
        """Show each frame or packet from now on, where these differ from the messages.

        Args:
            trace: is shown them, also those that carry something else than messages.
        """
        return

    def start(self, tasks: TaskGroup) -> None:
        """Begin what goes on beside sending and receiving, in tasks that outlive the channel.

        Whoever uses a channel calls this first, once; a `Peer` does.
        """
        return

    @property
    @abstractmethod
    def info(self) -> ChannelInfo:
        """The facts about this channel."""

    @abstractmethod
    async def receive(self) -> bytes:
        """Wait for the next message.

        Raises:
            anyio.EndOfStream: the other end has closed the channel; the text, if any, says why.
            anyio.BrokenResourceError: the link is gone; the text, if any, says why.
            anyio.ClosedResourceError: this end has closed the channel.
            FramingError: the stream can no longer be cut into messages.
        """

    async def receive_batch(self) -> list[bytes]:
        """Wait until there is a message; return it with all others that came along."""
        return [await self.receive()]

    @abstractmethod
    async def send(self, item: bytes) -> None:
        """Send one message.

        Raises:
            anyio.BrokenResourceError: the link is gone.
            anyio.ClosedResourceError: this end has closed the channel.
        """

    @abstractmethod
    async def send_eof(self) -> None:
        """Say that no more messages will be sent, and go on receiving.

        Raises:
            NotImplementedError: the link cannot be closed in one direction.
        """

    async def send_batch(self, messages: Sequence[bytes]) -> None:
        """Send messages, in as few writes as the transport allows."""
        for message in messages:
            await self.send(message)


@final
class StreamChannel(Channel):
    """Any anyio object stream of whole messages as a channel.

    Args:
        stream: carries one message per item.
        info: the facts about it.
    """

    def __init__(self, stream: ObjectStream[bytes], info: ChannelInfo) -> None:
        self._stream = stream
        self._info = info

    @property
    def info(self) -> ChannelInfo:
        """The facts about this channel."""
        return self._info

    async def receive(self) -> bytes:
        """Wait for the next message; see `Channel.receive`."""
        return await self._stream.receive()

    async def send(self, item: bytes) -> None:
        """Send one message; see `Channel.send`."""
        await self._stream.send(item)

    async def send_eof(self) -> None:
        """Say that no more messages will be sent."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """Close both directions."""
        await self._stream.aclose()


class Receiver(Protocol):
    """Takes the messages of a channel as they come."""

    @property
    def is_busy(self) -> bool:
        """Whether it still works on what it took."""

    async def take(self, messages: Sequence[bytes]) -> None:
        """Handle messages; must not wait for the other end."""

    def end(self) -> None:
        """The channel is closed."""


class ReceivingChannel(Channel):
    """A channel that can hand out its messages by itself, so that an idle one needs no task."""

    @abstractmethod
    async def attach(self, receiver: Receiver) -> None:
        """Hand all messages to a receiver from now on, those that wait already first."""


@final
class TracedChannel(Channel):
    """A channel that shows what passes.

    Args:
        channel: carries the messages.
        trace: is called with each of them, and with what they travel in.
    """

    def __init__(self, channel: Channel, trace: Trace) -> None:
        self._channel = channel
        self._trace = trace
        channel.trace_frames(trace)

    @property
    def info(self) -> ChannelInfo:
        """The facts about the channel."""
        return self._channel.info

    @property
    def pieces_sent(self) -> int:
        """See `Channel.pieces_sent`."""
        return self._channel.pieces_sent

    @property
    def is_mid_message(self) -> bool:
        """See `Channel.is_mid_message`."""
        return self._channel.is_mid_message

    @property
    def sends_need_receiver(self) -> bool:
        """See `Channel.sends_need_receiver`."""
        return self._channel.sends_need_receiver

    def forget(self, message: bytes) -> None:
        """See `Channel.forget`."""
        self._channel.forget(message)

    def expect_within(self, message: bytes, seconds: float | None) -> None:
        """See `Channel.expect_within`."""
        self._channel.expect_within(message, seconds)

    def keep_while(self, is_busy: Callable[[], bool]) -> None:
        """See `Channel.keep_while`."""
        self._channel.keep_while(is_busy)

    def trace_frames(self, trace: Trace) -> None:
        """See `Channel.trace_frames`."""
        self._channel.trace_frames(trace)

    def start(self, tasks: TaskGroup) -> None:
        """See `Channel.start`."""
        self._channel.start(tasks)

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """The channel's attributes."""
        return self._channel.extra_attributes

    async def receive(self) -> bytes:
        """Wait for the next message; see `Channel.receive`."""
        message = await self._channel.receive()
        self._trace("<-", message)
        return message

    async def receive_batch(self) -> list[bytes]:
        """Wait for messages; see `Channel.receive_batch`."""
        messages = await self._channel.receive_batch()
        for message in messages:
            self._trace("<-", message)
        return messages

    async def send(self, item: bytes) -> None:
        """Send one message; see `Channel.send`."""
        self._trace("->", item)
        await self._channel.send(item)

    async def send_batch(self, messages: Sequence[bytes]) -> None:
        """Send messages; see `Channel.send_batch`."""
        for message in messages:
            self._trace("->", message)
        await self._channel.send_batch(messages)

    async def send_eof(self) -> None:
        """Say that no more messages will be sent."""
        await self._channel.send_eof()

    async def aclose(self) -> None:
        """Close the channel."""
        await self._channel.aclose()


Permissions = Container[str] | None
Authenticate = Callable[[Channel], Permissions | Awaitable[Permissions]]
"""Says what the other end of a channel may do; `None` for a stranger."""

Serve = Callable[[Channel], Coroutine[Any, Any, None]]


class Listener(AsyncResource):
    """Accepts channels at one URL, which is bound already."""

    @property
    @abstractmethod
    def addresses(self) -> Sequence[str]:
        """The URLs that reach this listener, which `connect` takes as they stand."""

    @property
    def is_exposed(self) -> bool:
        """Whether other machines may reach it."""
        return False

    def beside(self, url: str) -> "Listener | None":
        """A listener for another URL on what this one has bound already, if that is possible.

        Raises:
            InvalidUrl: the URL makes no sense there.
        """
        return None

    @property
    def is_shared(self) -> bool:
        """Whether its channels have no socket of their own, and end with it."""
        return False

    @abstractmethod
    async def serve(self, handler: Serve, task_group: TaskGroup) -> None:
        """Accept until cancelled, and run the handler for each channel in the task group.

        Nothing that one channel does ends the listener.
        """


class Transport(Protocol):
    """What a transport's module has."""

    async def connect(self, url: Url, limits: Limits) -> Channel:
        """Open a channel to a URL; raises `ConnectFailed` or `InvalidUrl`."""

    async def listen(self, url: Url, limits: Limits) -> Listener:
        """Bind a URL; raises `BindFailed` or `InvalidUrl`."""
