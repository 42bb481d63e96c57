"""How many bytes of a file fit one message of a link."""

from functools import lru_cache

import msgspec

from jsonrpc_iot import ChannelInfo

MOST = 128 << 10
"""Bytes of a file in one message, however large messages may be."""

WINDOW = 8
"""Messages that may be open at once where the other end does not say that it takes more."""

_WINDOW_OF_SMALL = 32  # messages, which are little together, over ways that are long
_SMALL_FOR_WINDOW = 4096

_SMALL = 1024
_ID = (1 << 30) - 1
_SIZE = 99_999_999
_HASH = "0" * 64
_LONGER_HEAD = 4  # of long data in MessagePack


def write_room(info: ChannelInfo | None, size: int, method: str = "files.write") -> int:
    """Bytes that one write may hold, at least 1.

    Args:
        info: of the link; `None` where there is none.
        size: bytes of the file.
        method: by which they are written.
    """
    return _room(info, method, size, bare=False)


def read_room(info: ChannelInfo | None, *, bare: bool) -> int:
    """Bytes of a file that the answer to one read may hold, at least 1.

    Args:
        info: of the link; `None` where there is none.
        bare: size and hash of the file are left out.
    """
    return _room(info, "", _SIZE, bare=bare)


def is_small(info: ChannelInfo | None) -> bool:
    """Whether messages are so small that each byte in them counts."""
    return info is not None and info.max_message is not None and info.max_message < _SMALL


def window(info: ChannelInfo | None) -> int:
    """Messages that may be open at once."""
    limit = None if info is None else info.max_message
    most = WINDOW if limit is None or limit > _SMALL_FOR_WINDOW else _WINDOW_OF_SMALL
    return most if info is None or info.in_flight is None else min(most, info.in_flight)


def _room(info: ChannelInfo | None, method: str, size: int, *, bare: bool) -> int:
    if info is None or info.max_message is None:
        return MOST
    left = info.max_message - _envelope(method, info.codec, size, bare=bare)
    return max(1, min(left if info.codec == "msgpack" else left // 4 * 3, MOST))


@lru_cache
def _envelope(method: str, codec: str, size: int, *, bare: bool) -> int:
    """Bytes of a message around the data: of a request, or without a method of an answer."""
    message: dict[str, object]
    if method:
        params = {"transfer": "0" * 8, "offset": size, "data": b""}
        message = {"method": method, "id": _ID, "params": params, "timeout": 9.99}
    else:
        piece = {"data": b""} if bare else {"data": b"", "size": size, "sha256": _HASH}
        message = {"jsonrpc": "2.0", "id": _ID, "result": piece}
    if codec == "msgpack":
        return len(msgspec.msgpack.encode(message)) + _LONGER_HEAD
    return len(msgspec.json.encode(message))
