"""The messages of NovaCloud TCP in both directions, and one line of JSON for each.

The wire format is the NovaCloud TCP guide's, sections 2 to 7; `ext`, `outbox_id`, `seq` and `ack`
are this project's extension for acknowledged data. What a message does is left to the two ends.
"""

import json
import re
from contextlib import suppress
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from jsonrpc_iot import MalformedFrame

DEFAULT_PORT = 8100
MAX_NESTING = 32
"""Levels of arrays and objects in one message; with the envelope of a result it stays under 64."""

ACK = "ack"
"""The name of the extension for acknowledged data, in `ext`."""

LAST_SECOND = 253_402_300_799.0
"""The end of the year 9999; a timestamp in milliseconds is later, and refused."""

Timestamp: TypeAlias = Annotated[float, Meta(ge=0, le=LAST_SECOND)]
Identifier: TypeAlias = Annotated[str, Meta(min_length=1, max_length=128)]
CommandId: TypeAlias = Identifier | int
"""A text; some platforms number their commands, and want the number back."""

Seq: TypeAlias = Annotated[int, Meta(ge=1, le=(1 << 63) - 1)]
Payload: TypeAlias = dict[str, Any]


class AuthPayload(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Who a device is.

    Args:
        device_id: the UUID that the platform knows it by.
        device_key: its secret, an opaque text; empty where a certificate proves who it is.
        ext: extensions that it understands.
        outbox_id: names the outbox whose rows `seq` counts.
    """

    device_id: str
    device_key: Annotated[str, Meta(max_length=1024)] = ""
    ext: list[str] = []
    outbox_id: Identifier | UnsetType = UNSET

    def __repr__(self) -> str:  # the key is in no log and no traceback
        return f"AuthPayload(device_id={self.device_id!r}, device_key=...)"


class _Message(Struct, frozen=True, omit_defaults=True, tag_field="type", kw_only=True):
    """One line."""


class Auth(_Message, frozen=True, tag="auth"):
    """Device to platform: the first message after connecting."""

    payload: AuthPayload


REFUSAL = "unknown device or wrong key"
"""What a platform says to a device that it does not know, or whose key is another."""


class AuthResult(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Whether the device may go on; `ext` repeats the extensions that the platform uses."""

    status: Literal["success", "error"]
    message: str = ""
    ext: list[str] = []


class AuthResponse(_Message, frozen=True, tag="auth_response"):
    """Platform to device: the answer to `auth`. After an error the connection is closed."""

    payload: AuthResult


class _Report(_Message, frozen=True):
    """What an outbox holds.

    Args:
        payload: values by name.
        timestamp: when they were taken, in Unix seconds; the time of arrival when absent.
        seq: the number of its row in the outbox.
    """

    payload: Payload
    timestamp: Timestamp | None = None
    seq: Seq | UnsetType = UNSET


class Data(_Report, frozen=True, tag="data"):
    """Device to platform: sensor values by `value_key`."""


class Status(_Report, frozen=True, tag="status"):
    """Device to platform: how the device is."""


class Heartbeat(_Message, frozen=True, tag="heartbeat"):
    """Device to platform: it is still there. Nobody answers."""


class Command(_Message, frozen=True, tag="command"):
    """Platform to device: what to do, by `command_key`."""

    command_id: CommandId
    payload: Payload


class CommandResponse(_Message, frozen=True, tag="command_response"):
    """Device to platform: how a command went; a final status may follow `pending`."""

    command_id: CommandId
    status: Literal["success", "error", "pending"]
    payload: Any = None


class AckPayload(Struct, frozen=True):
    """Rows up to and including `upto` are stored."""

    upto: Seq


class Ack(_Message, frozen=True, tag="ack"):
    """Platform to device: what it may delete from its outbox."""

    payload: AckPayload


class ErrorPayload(Struct, frozen=True):
    """What was wrong, in one sentence."""

    message: str


class Error(_Message, frozen=True, tag="error"):
    """Platform to device: a line made no sense."""

    payload: ErrorPayload


FromDevice: TypeAlias = Auth | Data | Status | Heartbeat | CommandResponse
FromPlatform: TypeAlias = AuthResponse | Command | Ack | Error

_from_device: msgspec.json.Decoder[FromDevice] = msgspec.json.Decoder(FromDevice)
_encoder = msgspec.json.Encoder()
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
_UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)


def encode_line(message: FromDevice | FromPlatform) -> bytes:
    r"""One message as a line with its newline, all ASCII: simple devices decode what `recv` gives.

    Raises:
        TypeError: JSON has no form for a value.
    """
    return encode_text(_encoder.encode(message))


def encode_text(data: bytes) -> bytes:
    """JSON as a line with its newline, all ASCII."""
    if not data.isascii():
        data = _NOT_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], data.decode()).encode()
    return data + b"\n"


def decode_from_device(line: bytes) -> FromDevice:
    """Read one line that a device sent, without its newline.

    Raises:
        MalformedFrame: it is no message; the text says why, and repeats none of the line's values.
    """
    try:
        if not line.isascii():
            line.decode()  # msgspec does not look at the members that it skips
        message = _from_device.decode(line)
    except _UNREADABLE as error:
        raise MalformedFrame(_reason(error)) from None
    _check_nesting(line, message)
    return message


def decode_not_finite(line: bytes) -> FromDevice | None:
    """Read a line in which a device wrote NaN or Infinity, as Python and C do; they become `null`.

    Returns:
        The message; `None` where that was not what is wrong with the line.
    """
    if b"NaN" not in line and b"Infinity" not in line:
        return None
    found: list[str] = []
    try:
        value = json.loads(line, parse_constant=found.append)
        json.dumps(value, ensure_ascii=False).encode()  # `json` reads halves of surrogate pairs
        message = msgspec.convert(value, FromDevice) if found else None
        if message is not None:
            _check_nesting(line, message)
    except (*_UNREADABLE, ValueError, MalformedFrame):
        return None
    return message


class _AnyMessage(Struct):
    type: str


_any_message = msgspec.json.Decoder(_AnyMessage)
_values = msgspec.json.Decoder()
_PLATFORM: dict[str, "msgspec.json.Decoder[FromPlatform]"] = {
    "auth_response": msgspec.json.Decoder(AuthResponse),
    "command": msgspec.json.Decoder(Command),
    "ack": msgspec.json.Decoder(Ack),
    "error": msgspec.json.Decoder(Error),
}
PLATFORM_TYPES = _PLATFORM.keys()
"""Types of the messages that platforms are known to send."""


class UnreadableCommand(Struct, frozen=True):
    """A command that makes no sense, apart from its id; its sender waits for an answer.

    Args:
        command_id: which one.
        reason: what is wrong with it, in a sentence.
    """

    command_id: CommandId
    reason: str


class _AnyCommand(Struct):
    command_id: CommandId


_any_command = msgspec.json.Decoder(_AnyCommand)


def decode_from_platform(line: bytes) -> FromPlatform | UnreadableCommand | dict[str, Any]:
    """Read one line that a platform sent, without its newline.

    Returns:
        The message; one of an unknown type as the object that it is, and a command that makes no
        sense as what can be answered of it.

    Raises:
        MalformedFrame: it is no message; the text says why, and repeats none of the line's values.
    """
    message: FromPlatform | dict[str, Any]
    kind = ""
    try:
        if not line.isascii():
            line.decode()
        kind = _any_message.decode(line).type
        known = _PLATFORM.get(kind)
        message = _values.decode(line) if known is None else known.decode(line)
    except _UNREADABLE as error:
        if kind == "command":
            with suppress(*_UNREADABLE):
                return UnreadableCommand(_any_command.decode(line).command_id, _reason(error))
        raise MalformedFrame(_reason(error)) from None
    _check_nesting(line, message)
    return message


def _reason(error: BaseException) -> str:
    if isinstance(error, msgspec.ValidationError):
        text = str(error)
        return text if len(text) <= 200 and text.isprintable() else "a member has the wrong type"
    if isinstance(error, msgspec.DecodeError):
        return "not valid JSON"
    if isinstance(error, RecursionError):
        return f"nested deeper than {MAX_NESTING} levels"
    return "not valid UTF-8"


def _check_nesting(line: bytes, message: object) -> None:
    if line.count(b"[") + line.count(b"{") <= MAX_NESTING:
        return
    value = message if isinstance(message, dict) else getattr(message, "payload", None)
    level = [value]
    for _ in range(MAX_NESTING):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise MalformedFrame(f"nested deeper than {MAX_NESTING} levels")
