"""What Improv's two ends say to each other, on serial lines and over Bluetooth LE alike.

A client sends commands, a device tells its state, its last error, and results, which are lists of
strings. A command or result is its number, the length of its data, and the data; over Bluetooth LE
a checksum follows, which `ble` adds and takes away.

Sources: "Improv via Serial" and "Improv via BLE", https://www.improv-wifi.com/serial and /ble.
"""

from collections.abc import Sequence
from enum import IntEnum, IntFlag
from typing import NamedTuple

import msgspec

from ...errors import MalformedFrame

MASKED = "***"


class State(IntEnum):
    """How far the device is. Source: "Current State" of both pages; 1 is in that of BLE alone."""

    AUTHORIZATION_REQUIRED = 1
    """Somebody has to press a button first, or whatever the device wants."""
    AUTHORIZED = 2
    """Ready to be told of a network."""
    PROVISIONING = 3
    """Trying to join it."""
    PROVISIONED = 4
    """On the network."""


class ErrorState(IntEnum):
    """What went wrong last.

    Source: "Error state"; 4 is in the page of BLE alone.
    """

    NONE = 0
    INVALID_PACKET = 1
    UNKNOWN_COMMAND = 2
    UNABLE_TO_CONNECT = 3
    NOT_AUTHORIZED = 4
    BAD_HOSTNAME = 5
    UNKNOWN = 0xFF


class Command(IntEnum):
    """What a client asks for. Source: the sections "RPC Command: ..."; 7 is for serial alone."""

    WIFI_SETTINGS = 1
    REQUEST_STATE = 2
    """On serial lines."""
    IDENTIFY = 2
    """Over Bluetooth LE, where the state is a characteristic."""
    DEVICE_INFO = 3
    SCAN = 4
    HOSTNAME = 5
    DEVICE_NAME = 6
    NETWORK_STATE = 7


class Capabilities(IntFlag):
    """Commands that a device knows. Source: "Characteristic: Capabilities"."""

    IDENTIFY = 1
    DEVICE_INFO = 2
    SCAN = 4
    HOSTNAME = 8


class NetworkFlags(IntFlag):
    """The first string of a result of `Command.NETWORK_STATE`, in decimal."""

    ONLINE = 1
    WIFI = 2
    ETHERNET = 4
    THREAD = 8
    CELLULAR = 16


class Call(NamedTuple):
    """A command, with its data; or the answer to one, whose data are strings.

    Args:
        command: of `Command` or not.
        data: up to 255 bytes, on serial lines 253.
    """

    command: int
    data: bytes = b""

    def __repr__(self) -> str:
        """Without the data, which may hold a key."""
        return f"Call({self.command}, {len(self.data)} bytes)"

    def encode(self) -> bytes:
        """The number, the length and the data.

        Raises:
            ValueError: one of them is too large.
        """
        return bytes((self.command, len(self.data))) + self.data

    @classmethod
    def decode(cls, data: bytes) -> "Call":
        """Read what `encode` made; what stands behind it is ignored, as some devices add bytes.

        Raises:
            MalformedFrame: it ends before its data does.
        """
        if len(data) < 2 or len(data) < 2 + data[1]:
            raise MalformedFrame(f"an Improv command that is cut short, of {len(data)} bytes")
        return cls(data[0], bytes(data[2 : 2 + data[1]]))


class WifiSettings(msgspec.Struct, frozen=True):
    """A network to join: the data of `Command.WIFI_SETTINGS`.

    Args:
        ssid: its name.
        key: what opens it; empty for an open one. It is not shown by `repr`.
    """

    ssid: str
    key: str = ""

    def __repr__(self) -> str:
        return f"WifiSettings({self.ssid!r})"

    def encode(self) -> bytes:
        """The two as strings with their lengths.

        Raises:
            ValueError: one of them is longer than 255 bytes, or no UTF-8.
        """
        return encode_strings((self.ssid, self.key))

    @classmethod
    def decode(cls, data: bytes) -> "WifiSettings":
        """Read what `encode` made.

        Raises:
            MalformedFrame: these are not two strings.
        """
        strings = decode_strings(data)
        if len(strings) != 2:
            raise MalformedFrame(f"{len(strings)} strings in Wi-Fi settings, which have 2")
        return cls(*strings)


class DeviceInfo(msgspec.Struct, frozen=True):
    """What a device says of itself: the result of `Command.DEVICE_INFO`.

    Args:
        firmware: the name of its firmware.
        version: of the firmware.
        hardware: its chip or board.
        name: of the device.
    """

    firmware: str
    version: str
    hardware: str
    name: str


def encode_strings(strings: Sequence[str]) -> bytes:
    """Strings, each behind its length in one byte.

    Raises:
        ValueError: one of them is longer than 255 bytes, or no UTF-8.
    """
    encoded = [string.encode() for string in strings]
    return b"".join(bytes((len(each),)) + each for each in encoded)


def decode_strings(data: bytes) -> list[str]:
    """Read what `encode_strings` made.

    Raises:
        MalformedFrame: the last one is cut short, or one is no UTF-8.
    """
    strings = []
    at = 0
    while at < len(data):
        end = at + 1 + data[at]
        if end > len(data):
            raise MalformedFrame("an Improv string that is cut short")
        try:
            strings.append(data[at + 1 : end].decode())
        except UnicodeDecodeError:
            raise MalformedFrame("an Improv string that is no UTF-8") from None
        at = end
    return strings


def clip(text: str, most: int) -> str:
    """As much of a text as fits, in whole characters.

    Args:
        text: any; lone surrogates are replaced.
        most: bytes in UTF-8.
    """
    return text.encode(errors="replace")[:most].decode(errors="ignore")


def without_key(call: Call) -> Call:
    """The same command to be shown: Wi-Fi settings have no key, whatever is wrong with them."""
    if call.command != Command.WIFI_SETTINGS or not call.data:
        return call
    try:
        ssid = WifiSettings.decode(call.data).ssid
    except MalformedFrame:
        return Call(call.command, MASKED.encode())
    return Call(call.command, WifiSettings(clip(ssid, 200), MASKED).encode())
