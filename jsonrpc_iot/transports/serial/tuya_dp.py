"""`tuya-dp:///dev/ttyS1`: one JSON message in one string DataPoint of a Tuya serial line.

The MCU's end answers its module as Tuya's protocol wants it, the module's end looks after the MCU.
Messages go down to the MCU in command 0x06, and up to the module in 0x07 or, confirmed, in 0x22.

Source: the RPC protocol document, "RPC over Tuya DP".
"""

from datetime import datetime
from functools import partial
from typing import Annotated, Literal

from anyio.abc import ByteStream
from msgspec import Meta, structs

from ...channel.contract import Channel, Listener
from ...channel.info import ChannelInfo
from ...channel.url import Url
from ...protocol.limits import Limits
from ...protocol.tuya.datapoints import UNIT_OVERHEAD
from ...protocol.tuya.frame import OVERHEAD
from ...protocol.tuya.module import Module
from ...protocol.tuya.role import Mcu, Product, Role
from .datapoint_channel import DataPointChannel
from .line import TuyaLine
from .listener import connect_to_port, listen_at_port
from .port import PortOptions

DPID = 232
MAX_MESSAGE = 255
GAP_SECONDS = 1.0
_LONGEST_GAP_SECONDS = 3600.0

_FRAME_OVERHEAD = OVERHEAD + UNIT_OVERHEAD
_RETRY_SECONDS = 3.0


class TuyaDpOptions(PortOptions, frozen=True):
    """Options of a `tuya-dp://` URL.

    Args:
        role: this end of the line; of a server `mcu` by default, of a client `module`.
        dpid: the DataPoint that carries the messages.
        buffer: bytes of the largest frame that the other end can hold, 11 more than of the message.
        gap: seconds between two sends, at least; Tuya's cloud wants 1, a line alone needs none.
        sync_report: have the module confirm each report, of an MCU.
        product: the product's id (PID) on Tuya's platform, which an MCU tells its module.
        max: bytes of the largest message that is sent.
    """

    role: Literal["mcu", "module"] | None = None
    dpid: Annotated[int, Meta(ge=1, le=255)] = DPID
    buffer: Annotated[int, Meta(gt=_FRAME_OVERHEAD)] = MAX_MESSAGE + _FRAME_OVERHEAD
    gap: Annotated[float, Meta(ge=0, le=_LONGEST_GAP_SECONDS)] = GAP_SECONDS
    sync_report: bool = False
    product: str = "jsonrpc-iot"
    max: Annotated[int, Meta(gt=0)] | None = None

    both_ends = ("role", "dpid", "baudrate", "buffer", "gap")

    @property
    def max_message(self) -> int:
        """Bytes of the largest message that is sent."""
        fits = min(MAX_MESSAGE, self.buffer - _FRAME_OVERHEAD)
        return fits if self.max is None else min(fits, self.max)


def read_url(url: Url) -> TuyaDpOptions:
    """What a URL to connect to says; raises `InvalidUrl`."""
    return _read(url, "module")


async def connect(url: Url, limits: Limits) -> Channel:
    """Open a port."""
    options = read_url(url)
    return await connect_to_port(url, options, partial(_channel, options))


async def listen(url: Url, limits: Limits) -> Listener:
    """Open a port, or make a pseudo-terminal for `tuya-dp+pty://`."""
    options = _read(url, "mcu")
    theirs = structs.replace(options, role="module" if options.role == "mcu" else "mcu")
    return await listen_at_port(url, options, partial(_channel, options), theirs.reached_at)


def _channel(options: TuyaDpOptions, name: str, stream: ByteStream) -> DataPointChannel:
    role: Role = Module(clock=local_time)
    if options.role == "mcu":
        role = Mcu(Product(options.product, "1.0.0"), buffer=options.buffer)
    line = TuyaLine(stream, role, baudrate=options.baudrate, frame_gap=options.frame_gap)
    return open_channel(line, name, options)


def open_channel(
    line: TuyaLine, name: str, options: TuyaDpOptions, *, owns_line: bool = True
) -> DataPointChannel:
    """A channel on a line.

    Args:
        line: with a role.
        name: what the channel is called in errors.
        options: of the channel.
        owns_line: close the line with the channel.
    """
    info = ChannelInfo(
        transport="tuya-dp",
        local=name,
        peer=name,
        max_message=options.max_message,
        reliable=False,
        has_echoes=True,
        retry_seconds=_RETRY_SECONDS,
        in_flight=1,
        is_shared=True,
        sends_need_receiver=True,
    )
    return DataPointChannel(
        line,
        info,
        options.baudrate,
        dpid=options.dpid,
        gap=options.gap,
        sync=options.sync_report,
        owns_line=owns_line,
    )


def local_time() -> datetime:
    """The time with its zone, for an MCU that asks."""
    return datetime.now().astimezone()


def _read(url: Url, role: Literal["mcu", "module"]) -> TuyaDpOptions:
    options = url.read_options(TuyaDpOptions)
    if options.codec != "json":
        raise url.error(f"a DataPoint holds text, so codec={options.codec} does not go over it")
    if options.sync_report and (options.role or role) == "module":
        raise url.error("sync_report is for role=mcu: only an MCU reports")
    return structs.replace(options, role=options.role or role)
