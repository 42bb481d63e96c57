"""A byte stream and a framer make a channel."""

import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

import anyio
from anyio.abc import ByteStream

from ...channel.contract import Channel
from ...channel.info import ChannelInfo
from ...errors import FramingError, ParseError
from ...protocol.jsonstream import JsonSplitter
from ...protocol.limits import Limits

_PIECE = 1 << 16


class SocketLike(Protocol):
    """What is needed of a socket here."""

    def fileno(self) -> int:
        """The file descriptor, -1 when it is closed."""


def write_at_once(raw: SocketLike | None, data: bytes) -> bytes:
    """Write what a socket takes without waiting.

    Returns:
        The rest.

    Raises:
        OSError: the socket takes nothing any more.
    """
    if raw is None:
        return data
    with suppress(BlockingIOError):
        return data[os.write(raw.fileno(), data) :]
    return data


class FramedChannel(Channel):
    """JSON messages on a byte stream, as section 3.1 of the protocol page has it.

    Args:
        stream: carries the bytes.
        info: the facts about the channel.
        limits: of which `receive_bytes` and `message_seconds` are used here.
        raw: the socket under the stream, where what is sent goes to it as it stands.
        attributes: what `extra` tells besides the stream's own attributes.
    """

    __slots__ = (
        "_attributes",
        "_failed",
        "_info",
        "_left",
        "_limits",
        "_messages",
        "_pieces_sent",
        "_raw",
        "_splitter",
        "_stream",
    )

    def __init__(
        self,
        stream: ByteStream,
        info: ChannelInfo,
        limits: Limits,
        raw: SocketLike | None = None,
        attributes: Mapping[Any, Callable[[], Any]] | None = None,
    ) -> None:
        self._stream = stream
        self._raw = raw
        self._info = info
        self._limits = limits
        self._attributes = attributes
        self._splitter = JsonSplitter(max(limits.receive_bytes, info.max_message or 0))
        self._messages: deque[bytes] | None = None
        self._left: float | None = None
        self._failed = False
        self._pieces_sent = 0

    @property
    def info(self) -> ChannelInfo:
        """The facts about this channel."""
        return self._info

    @property
    def pieces_sent(self) -> int:
        """See `Channel.pieces_sent`."""
        return self._pieces_sent

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """The stream's attributes, and the transport's own."""
        return {**self._stream.extra_attributes, **(self._attributes or {})}

    async def receive(self) -> bytes:
        """Wait for the next message; see `Channel.receive`."""
        if not self._messages:
            self._messages = deque(await self.receive_batch())
        return self._messages.popleft()

    async def receive_batch(self) -> list[bytes]:
        """Wait for messages; see `Channel.receive_batch`."""
        if self._messages:
            messages, self._messages = list(self._messages), None
            return messages
        splitter = self._splitter
        while True:
            if splitter.failure is not None:
                await self._fail(splitter.failure)
            try:
                if self._left is None:
                    piece = await self._stream.receive(_PIECE)
                else:
                    piece = await self._receive_in_time(self._left)
            except anyio.EndOfStream:
                rest = splitter.close()
                if rest is None:
                    raise
                return [rest]
            except OSError as error:  # what TLS finds wrong, for one
                raise anyio.BrokenResourceError from error
            messages = splitter.feed(piece)
            if not splitter.pending:
                self._left = None
            elif messages or self._left is None:
                self._left = self._limits.message_seconds
            if messages:
                return messages

    async def send(self, item: bytes) -> None:
        """Send one message; see `Channel.send`."""
        await self._write(item + b"\n")

    async def send_batch(self, messages: Sequence[bytes]) -> None:
        """Send messages in one write."""
        await self._write(b"\n".join(messages) + b"\n")

    async def send_eof(self) -> None:
        """Say that no more messages will be sent; see `Channel.send_eof`."""
        try:
            await self._stream.send_eof()
        except OSError as error:
            raise anyio.BrokenResourceError from error

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()

    async def _write(self, data: bytes) -> None:
        """Write at once what the socket takes at once, and wait only with the rest.

        A stream's own send goes through the event loop each time, which takes as long as all the
        rest of answering a small request.
        """
        try:
            data = write_at_once(self._raw, data)
            for start in range(0, len(data), _PIECE):
                await self._stream.send(data[start : start + _PIECE])
                self._pieces_sent += 1
        except OSError as error:
            raise anyio.BrokenResourceError from error

    async def _receive_in_time(self, seconds: float) -> bytes:
        """Wait for more of a message; the time in which nobody reads does not count."""
        begin = anyio.current_time()
        with anyio.move_on_after(seconds):
            piece = await self._stream.receive(_PIECE)
            self._left = max(0.0, seconds - (anyio.current_time() - begin))
            return piece
        limit = self._limits.message_seconds
        return await self._fail(
            FramingError(ParseError(data=f"a message stayed unfinished for {limit:g} s"))
        )

    async def _fail(self, failure: FramingError) -> bytes:
        """Tell the reader once; from then on throw away what arrives until the stream ends."""
        if not self._failed:
            self._failed = True
            raise failure
        while True:
            await self._stream.receive(_PIECE)
