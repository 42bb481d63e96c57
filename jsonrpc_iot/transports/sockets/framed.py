"""A byte stream and a framer make a channel."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import anyio
from anyio.abc import ByteStream

from ...channel.contract import Take
from ...channel.info import ChannelInfo
from ...errors import FramingError, ParseError
from ...protocol.jsonstream import JsonSplitter
from ...protocol.limits import Limits
from ..batched import BatchedChannel
from .stream import PIECE, SocketStream
from .tls import reason

_FEW = 16


class ByteStreamChannel(BatchedChannel):
    """What channels on a byte stream have in common.

    Args:
        stream: carries the bytes.
        info: the facts about the channel.
        limits: of which `message_seconds` is used here.
    """

    def __init__(self, stream: ByteStream, info: ChannelInfo, limits: Limits) -> None:
        super().__init__()
        self._info = info
        self._stream = stream
        self._socket = stream if isinstance(stream, SocketStream) else None
        self._limits = limits
        self._left: float | None = None  # seconds for the rest of a message
        self._pieces_sent = 0

    @property
    def pieces_sent(self) -> int:
        """See `Channel.pieces_sent`."""
        return self._pieces_sent

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """The stream's attributes."""
        return self._stream.extra_attributes

    def _unfinished(self) -> FramingError:
        """What whoever receives gets when a message is not finished in time."""
        limit = self._limits.message_seconds
        return FramingError(ParseError(data=f"a message stayed unfinished for {limit:g} s"))

    def _write_now(self, data: bytes) -> bytes:
        """Write what the stream takes at once; gives the rest."""
        return data if self._socket is None else self._socket.send_now(data)

    async def _write(self, data: bytes) -> None:
        """Write at once what can be, and wait only with the rest."""
        data = self._write_now(data)
        try:
            for start in range(0, len(data), PIECE):
                await self._stream.send(data[start : start + PIECE])
                self._pieces_sent += 1
        except (OSError, anyio.EndOfStream) as error:  # TLS has heard the end while it was sending
            raise anyio.BrokenResourceError from error


class FramedChannel(ByteStreamChannel):
    """JSON messages on a byte stream, as section 3.1 of the protocol page has it.

    Args:
        stream: carries the bytes.
        info: the facts about the channel.
        limits: of which `message_seconds` and `receive_bytes` are used here.
        advice: what may help where the other end hangs up before it has said anything.
    """

    def __init__(
        self, stream: ByteStream, info: ChannelInfo, limits: Limits, advice: str = ""
    ) -> None:
        super().__init__(stream, info, limits)
        self._advice = advice
        self._take: Take | None = None
        self._splitter = JsonSplitter(max(limits.receive_bytes, info.max_message or 0))
        self._failed = False
        self._begun = 0  # bytes of the next message to be sent that have left

    def offer_to(self, take: Take) -> None:
        """See `Channel.offer_to`; a few messages that come in one piece are offered."""
        if self._socket is not None:
            self._take = take
            self._socket.offer_to(self._offer)

    def rest(self, wake: Callable[[], object]) -> bool:
        """See `Channel.rest`; somebody has to time an unfinished message."""
        if self._socket is None or self._waiting or self._splitter.pending:
            return False
        return self._splitter.failure is None and self._socket.rest(wake)

    def _offer(self, piece: bytes) -> bool:
        messages = self._splitter.whole(piece, _FEW)
        if messages is None or self._take is None or not self._take(messages):
            return False
        self._advice = ""
        return True

    async def _next_batch(self) -> list[bytes]:
        splitter = self._splitter
        while True:
            if splitter.failure is not None:
                await self._fail(splitter.failure)
            try:
                if self._left is None:
                    piece = await self._stream.receive(PIECE)
                else:
                    piece = await self._receive_in_time(self._left)
            except anyio.EndOfStream:
                rest = splitter.close()
                if rest is None:
                    raise anyio.EndOfStream(self._advice) from None
                return [rest]
            except anyio.BrokenResourceError as error:
                raise anyio.BrokenResourceError(self._advice or str(error)) from error
            except OSError as error:  # what TLS finds wrong, for one
                raise anyio.BrokenResourceError(reason(error)) from error
            self._advice = ""
            messages = splitter.feed(piece)
            if not splitter.pending:
                self._left = None
            elif messages or self._left is None:
                self._left = self._limits.message_seconds
            if messages:
                return messages

    def send_now(self, messages: Sequence[bytes]) -> int:
        """Send messages in one write, as far as the socket takes it; see `Channel.send_now`."""
        data = b"\n".join(messages) + b"\n"
        rest = self._write_now(data[self._begun :])
        self._begun = len(data) - len(rest)
        for sent, message in enumerate(messages):
            if self._begun <= len(message):
                return sent
            self._begun -= len(message) + 1
        return len(messages)

    async def send(self, item: bytes) -> None:
        """Send one message; see `Channel.send`."""
        await self.send_batch((item,))

    async def send_batch(self, messages: Sequence[bytes]) -> None:
        """Send messages in one write."""
        begun, self._begun = self._begun, 0
        try:
            await self._write((b"\n".join(messages) + b"\n")[begun:])
        except anyio.BrokenResourceError as error:
            raise anyio.BrokenResourceError(self._advice or str(error)) from error

    async def write(self, data: bytes) -> None:
        """Write bytes as they are, as whoever tests the other end's framing does."""
        await self._write(data)

    async def send_eof(self) -> None:
        """Say that no more messages will be sent; see `Channel.send_eof`."""
        try:
            await self._stream.send_eof()
        except OSError as error:
            raise anyio.BrokenResourceError from error

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()

    async def _receive_in_time(self, seconds: float) -> bytes:
        """Wait for more of a message; the time in which nobody reads does not count."""
        begin = anyio.current_time()
        with anyio.move_on_after(seconds):
            piece = await self._stream.receive(PIECE)
            self._left = max(0.0, seconds - (anyio.current_time() - begin))
            return piece
        return await self._fail(self._unfinished())

    async def _fail(self, failure: FramingError) -> bytes:
        """Tell the reader once; from then on throw away what arrives until the stream ends."""
        if not self._failed:
            self._failed = True
            raise failure
        while True:
            await self._stream.receive(PIECE)
