"""`uart:///dev/ttyUSB0`: one JSON message in one Tuya frame of command 0xFE on a serial line.

There is no role and no heartbeat: both ends are alike, and frames of other commands are left alone.
Bytes get lost on a serial line, so the channel is a lossy one.

Source: the RPC protocol document, "RPC over UART".
"""

import logging
from collections.abc import Sequence
from typing import Annotated

import anyio
from anyio.abc import ByteStream, TaskGroup
from msgspec import Meta

from ..channel import Channel, ChannelInfo, Listener, Serve
from ..errors import BindFailed, TransportError
from ..protocol.limits import Limits
from ..protocol.tuya import OVERHEAD, Command, FrameDecoder, encode_frame
from ..url import Url
from ._packets import BatchedChannel, PacketOptions
from ._pty import open_pty
from ._serial import open_port

logger = logging.getLogger("jsonrpc_iot.transports")

MAX_MESSAGE = 1024
BAUDRATE = 115_200

_LONGEST_DATA = 4096
_RETRY_SECONDS = 0.25
_BITS_THERE_AND_BACK = 20  # of a byte: 10 bits each way
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 8.0


class UartOptions(PacketOptions, frozen=True):
    """Options of a `uart://` URL.

    Args:
        baudrate: bits per second; 8 data bits, no parity, 1 stop bit.
        buffer: bytes of the largest frame that the other end can hold, 7 more than of the message.
        max: bytes of the largest message that is sent.
    """

    baudrate: Annotated[int, Meta(gt=0)] = BAUDRATE
    buffer: Annotated[int, Meta(gt=OVERHEAD)] = MAX_MESSAGE + OVERHEAD
    max: Annotated[int, Meta(gt=0)] | None = None

    both_ends = ("baudrate", "buffer", "codec")

    @property
    def max_message(self) -> int:
        """Bytes of the largest message that is sent."""
        fits = self.buffer - OVERHEAD
        return fits if self.max is None else min(fits, self.max)


class UartChannel(BatchedChannel):
    """The RPC frames of one serial line.

    Args:
        stream: the line.
        info: the facts about the channel.

    Attributes:
        decoder: cuts the line into frames, and counts what it drops.
        other_frames: frames of other commands, which were dropped.
    """

    def __init__(self, stream: ByteStream, info: ChannelInfo) -> None:
        super().__init__()
        self._stream = stream
        self._info = info
        self._pieces_sent = 0
        self.decoder = FrameDecoder(max_data=_LONGEST_DATA)
        self.other_frames = 0

    @property
    def info(self) -> ChannelInfo:
        """The facts about this channel."""
        return self._info

    @property
    def pieces_sent(self) -> int:
        """See `Channel.pieces_sent`."""
        return self._pieces_sent

    async def _next_batch(self) -> list[bytes]:
        while True:
            piece = b""
            with anyio.CancelScope(deadline=self.decoder.next_due()):
                piece = await self._stream.receive()
            now = anyio.current_time()
            frames = self.decoder.feed(piece, now) if piece else self.decoder.expire(now)
            messages = [frame.data for frame in frames if frame.command == Command.RPC]
            self.other_frames += len(frames) - len(messages)
            if messages:
                return messages

    async def send(self, item: bytes) -> None:
        """Send one message in one frame; see `Channel.send`."""
        await self._stream.send(encode_frame(Command.RPC, item))
        self._pieces_sent += 1

    async def send_eof(self) -> None:
        """A line has no end; see `Channel.send_eof`."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Give the port back."""
        await self._stream.aclose()


class UartListener(Listener):
    """Serves one line, and opens it again when its adapter was unplugged and comes back.

    Args:
        url: of the port.
        options: those of the URL.
        stream: the line, open already.
        address: the URL that reaches the other end of it.
    """

    def __init__(self, url: Url, options: UartOptions, stream: ByteStream, address: str) -> None:
        self._url = url
        self._options = options
        self._stream: ByteStream | None = stream
        self._address = address

    @property
    def addresses(self) -> Sequence[str]:
        """The one URL."""
        return [self._address]

    async def serve(self, handler: Serve, task_group: TaskGroup) -> None:
        """Serve until cancelled; see `Listener.serve`."""
        while True:
            stream, self._stream = self._stream or await self._open_again(), None
            await handler(UartChannel(stream, describe(self._url, self._options)))

    async def aclose(self) -> None:
        """Give the port back, if nobody is served."""
        if self._stream is not None:
            await self._stream.aclose()

    async def _open_again(self) -> ByteStream:
        """Try until the port is back."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            await anyio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            try:
                return await open_port(self._url, self._options.baudrate)
            except TransportError as error:
                logger.info("%s; trying again", error)


def describe(url: Url, options: UartOptions) -> ChannelInfo:
    """The facts about a channel of frames on a port."""
    per_byte = _BITS_THERE_AND_BACK / options.baudrate
    return ChannelInfo(
        transport=url.scheme,
        local=str(url),
        peer=str(url),
        max_message=options.max_message,
        reliable=False,
        retry_seconds=_RETRY_SECONDS + per_byte * options.max_message,
        retry_seconds_per_byte=per_byte,
        codec=options.codec,
    )


async def connect(url: Url, limits: Limits) -> Channel:
    """Open a port."""
    if url.scheme == "uart+pty":
        raise url.error(
            "uart+pty is for serving; its other end is the uart:// URL that serving shows"
        )
    options = _read(url)
    return UartChannel(await open_port(url, options.baudrate), describe(url, options))


async def listen(url: Url, limits: Limits) -> Listener:
    """Open a port, or make a pseudo-terminal for `uart+pty://`."""
    options = _read(url)
    if url.scheme == "uart+pty":
        stream, path = open_pty()
        return UartListener(url, options, stream, options.reached_at(f"uart://{path}"))
    port = await open_port(url, options.baudrate, failure=BindFailed)
    return UartListener(url, options, port, str(url))


def _read(url: Url) -> UartOptions:
    if url.scheme == "uart+pty":
        url.forbid_port()
        url.forbid_path()
    return url.read_options(UartOptions)
