"""One serial port, shared by RPC, handlers of commands and handlers of DataPoints."""

from collections.abc import AsyncIterator, Awaitable, Callable, Set
from contextlib import aclosing, asynccontextmanager
from functools import partial
from inspect import isawaitable
from typing import Any, Self, TypeVar

import anyio
from anyio.abc import ByteStream
from msgspec import Struct, ValidationError, convert, structs

from ..channel.contract import Channel
from ..channel.tasks import task_group
from ..channel.url import Url
from ..errors import ChannelClosed, UsageError
from ..protocol.tuya.datapoints import DataPoint, encode_datapoints
from ..protocol.tuya.frame import Frame, FrameDecoder, encode_frame
from ..protocol.tuya.role import Mcu, Role
from ..transports.serial import tuya_dp, uart
from ..transports.serial.line import TuyaLine
from ..transports.serial.pty import open_pty
from ._handlers import DataPointHandler, Handlers

CommandHandler = Callable[[Frame], Awaitable[bytes | None] | bytes | None]
C = TypeVar("C", bound=CommandHandler)
D = TypeVar("D", bound=DataPointHandler)
S = TypeVar("S", bound=Struct)


class TuyaLink(anyio.AsyncContextManagerMixin):
    """A serial line of Tuya frames, while the `async with` block runs.

    Handlers run one after the other, in the order of what came; an exception in one is logged. When
    the port is gone, the channels end and the block is left with `ChannelClosed`.

    Args:
        where: a `uart://` URL with the options of its port and `buffer`, also `uart+pty://` for a
            line without hardware; or an open stream, which the link closes.

    Raises:
        ConnectFailed: on entering the block: the port cannot be had.
        InvalidUrl: on entering the block: the URL makes no sense.
    """

    def __init__(self, where: str | ByteStream) -> None:
        self._where = where
        self._options = uart.UartOptions()
        self._name = "a stream"
        self._line: TuyaLine | None = None
        self._failure: ChannelClosed | None = None
        self._handlers = Handlers()

    @property
    def address(self) -> str:
        """The URL of the port; of a pty, that of its far end."""
        return self._name

    @property
    def decoder(self) -> FrameDecoder:
        """What cuts the line into frames, for its counts of what it dropped."""
        return self.line.decoder

    @property
    def line(self) -> TuyaLine:
        """The line, for what else shares it, such as `serve_line` of `services.improv`.

        Raises:
            UsageError: the link is not open.
        """
        if self._line is None:
            raise UsageError("the link is not open: use it inside `async with`")
        return self._line

    @property
    def dropped(self) -> int:
        """Events that came while too many others waited for their handlers."""
        return self._handlers.dropped

    def on_command(self, command: int) -> Callable[[C], C]:
        """Register a handler of a command: it gets the frame, and what it returns is sent back.

        Args:
            command: 0 to 255. What the link answers by itself it goes on answering; but what it
                would refuse, 0x0E, 0x20, 0x2B, 0x2D and 0x34, is left to the handler.

        Raises:
            ValueError: there is no such command.
        """
        encode_frame(command)
        role = self._role()
        if role is not None:
            role.left_to_program.add(command)

        def register(handler: C) -> C:
            self._handlers.commands[command].append(partial(self._answer, handler))
            return handler

        return register

    async def send(self, command: int, data: bytes = b"") -> None:
        """Send a frame.

        Args:
            command: 0 to 255.
            data: up to what the other end's buffer can hold.

        Raises:
            ChannelClosed: the port is gone.
        """
        line = self.line
        await self._send(encode_frame(command, data, line.role.version if line.role else 0))

    async def _send(self, *frames: bytes) -> None:
        try:
            for frame in frames:
                await self.line.send_frame(frame)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            raise self._gone() from None

    def rpc_channel(self, **options: Any) -> Channel:
        """A channel of messages in frames of command 0xFE, for `connect` or `serve`.

        Args:
            options: those of a `uart://` URL that say what is sent: `max`, `codec`, `in_flight`.

        Raises:
            UsageError: the link is not open, or an option makes no sense.
        """
        asked = _with(self._options, options, {"max", "codec", "in_flight"})
        return uart.open_channel(self.line, self._name, asked, owns_line=False)

    @asynccontextmanager
    async def __asynccontextmanager__(self) -> AsyncIterator[Self]:
        if self._line is not None:
            raise UsageError("this link was open already: make a new one")
        stream, options = await self._open(), self._options
        self._line = TuyaLine(
            stream, self._role(), baudrate=options.baudrate, frame_gap=options.frame_gap
        )
        self._line.is_shared = True
        self._line.takers.append(self._handlers)
        async with aclosing(self._line), task_group() as tasks:
            tasks.start_soon(self._handlers.run)
            tasks.start_soon(self._watch, tasks.cancel_scope)
            yield self
            tasks.cancel_scope.cancel()
        if self._failure is not None:
            raise self._failure

    def _role(self) -> Role | None:
        return None

    async def _open(self) -> ByteStream:
        if not isinstance(self._where, str):
            return self._where
        url = Url.parse(self._where)
        if url.scheme not in ("uart", "uart+pty"):
            raise url.error("a link takes uart:// or uart+pty://, or a stream")
        self._options = url.read_options(uart.UartOptions)
        self._name = str(url)
        if url.scheme == "uart":
            return await self._options.open(url)
        stream, path = open_pty()
        self._name = self._options.reached_at(f"uart://{path}")
        return stream

    async def _watch(self, scope: anyio.CancelScope) -> None:
        """Read the line all the time, so that what comes is handled."""
        try:
            while True:
                await self._notice_changes()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream):
            self._failure = self._gone()  # raised unless the block fails by itself
            scope.cancel()

    async def _notice_changes(self) -> None:
        """Read until the role has changed, and say so."""
        await self.line.wait(lambda: False)

    def _gone(self) -> ChannelClosed:
        return ChannelClosed(f"{self._name}: the port is gone; was the adapter unplugged?")

    async def _answer(self, handler: CommandHandler, frame: Frame) -> None:
        answer = handler(frame)
        data = await answer if isawaitable(answer) else answer
        role = self.line.role
        if role and role.echoes and frame.version == role.version:
            return  # most likely an answer of its own
        if data is not None:
            await self.send(frame.command, data)


class DataPointLink(TuyaLink):
    """A line whose two ends exchange DataPoints."""

    def on_datapoint(self, id: int) -> Callable[[D], D]:
        """Register a handler of a DataPoint: it gets each value that the other end sends.

        Args:
            id: 0 to 255.

        Raises:
            ValueError: there is no such id.
        """
        if not 0 <= id <= 0xFF:
            raise ValueError(f"DataPoint id {id} is not in 0 to 255")

        def register(handler: D) -> D:
            self._handlers.datapoints[id] = handler
            return handler

        return register

    def datapoint_channel(
        self, dpid: int = tuya_dp.DPID, *, gap: float = tuya_dp.GAP_SECONDS, **options: Any
    ) -> Channel:
        """A channel of messages in a string DataPoint, for `connect` or `serve`.

        DataPoints without a handler come over it as notifications `tuya.datapoint`.

        Args:
            dpid: which DataPoint, 1 to 255.
            gap: seconds between two sends, at least; Tuya's cloud wants 1.
            options: `max`, and of an MCU `sync_report`, as in a `tuya-dp://` URL.

        Raises:
            UsageError: the link is not open, or an option makes no sense.
        """
        if options.get("sync_report") and not isinstance(self._role(), Mcu):
            raise UsageError("sync_report is for a TuyaMcu: only an MCU reports")
        usual = tuya_dp.TuyaDpOptions(buffer=self._options.buffer)
        options = {"dpid": dpid, "gap": gap, **options}
        asked = _with(usual, options, {"dpid", "gap", "max", "sync_report"})
        return tuya_dp.open_channel(self.line, self._name, asked, owns_line=False)

    async def _send_datapoints(self, role: Role, points: tuple[DataPoint, ...]) -> None:
        await self.send(role.sends, encode_datapoints(points))


def _with(usual: S, options: dict[str, Any], known: Set[str]) -> S:
    """Options with some of them replaced."""
    if unknown := sorted(set(options) - known):
        raise UsageError(f"unknown option {unknown[0]!r}; valid are {', '.join(sorted(known))}")
    try:
        return convert(structs.asdict(usual) | options, type(usual))
    except ValidationError as error:
        raise UsageError(f"an option makes no sense: {error}") from None
