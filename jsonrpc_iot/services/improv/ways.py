"""The ways to an Improv device: what a client sends and hears, as packets on each."""

from abc import ABC, abstractmethod
from functools import partial

from jsonrpc_iot import ChannelClosed, MalformedFrame, Trace
from jsonrpc_iot.protocol.improv import ble
from jsonrpc_iot.protocol.improv.messages import (
    Call,
    Command,
    State,
    decode_strings,
    encode_strings,
    without_key,
)
from jsonrpc_iot.protocol.improv.serial import (
    Packet,
    PacketType,
    call_packet,
    result_packet,
)
from jsonrpc_iot.transports.gatt.attributes import Attributes

from .packets import PacketLine

_PIECE = 20
"""Bytes of a write that every Bluetooth link carries."""


class Way(ABC):
    """A link to a device. Both methods raise `ChannelClosed` once it is gone."""

    @abstractmethod
    async def send(self, call: Call) -> None:
        """Send a command."""

    @abstractmethod
    async def receive(self) -> Packet:
        """Wait for what the device says."""

    @abstractmethod
    def forget(self) -> None:
        """Drop what has come and was not received."""


class SerialWay(Way):
    """A serial line.

    Args:
        packets: of the line.
    """

    def __init__(self, packets: PacketLine) -> None:
        self._packets = packets

    async def send(self, call: Call) -> None:
        """See `Way.send`."""
        await self._packets.send(call_packet(call))

    async def receive(self) -> Packet:
        """See `Way.receive`."""
        packet = None
        while packet is None:  # one that was spoilt is asked for again
            packet = await self._packets.receive()
        return packet

    def forget(self) -> None:
        """See `Way.forget`."""
        self._packets.forget()


class GattWay(Way):
    """Improv's characteristics; `listen` has to be awaited first.

    What differs from serial lines is put into the words of those: the state is read, and a scan is
    one result.

    Args:
        attributes: of the device.
        trace: is shown commands and what is notified, without keys.
    """

    def __init__(self, attributes: Attributes, trace: Trace | None) -> None:
        self._attributes = attributes
        self._trace = trace
        self._packets: list[Packet] = []
        self._is_cut = False  # a result that has to be read, as it was too long to be notified

    async def listen(self) -> None:
        """Have everything notified."""
        for uuid, type_ in ((ble.STATE, PacketType.STATE), (ble.ERROR, PacketType.ERROR)):
            await self._attributes.hear(uuid, partial(self._take, type_))
        await self._attributes.hear(ble.RESULT, self._take_result)

    async def send(self, call: Call) -> None:
        """See `Way.send`."""
        if call.command == Command.REQUEST_STATE:
            value = await self._attributes.read(ble.STATE)
            self._take(PacketType.STATE, value)
            if value[:1] == bytes((State.PROVISIONED,)):
                urls = await self._urls()
                self._packets.append(result_packet(Call(Command.REQUEST_STATE, urls)))
            return
        if self._trace is not None:
            self._trace("=>", ble.encode_call(without_key(call)))
        encoded = ble.encode_call(call)
        for at in range(0, len(encoded), _PIECE):
            await self._attributes.write(ble.CALL, encoded[at : at + _PIECE])

    async def receive(self) -> Packet:
        """See `Way.receive`."""
        while not self._packets:
            if self._is_cut:
                self._is_cut = False
                self._take_result(await self._attributes.read(ble.RESULT), is_read=True)
            else:
                await self._attributes.news()
        return self._packets.pop(0)

    def forget(self) -> None:
        """See `Way.forget`."""
        self._packets.clear()
        self._is_cut = False

    async def _urls(self) -> bytes:
        """Where the device is reached, if its last result says so."""
        try:
            call = ble.decode_call(await self._attributes.read(ble.RESULT))
        except (MalformedFrame, ChannelClosed):  # none yet, or it refuses; who is gone shows later
            return b""
        return call.data if call.command == Command.WIFI_SETTINGS else b""

    def _take(self, type_: PacketType, value: bytes) -> None:
        if self._trace is not None:
            self._trace("<=", value)
        self._packets.append(Packet(type_, value))

    def _take_result(self, value: bytes, *, is_read: bool = False) -> None:
        if self._trace is not None:
            self._trace("<=", value)
        if not is_read and (len(value) < 2 or len(value) < value[1] + 3):
            self._is_cut = True
            return
        try:
            call = ble.decode_call(value)
            strings = decode_strings(call.data) if call.command == Command.SCAN else []
        except MalformedFrame:
            self._packets.append(Packet(PacketType.RESULT, b""))  # is told by who reads it
            return
        if call.command == Command.SCAN:
            for at in range(0, len(strings), 3):
                data = encode_strings(strings[at : at + 3])
                self._packets.append(result_packet(Call(Command.SCAN, data)))
            call = Call(Command.SCAN)
        self._packets.append(result_packet(call))
