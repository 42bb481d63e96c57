"""`monitor`: the frames of a serial line as they come, or out of a recording.

What a frame means is the business of `_frames`, the form of a recording that of `_recording`.
"""

import math
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import anyio
import msgspec
from anyio.abc import ByteStream
from msgspec import structs

from jsonrpc_iot import ChannelClosed, UsageError
from jsonrpc_iot.channel.url import Url
from jsonrpc_iot.protocol.improv.serial import LineDecoder
from jsonrpc_iot.protocol.text import escape
from jsonrpc_iot.protocol.tuya.frame import LATE_SECONDS, Frame

from ._frames import (
    Noise,
    PacketReport,
    Report,
    explain_frame,
    explain_packet,
    show_frame,
    show_noise,
    show_packet,
)
from ._output import explain, is_terminal, print_json_line, print_text, write_error
from ._recording import Record, read_recording, recorder
from ._signals import until_signal
from .command.declare import Argument, Given, Offer, Option

if TYPE_CHECKING:
    from jsonrpc_iot.transports.serial.uart import UartOptions

_SCHEMES = ("tuya-dp", "uart", "uart+pty")

# Noise without an end is shown as often as this.
_NOISE_SECONDS = 1.0

# Of times that are shown and recorded; a recording has to give the very times of the live line.
_DECIMALS = 6

Seen: TypeAlias = Report | PacketReport | Noise
Show: TypeAlias = Callable[[Seen], None]


def complete_line(beginning: str, given: Given) -> Iterator[Offer]:
    """The beginnings of URLs that a shell offers."""
    return (Offer(f"{scheme}://") for scheme in _SCHEMES)


class Watch:
    """Decodes a line and shows what is on it; all times are seconds since the start.

    The same pieces at the same times are shown the same, whoever calls when: what silence decides
    has the time at which it is due.

    Args:
        show: gets frames, Improv's packets and noise in their order.
        count: how many frames are wanted; `None` for all.

    Attributes:
        decoder: finds the frames.
        frames: how many were shown.
    """

    def __init__(self, show: Show, count: int | None) -> None:
        self.decoder = LineDecoder()
        self.frames = 0
        self._show = show
        self._count = count
        self._shown_noise = 0
        self._noise_since = math.inf

    @property
    def is_done(self) -> bool:
        """Whether as many frames were shown as are wanted."""
        return self.frames == self._count

    def is_late(self, time: float) -> bool:
        """Whether what is read then must have come before, or something would have been due."""
        return time >= self.decoder.next_due()

    def take(self, time: float, data: bytes, is_late: bool = False) -> None:
        """Take what the line brought; see `FrameDecoder.feed`."""
        if not is_late:
            self.advance(time)
        # One byte at a time: so it is known which noise comes before which frame.
        for at in range(len(data)):
            if self.is_done:
                return
            noise = self.decoder.noise_bytes
            frames = self.decoder.feed(data[at : at + 1], time, is_late=is_late)
            if frames or self.decoder.packets or self.decoder.noise_bytes > noise:
                self._found(time, frames)

    def advance(self, time: float) -> None:
        """Let the time go on until then."""
        while not self.is_done and (due := self.next_due()) <= time:
            if due == self.decoder.next_due():
                self._found(due, self.decoder.expire(due))
            else:
                self._show_noise()

    def next_due(self) -> float:
        """When `advance` has something to do, if nothing comes before; infinity for never."""
        return min(self.decoder.next_due(), self._noise_since + _NOISE_SECONDS)

    def finish(self) -> None:
        """Show what has not been shown: nothing will come any more."""
        while not self.is_done and (due := self.next_due()) < math.inf:
            self.advance(due)

    def totals(self) -> str:
        """What was on the line, in a sentence."""
        decoder = self.decoder
        return (
            f"frames: {self.frames}, noise bytes: {decoder.noise_bytes}, "
            f"bad checksums: {decoder.bad_checksums}, too long: {decoder.too_long}, "
            f"expired: {decoder.expired}"
        )

    def _found(self, time: float, frames: list[Frame]) -> None:
        if self.decoder.noise_bytes > self._shown_noise:
            self._noise_since = min(self._noise_since, time)
        for packet in self.decoder.take_packets():
            self._show_noise()
            self._show(explain_packet(round(time, _DECIMALS), packet))
        for frame in frames:
            self._show_noise()
            self._show(explain_frame(round(time, _DECIMALS), frame))
            self.frames += 1
            if self.is_done:
                break

    def _show_noise(self) -> None:
        noise = self.decoder.noise_bytes - self._shown_noise
        if noise:
            self._show(Noise(round(self._noise_since, _DECIMALS), noise))
        self._shown_noise += noise
        self._noise_since = math.inf


def monitor(
    url: Annotated[
        str | None,
        Argument(
            metavar="URL",
            help="The line: uart:///dev/ttyUSB0?baudrate=9600, uart://socket/HOST:PORT, or "
            "uart+pty:// for a new pseudo terminal.",
            complete=complete_line,
        ),
    ] = None,
    *,
    count: Annotated[int | None, Option(min=1, metavar="N", help="Exit after N frames.")] = None,
    json: Annotated[
        bool, Option("--json", help="Print one JSON object a line for each frame.")
    ] = False,
    record: Annotated[
        Path | None,
        Option(metavar="FILE", help="Write what the line brings to a new file."),
    ] = None,
    replay: Annotated[
        Path | None,
        Option(metavar="FILE", help="Show what a file of --record holds."),
    ] = None,
) -> None:
    """Show the Tuya frames on a serial line: JSON-RPC messages, DataPoints and all others.

    So are packets of Improv Wi-Fi, without keys. Only reads, until SIGINT or SIGTERM, which is
    success, or until the adapter is unplugged. Bytes that belong to neither are noise. Totals go to
    standard error.
    """
    watch = Watch(_print_json if json else _print_line, count)
    problem = ""
    if replay is not None:
        if url is not None or record is not None:
            raise UsageError("--replay takes neither a URL nor --record")
        _replay(watch, replay)
    elif url is None:
        raise UsageError("a URL such as uart:///dev/ttyUSB0 is missing, or --replay FILE")
    else:
        with suppress(KeyboardInterrupt):  # where signals cannot be received otherwise
            problem = anyio.run(_watch_live, watch, Url.parse(url), record)
    watch.finish()
    write_error(watch.totals())
    if problem:
        raise ChannelClosed(f"{Url.parse(url or '')}: {problem}")


def _replay(watch: Watch, path: Path) -> None:
    with suppress(KeyboardInterrupt):
        is_empty = True
        for piece in read_recording(path):
            is_empty = False
            watch.take(*piece)
            if watch.is_done:
                return
        if is_empty:
            explain(f"{path}: nothing is recorded there")


async def _watch_live(watch: Watch, url: Url, record: Path | None) -> str:
    """Show a line until enough is shown or a signal comes; returns why it broke, if it did."""
    problem = ""
    async with until_signal(), _open_line(url) as (stream, ready):
        with nullcontext() if record is None else recorder(record) as write:
            write_error(escape(ready))
            problem = await _read_line(watch, stream, write)
    return problem


async def _read_line(watch: Watch, stream: ByteStream, record: Record | None) -> str:
    """Show a line until enough is shown, or it breaks; returns why it broke, if it did."""
    start = anyio.current_time()
    while not watch.is_done:
        piece = b""
        try:
            soon = anyio.current_time() + LATE_SECONDS
            with anyio.CancelScope(deadline=max(start + watch.next_due(), soon)):
                piece = await stream.receive()
        except anyio.EndOfStream:
            return "the serial server has ended the connection"
        except anyio.BrokenResourceError:
            return "the line is gone; is it unplugged?"
        time = round(anyio.current_time() - start, _DECIMALS)
        is_late = bool(piece) and watch.is_late(time)
        if record is not None and piece:
            record(time, piece, is_late)
        watch.take(time, piece, is_late)
    return ""


@asynccontextmanager
async def _open_line(url: Url) -> AsyncIterator[tuple[ByteStream, str]]:
    """Open a port or make a pty; yields the bytes, and what to say when it is open."""
    from jsonrpc_iot.transports.serial.pty import open_pty

    if url.scheme not in _SCHEMES:
        raise url.error(f"monitor watches serial lines: {', '.join(_SCHEMES)}")
    options = _read_options(url)
    if url.scheme == "uart+pty":
        url.forbid_port()
        url.forbid_path()
        stream, path = open_pty()
        ready = f"listening {options.reached_at(f'uart://{path}')}"
    else:
        stream = await options.open(url)
        ready = f"watching {url}"
    async with stream:
        yield stream, ready


def _read_options(url: Url) -> "UartOptions":
    """The options of a URL, of which those of RPC do not matter to who only watches."""
    from jsonrpc_iot.transports.serial.uart import UartOptions

    if url.scheme == "tuya-dp":
        rest = {name: each for name, each in url.options.items() if name not in ("role", "dpid")}
        url = structs.replace(url, options=rest)
    return url.read_options(UartOptions)


def _print_json(seen: Seen) -> None:
    print_json_line(msgspec.json.encode(seen))


def _print_line(seen: Seen) -> None:
    if isinstance(seen, Report):
        print_text(show_frame(seen))
    elif isinstance(seen, PacketReport):
        print_text(show_packet(seen))
    elif is_terminal():
        from rich.console import Console
        from rich.text import Text

        Console().print(Text(show_noise(seen), style="dim"), soft_wrap=True)
    else:
        print_text(show_noise(seen))
