"""Channels made of something else: a traced one, and one of any stream."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

from anyio.abc import ObjectStream, TaskGroup

from .contract import Channel, Trace
from .info import ChannelInfo


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
