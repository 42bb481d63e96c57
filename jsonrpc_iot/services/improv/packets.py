"""Improv's packets on a serial line, which Tuya frames may share: RPC, DataPoints and the rest."""

from collections import deque
from typing import Protocol, TypeAlias

import anyio
from anyio.abc import ByteStream

from jsonrpc_iot import ChannelClosed, Trace
from jsonrpc_iot.protocol.improv.serial import Packet
from jsonrpc_iot.transports.serial.line import TuyaLine

_WAITING = 1024  # packets that nobody has received; a scan has a few hundred


class OnLine(Protocol):
    """What is on a line that it shares: a `TuyaLink`, `TuyaMcu` or `TuyaModule`, or a channel."""

    @property
    def line(self) -> TuyaLine:
        """The line."""


SerialLine: TypeAlias = ByteStream | TuyaLine | OnLine


class PacketLine:
    """The packets of a line; it is left open.

    Args:
        where: the line, or what is on it.
        trace: is shown the packets, without keys, and the frames.
    """

    def __init__(self, where: SerialLine, trace: Trace | None = None) -> None:
        if isinstance(where, ByteStream):
            where = TuyaLine(where)
        self.line = where if isinstance(where, TuyaLine) else where.line
        self._packets: deque[Packet] = deque(maxlen=_WAITING)
        self._decoder = self.line.find_packets(self._take)
        self._spoilt = self._decoder.bad_packets
        if trace is not None:
            self.line.trace_frames(trace)

    async def send(self, packet: Packet) -> None:
        """Send a packet; raises `ChannelClosed` once the line is gone."""
        try:
            await self.line.send_frame(packet.encode(), packet.shown())
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            raise _gone() from None

    async def receive(self) -> Packet | None:
        """Wait for a packet.

        Returns:
            The packet, or `None` for one that was spoilt.

        Raises:
            ChannelClosed: the line is gone.
        """
        try:
            await self.line.wait(self._has_news)
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            raise _gone() from None
        if self._packets:
            return self._packets.popleft()
        self.forget()
        return None

    def forget(self) -> None:
        """Drop what has come and was not received."""
        self._packets.clear()
        self._spoilt = self._decoder.bad_packets

    def close(self) -> None:
        """Take no more packets."""
        self.line.leave_packets(self._take)

    def _take(self, packet: Packet) -> None:
        self._packets.append(packet)

    def _has_news(self) -> bool:
        return bool(self._packets) or self._decoder.bad_packets > self._spoilt


def _gone() -> ChannelClosed:
    return ChannelClosed("the serial line is gone; was the adapter unplugged?")
