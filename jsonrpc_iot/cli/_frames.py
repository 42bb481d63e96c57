"""What the frames of a serial line mean, for programs and for people.

Text for people is escaped here; nothing is printed here.
"""

from contextlib import suppress
from typing import TypeAlias

import msgspec
from msgspec import UNSET, Struct, UnsetType

from jsonrpc_iot import MalformedFrame
from jsonrpc_iot.protocol.codec.codec import DECODE_ERRORS
from jsonrpc_iot.protocol.improv import messages as improv
from jsonrpc_iot.protocol.improv.serial import Packet, PacketType
from jsonrpc_iot.protocol.text import escape, escape_json
from jsonrpc_iot.protocol.tuya.datapoints import DataPoint, read_datapoints
from jsonrpc_iot.protocol.tuya.frame import Command, Frame, NetworkStatus

from ._json import encode_json

_HEARTBEATS = {b"\0": "restarted", b"\1": "running"}

Text: TypeAlias = str | UnsetType


class Unit(Struct, frozen=True):
    """One DataPoint; a value of type RAW is hex digits."""

    id: int
    type: str
    value: bool | int | str


class Report(Struct, frozen=True):
    """What `monitor --json` prints of a frame.

    Args:
        time: seconds.
        version: that of the frame.
        command: its number.
        name: the same in a word, or in hex digits.
        data: hex digits.
        datapoints: the units of a frame that sets or reports DataPoints, as far as they make sense.
        message: text of a JSON-RPC message or of the product information.
        status: that of the network, or what a heartbeat says of the MCU.
        error: why the data makes no sense.
    """

    time: float
    version: int
    command: int
    name: str
    data: str
    datapoints: list[Unit] | UnsetType = UNSET
    message: Text = UNSET
    status: Text = UNSET
    error: Text = UNSET


class Noise(Struct, frozen=True):
    """What `monitor --json` prints of bytes that belong to no frame.

    Args:
        time: seconds, when the first of them was dropped.
        noise: how many.
    """

    time: float
    noise: int


class PacketReport(Struct, frozen=True):
    """What `monitor --json` prints of a packet of Improv Wi-Fi.

    Args:
        time: seconds.
        improv: what it is, in a word or in hex digits.
        data: hex digits, without the key of a network.
        meaning: the same in words, as far as it makes sense.
    """

    time: float
    improv: str
    data: str
    meaning: str


def explain_packet(time: float, packet: Packet) -> PacketReport:
    """Find out what a packet means.

    Args:
        time: seconds, when it was whole.
        packet: any.
    """
    data = packet.shown()[9:-2]
    name, meaning = f"0x{packet.type:02x}", data.hex(" ")
    with suppress(MalformedFrame, ValueError):  # what makes no sense stays hex digits
        name = PacketType(packet.type).name
        match packet.type:
            case PacketType.STATE:
                meaning = improv.State(packet.value).name
            case PacketType.ERROR:
                meaning = improv.ErrorState(packet.value).name
            case _:
                call = improv.Call.decode(data)
                strings = improv.decode_strings(call.data)
                meaning = " ".join((improv.Command(call.command).name, *map(repr, strings)))
    return PacketReport(time, name, data.hex(), meaning)


def explain_frame(time: float, frame: Frame) -> Report:
    """Find out what a frame means.

    Args:
        time: seconds, when it was whole.
        frame: any.
    """
    datapoints: list[Unit] | UnsetType = UNSET
    message: Text = UNSET
    status: Text = UNSET
    error: Text = UNSET
    match frame.command:
        case Command.RPC:
            message, error = _rpc(frame.data)
        case Command.PRODUCT if frame.data:  # without data it asks for it
            message, error = _text(frame.data)
        case Command.HEARTBEAT:
            status = _HEARTBEATS.get(frame.data, UNSET)
        case Command.NETWORK_STATUS:
            status = _network_status(frame.data)
        case Command.SET_DATAPOINTS | Command.REPORT_DATAPOINTS | Command.SYNC_REPORT:
            points, problems = read_datapoints(frame.data)
            if points or not problems:
                datapoints = [_unit(point) for point in points]
            if problems:
                error = "; ".join(map(str, problems))
    return Report(
        time,
        frame.version,
        frame.command,
        _name(frame.command),
        frame.data.hex(),
        datapoints,
        message,
        status,
        error,
    )


def show_frame(report: Report) -> str:
    """One line about a frame for people, escaped."""
    head = f"{show_time(report.time)}  {report.version:>3}  {report.name:<18}"
    return f"{head}  {_meaning(report)}".rstrip()


def show_packet(packet: PacketReport) -> str:
    """One line about a packet for people, escaped."""
    kind = f"IMPROV {packet.improv}"
    return f"{show_time(packet.time)}       {kind:<18}  {escape(packet.meaning)}".rstrip()


def show_noise(noise: Noise) -> str:
    """One line about noise for people."""
    return f"{show_time(noise.time)}  noise: {noise.noise} byte{'s' * (noise.noise != 1)}"


def show_time(seconds: float) -> str:
    """Seconds to the millisecond, in a column."""
    return f"{seconds:9.3f}"


def _meaning(report: Report) -> str:
    if report.message is not UNSET:
        meaning = escape(report.message)
    elif report.datapoints is not UNSET:
        meaning = ", ".join(map(_show_unit, report.datapoints))
    elif report.status is not UNSET:
        meaning = report.status
    else:
        meaning = bytes.fromhex(report.data).hex(" ")
    return meaning if report.error is UNSET else f"malformed: {escape(report.error)}: {meaning}"


def _show_unit(unit: Unit) -> str:
    value = unit.value
    if unit.type != "RAW":
        value = escape_json(msgspec.json.encode(value).decode())
    return f"{unit.id} {unit.type} {value}".rstrip()


def _name(command: int) -> str:
    try:
        return Command(command).name
    except ValueError:
        return f"0x{command:02x}"


def _unit(point: DataPoint) -> Unit:
    value = point.value
    return Unit(point.id, point.type.name, value.hex() if isinstance(value, bytes) else value)


def _rpc(data: bytes) -> tuple[Text, Text]:
    """A message and what is wrong with it; one in MessagePack becomes JSON."""
    if b"\x80" <= data[:1] < b"\xa0" and (packed := _unpack(data)):  # no UTF-8 begins like that
        return packed, UNSET
    message, error = _text(data)
    if error is UNSET:
        try:
            msgspec.json.decode(data, type=msgspec.Raw)
        except DECODE_ERRORS:
            error = "no JSON"
    return message, error


def _unpack(data: bytes) -> str:
    """A short map or array of MessagePack as JSON; empty where there is none."""
    try:
        return encode_json(msgspec.msgpack.decode(data)).decode()
    except (*DECODE_ERRORS, TypeError, ValueError, OverflowError):
        return ""


def _text(data: bytes) -> tuple[Text, Text]:
    """A text, or that there is none."""
    try:
        return data.decode(), UNSET
    except UnicodeDecodeError:
        return UNSET, "no UTF-8"


def _network_status(data: bytes) -> Text:
    if len(data) != 1:
        return UNSET
    try:
        return NetworkStatus(data[0]).name
    except ValueError:
        return UNSET
