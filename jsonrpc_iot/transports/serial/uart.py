"""`uart:///dev/ttyUSB0`: one JSON message in one Tuya frame of command 0xFE on a serial line.

There is no role and no heartbeat: both ends are alike, and frames of other commands are left alone.
Bytes get lost on a serial line, so the channel is a lossy one.

Source: the RPC protocol document, "RPC over UART".
"""

from functools import partial
from typing import Annotated

from anyio.abc import ByteStream
from msgspec import Meta

from ...channel.contract import Channel, Listener
from ...channel.info import ChannelInfo
from ...channel.url import Url
from ...protocol.limits import Limits
from ...protocol.tuya.frame import OVERHEAD
from .frame_channel import RpcChannel
from .line import TuyaLine
from .listener import connect_to_port, is_pty, listen_at_port
from .port import PortOptions

MAX_MESSAGE = 1024

_RETRY_SECONDS = 0.25
_BITS_THERE_AND_BACK = 20  # of a byte: 10 bits each way


class UartOptions(PortOptions, frozen=True):
    """Options of a `uart://` URL.

    Args:
        buffer: bytes of the largest frame that the other end can hold, 7 more than of the message.
        max: bytes of the largest message that is sent.
        in_flight: requests of this end that may be open at once; any number by default.
    """

    buffer: Annotated[int, Meta(gt=OVERHEAD)] = MAX_MESSAGE + OVERHEAD
    max: Annotated[int, Meta(gt=0)] | None = None
    in_flight: Annotated[int, Meta(gt=0)] | None = None

    both_ends = ("baudrate", "buffer", "codec")

    @property
    def max_message(self) -> int:
        """Bytes of the largest message that is sent."""
        fits = self.buffer - OVERHEAD
        return fits if self.max is None else min(fits, self.max)


def open_channel(
    line: TuyaLine, name: str, options: UartOptions, *, owns_line: bool = True
) -> RpcChannel:
    """A channel on a line.

    Args:
        line: with a role or not.
        name: what the channel is called in errors.
        options: of the channel.
        owns_line: close the line with the channel.
    """
    per_byte = _BITS_THERE_AND_BACK / options.baudrate
    info = ChannelInfo(
        transport="uart",
        local=name,
        peer=name,
        max_message=options.max_message,
        reliable=False,
        has_echoes=True,
        retry_seconds=_RETRY_SECONDS + per_byte * options.max_message,
        retry_seconds_per_byte=per_byte,
        codec=options.codec,
        in_flight=options.in_flight,
        is_shared=True,
        sends_need_receiver=True,
    )
    return RpcChannel(line, info, options.baudrate, owns_line=owns_line)


def read_url(url: Url) -> UartOptions:
    """What a URL to connect to says; raises `InvalidUrl`."""
    return url.read_options(UartOptions)


async def connect(url: Url, limits: Limits) -> Channel:
    """Open a port."""
    options = read_url(url)
    return await connect_to_port(url, options, partial(_channel, options))


async def listen(url: Url, limits: Limits) -> Listener:
    """Open a port, or make a pseudo-terminal for `uart+pty://`."""
    options = url.read_options(UartOptions)
    reached_at = options.reached_at if is_pty(url) else lambda _: str(url)
    return await listen_at_port(url, options, partial(_channel, options), reached_at)


def _channel(options: UartOptions, name: str, stream: ByteStream) -> RpcChannel:
    line = TuyaLine(stream, baudrate=options.baudrate, frame_gap=options.frame_gap)
    return open_channel(line, name, options)
