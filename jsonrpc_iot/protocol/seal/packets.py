"""The packets of a sealed link: their bytes, and the forms that they have where only text travels.

    hello    01  version 01  client's number 4  key id 8  Noise message 1 with the instance 8
    welcome  02  client's number 4  Noise message 2 with the server's number 4
    data     03  receiver's number 4  packet number 4  ciphertext  tag 16
    unknown  04  the number 4, as it was received

Lengths are in bytes, integers big endian.

Source: the trust page, section 2.
"""

import base64
import hashlib
from collections.abc import Callable

from msgspec import Struct

from . import handshake

HELLO, WELCOME, DATA, UNKNOWN = 1, 2, 3, 4
VERSION = 1
NUMBER_BYTES = 4
"""Of a session number, which is random, and of a packet number, which counts."""

KEY_BYTES = 32
KEY_ID_BYTES = 8
INSTANCE_BYTES = 8
PROLOGUE_BYTES = 2 + NUMBER_BYTES + KEY_ID_BYTES
"""The first bytes of a hello, which both ends take into the handshake."""

HELLO_BYTES = PROLOGUE_BYTES + handshake.OVERHEAD + INSTANCE_BYTES
WELCOME_BYTES = 1 + NUMBER_BYTES + handshake.OVERHEAD + NUMBER_BYTES
HEADER_BYTES = 1 + 2 * NUMBER_BYTES
DATA_OVERHEAD = HEADER_BYTES + handshake.TAG_BYTES
"""What a data packet has beside its message, in bytes."""

UNKNOWN_BYTES = 1 + NUMBER_BYTES
PACKETS = 1 << 32
"""How many data packets a session can have each way."""

_TEXT_MARK = b"!"


def key_id(key: bytes) -> bytes:
    """What names a shared key in a hello: 8 bytes, which tell nothing else of it."""
    return hashlib.sha256(b"jsonrpc-iot key id" + key).digest()[:KEY_ID_BYTES]


def is_hello(packet: bytes) -> bool:
    """Whether that looks like a hello of the one version that there is."""
    return len(packet) == HELLO_BYTES and packet[0] == HELLO and packet[1] == VERSION


def is_welcome(packet: bytes) -> bool:
    """Whether that looks like a welcome."""
    return len(packet) == WELCOME_BYTES and packet[0] == WELCOME


def is_data(packet: bytes) -> bool:
    """Whether that looks like a data packet."""
    return len(packet) >= DATA_OVERHEAD and packet[0] == DATA


def is_unknown(packet: bytes) -> bool:
    """Whether that says that a session is not known."""
    return len(packet) == UNKNOWN_BYTES and packet[0] == UNKNOWN


def receiver_of(packet: bytes) -> bytes:
    """The session number in a welcome, a data packet or an unknown."""
    return packet[1 : 1 + NUMBER_BYTES]


def number_of(packet: bytes) -> int:
    """The packet number of a data packet."""
    return int.from_bytes(packet[1 + NUMBER_BYTES : HEADER_BYTES], "big")


def begin_hello(number: bytes, key: bytes) -> bytes:
    """The first bytes of a hello, which are the prologue of the handshake."""
    return bytes([HELLO, VERSION]) + number + key


def new_welcome(number: bytes, message: bytes) -> bytes:
    """A welcome, of the client's number and Noise message 2."""
    return bytes([WELCOME]) + number + message


def new_unknown(number: bytes) -> bytes:
    """The answer to a data packet of a session that is not known."""
    return bytes([UNKNOWN]) + number


class Form(Struct, frozen=True):
    """How packets travel.

    Args:
        is_packet: says whether a message is meant to be a packet.
        wrap: makes a message of a packet.
        unwrap: makes a packet of a message; `None` if it is none.
        room: how many bytes a packet may have where a message may have so many.
    """

    is_packet: Callable[[bytes], bool]
    wrap: Callable[[bytes], bytes]
    unwrap: Callable[[bytes], bytes | None]
    room: Callable[[int], int]

    def largest(self, max_message: int) -> int:
        """Bytes of the largest message that may be sealed where those of a packet are bounded."""
        return self.room(max_message) - DATA_OVERHEAD

    @property
    def least(self) -> int:
        """Bytes of the smallest message that all packets without data fit into."""
        return len(self.wrap(bytes(HELLO_BYTES)))


def _unwrap_base85(message: bytes) -> bytes | None:
    try:
        return base64.b85decode(message.rstrip(b" ")[1:])
    except ValueError:
        return None


def _unwrap_base64(message: bytes) -> bytes | None:
    try:
        return base64.b64decode(message.rstrip(b" ")[1:], validate=True)
    except ValueError:
        return None


def _room_base85(size: int) -> int:
    groups, rest = divmod(size - len(_TEXT_MARK), 5)
    return 4 * groups + max(0, rest - 1)


def _is_text(message: bytes) -> bool:
    return message.startswith(_TEXT_MARK)


BINARY = Form(
    is_packet=lambda message: message[:1] in (b"\1", b"\2", b"\3", b"\4"),
    wrap=lambda packet: packet,
    unwrap=lambda message: message,
    room=lambda size: size,
)
"""As they are."""

BASE85 = Form(
    is_packet=_is_text,
    wrap=lambda packet: _TEXT_MARK + base64.b85encode(packet),
    unwrap=_unwrap_base85,
    room=_room_base85,
)
"""In the alphabet of RFC 1924, where a message is a text."""

BASE64 = Form(
    is_packet=_is_text,
    wrap=lambda packet: _TEXT_MARK + base64.b64encode(packet),
    unwrap=_unwrap_base64,
    room=lambda size: (size - len(_TEXT_MARK)) // 4 * 3,
)
"""In Base64, where a message is a line."""
