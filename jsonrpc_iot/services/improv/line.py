"""`Improv` on a serial line: packets beside whatever else is said there."""

import logging
from collections.abc import Sequence

import anyio

from jsonrpc_iot import ChannelClosed, MalformedFrame, Trace
from jsonrpc_iot.protocol.improv.messages import (
    Call,
    Command,
    ErrorState,
    State,
    WifiSettings,
    clip,
    encode_strings,
)
from jsonrpc_iot.protocol.improv.serial import (
    LONGEST_DATA,
    Packet,
    PacketType,
    error_packet,
    result_packet,
    state_packet,
)

from ..wifi import AccessPoint
from .device import Improv
from .errors import ImprovError
from .packets import PacketLine, SerialLine

logger = logging.getLogger("jsonrpc_iot.wifi")

_TAKE_TIME = (Command.WIFI_SETTINGS, Command.SCAN)
_MOST_CALLS = 8  # of these, on one line
_WAITING = 64  # packets that are not sent yet
_SEND_SECONDS = 5.0  # after which nobody reads the line
_ROOM = LONGEST_DATA - 2  # for the strings of a result
_LONGEST_FIELD = _ROOM // 4 - 1


async def serve_line(improv: Improv, line: SerialLine, trace: Trace | None = None) -> None:
    """Answer on a line, until it is gone.

    Args:
        improv: the device; its block has been entered.
        line: a stream, or a `TuyaLink`, `TuyaMcu` or `TuyaModule`, whose line is shared with what
            else they carry; it is left open.
        trace: is shown the packets, without keys.
    """
    packets = PacketLine(line, trace)
    try:
        await _Line(improv, packets).run()
    finally:
        packets.close()


class _Line:
    def __init__(self, improv: Improv, packets: PacketLine) -> None:
        self._improv = improv
        self._packets = packets
        self._outbox, self._leaving = anyio.create_memory_object_stream[Packet](_WAITING)
        self._calls = 0

    async def run(self) -> None:
        unwatch = self._improv.watch(lambda state: self._put(state_packet(state)))
        try:
            async with self._outbox, self._leaving, anyio.create_task_group() as tasks:
                tasks.start_soon(self._send)
                await self._receive(tasks)
                tasks.cancel_scope.cancel()
        finally:
            unwatch()

    async def _receive(self, tasks: anyio.abc.TaskGroup) -> None:
        while True:
            try:
                packet = await self._packets.receive()
            except ChannelClosed:
                return
            if packet is None:
                self._put(error_packet(ErrorState.INVALID_PACKET))
            elif packet.type == PacketType.CALL:
                await self._take(packet, tasks)

    async def _take(self, packet: Packet, tasks: anyio.abc.TaskGroup) -> None:
        try:
            call = packet.call
        except MalformedFrame:
            self._put(error_packet(ErrorState.INVALID_PACKET))
            return
        takes_time = call.command in _TAKE_TIME
        if takes_time and self._calls >= _MOST_CALLS:
            self._put(error_packet(ErrorState.UNKNOWN))
            return
        self._put(error_packet(ErrorState.NONE))
        if takes_time:
            self._calls += 1
            tasks.start_soon(self._answer_later, call)
        else:
            await self._answer(call)

    async def _answer_later(self, call: Call) -> None:
        try:
            await self._answer(call)
        finally:
            self._calls -= 1

    async def _answer(self, call: Call) -> None:
        try:
            await self._run(call)
        except MalformedFrame:
            self._put(error_packet(ErrorState.INVALID_PACKET))
        except ImprovError as error:
            self._put(error_packet(ErrorState(error.code)))

    async def _run(self, call: Call) -> None:
        improv = self._improv
        match call.command:
            case Command.WIFI_SETTINGS:
                settings = WifiSettings.decode(call.data)
                self._put(_result(call, await improv.join(settings)))
            case Command.REQUEST_STATE:
                self._put(state_packet(improv.state))
                if improv.state is State.PROVISIONED:
                    self._put(_result(call, improv.urls()))
            case Command.DEVICE_INFO:
                info = improv.info
                fields = (info.firmware, info.version, info.hardware, info.name)
                self._put(_result(call, [clip(each, _LONGEST_FIELD) for each in fields]))
            case Command.SCAN:
                for point in await improv.networks():
                    await self._outbox.send(_result(call, _described(point)))
                await self._outbox.send(_result(call, ()))
            case Command.NETWORK_STATE:
                self._put(_result(call, improv.network_state()))
            case Command.HOSTNAME | Command.DEVICE_NAME if improv.names is not None:
                self._put(_result(call, [await improv.names.answer(call)]))
            case _:
                raise ImprovError(ErrorState.UNKNOWN_COMMAND)

    def _put(self, packet: Packet) -> None:
        """Have it sent; where nobody reads the line it is lost, and may be asked for again."""
        try:
            self._outbox.send_nowait(packet)
        except anyio.WouldBlock:
            logger.info("an Improv packet is lost: nobody reads the line")

    async def _send(self) -> None:
        async for packet in self._leaving:
            try:
                with anyio.move_on_after(_SEND_SECONDS):
                    await self._packets.send(packet)
            except ChannelClosed:
                return  # who reads the line notices too


def _described(point: AccessPoint) -> tuple[str, str, str]:
    return point.ssid, str(point.rssi), "NO" if point.security == "open" else "YES"


def _result(call: Call, strings: Sequence[str]) -> Packet:
    """As many of the strings as fit, in order."""
    fitting: list[str] = []
    for string in strings:
        fitting.append(clip(string, _ROOM))
        if len(encode_strings(fitting)) > _ROOM:
            del fitting[-1]
            break
    return result_packet(Call(call.command, encode_strings(fitting)))
