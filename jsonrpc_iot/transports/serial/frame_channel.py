"""Channels that share a serial line of Tuya frames."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import anyio
import anyio.lowlevel

from ...channel.contract import Take, Trace
from ...channel.info import ChannelAttribute, ChannelInfo
from ...protocol.tuya.frame import Command, Frame
from ..batched import BatchedChannel
from ..inbox import Inbox
from .line import TakesFrames, TuyaLine


class LineChannel(BatchedChannel, TakesFrames):
    """Messages of one kind on a line.

    Args:
        line: carries the frames.
        info: the facts about the channel.
        baudrate: of the line, in bits per second; `None` where that means nothing.
        owns_line: close the line with the channel.

    Attributes:
        line: as above.
    """

    def __init__(
        self, line: TuyaLine, info: ChannelInfo, baudrate: int | None, *, owns_line: bool = True
    ) -> None:
        super().__init__()
        self._info = info
        self.line = line
        self._baudrate = baudrate
        self._owns_line = owns_line
        self._inbox = Inbox(info)
        self._take: Take | None = None
        self._is_awaited = False
        self._closed = False
        line.takers.append(self)

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """The baud rate, where there is one."""
        if self._baudrate is None:
            return {}
        return {ChannelAttribute.baudrate: lambda: self._baudrate}

    @property
    def pieces_sent(self) -> int:
        """See `Channel.pieces_sent`."""
        return self.line.frames_sent

    @property
    def noise_bytes(self) -> int:
        """See `Channel.noise_bytes`."""
        return self.line.decoder.noise_bytes

    @property
    def missed(self) -> int:
        """See `Channel.missed`."""
        return self._inbox.dropped

    @property
    def drops(self) -> Mapping[str, int]:
        """See `Channel.drops`; that of the line too, where this is its only channel."""
        mine = {"too_fast": self.missed}
        return {**self.line.drops, **mine} if self._owns_line else mine

    def trace_frames(self, trace: Trace) -> None:
        """Show the frames of all commands, and the noise; see `Channel.trace_frames`."""
        self.line.trace_frames(trace)

    def offer_to(self, take: Take) -> None:
        """See `Channel.offer_to`."""
        self._take = take

    async def _next_batch(self) -> list[bytes]:
        self._is_awaited = True
        try:
            await self.line.wait(self._is_done)
        finally:
            self._is_awaited = False
        if self._closed:
            raise anyio.ClosedResourceError
        return self._inbox.take()

    async def send(self, item: bytes) -> None:
        """Send one message; see `Channel.send`."""
        if self._closed:
            raise anyio.ClosedResourceError
        await self._send(item)

    async def aclose(self) -> None:
        """Leave the line, and give the port back where it is the channel's own."""
        self._closed = True
        if self in self.line.takers:
            self.line.takers.remove(self)
        if self._owns_line:
            await self.line.aclose()
        else:
            self.line.look_again()
            await anyio.lowlevel.checkpoint()

    def _is_done(self) -> bool:
        return bool(self._inbox) or self._closed

    def _arrive(self, message: bytes) -> None:
        is_next = self._is_awaited and not self._inbox
        if not (is_next and self._take is not None and self._take((message,))):
            self._inbox.put(message)

    @abstractmethod
    async def _send(self, item: bytes) -> None:
        """Send one message."""


@final
class RpcChannel(LineChannel):
    """One message in one frame of command 0xFE.

    Source: the RPC protocol document, "RPC over UART".
    """

    def take_frame(self, frame: Frame) -> None:
        """See `TakesFrames`."""
        if frame.command == Command.RPC:
            self._arrive(frame.data)

    def send_now(self, messages: Sequence[bytes]) -> int:
        """See `Channel.send_now`."""
        if self._closed:
            raise anyio.ClosedResourceError
        for sent, message in enumerate(messages):
            if not self.line.send_now(Command.RPC, message):
                return sent
        return len(messages)

    async def _send(self, item: bytes) -> None:
        await self.line.send(Command.RPC, item)
