"""How many bytes of a file fit one message of a link."""

import msgspec

from jsonrpc_iot import ChannelInfo

MOST = 64 << 10
"""Bytes of a file in one message, however large messages may be."""

WINDOW = 8
"""Messages that may be open at once, where a link has room for more than one."""

_SMALL = 1024
_ID = (1 << 30) - 1
_OFFSET = 99_999_999
_HASH = "0" * 64


def write_room(info: ChannelInfo | None, method: str = "files.write") -> int:
    """Bytes that one write may hold, at least 1.

    Args:
        info: of the link; `None` where there is none.
        method: by which they are written.
    """
    params = {"transfer": "0" * 8, "offset": _OFFSET, "data": b""}
    return _room(info, {"method": method, "id": _ID, "params": params, "timeout": 9.99})


def read_room(info: ChannelInfo | None, *, bare: bool) -> int:
    """Bytes of a file that the answer to one read may hold, at least 1.

    Args:
        info: of the link; `None` where there is none.
        bare: size and hash of the file are left out.
    """
    piece = {"data": b""} if bare else {"data": b"", "size": _OFFSET, "sha256": _HASH}
    return _room(info, {"jsonrpc": "2.0", "id": _ID, "result": piece})


def is_small(info: ChannelInfo | None) -> bool:
    """Whether messages are so small that each byte in them counts."""
    return info is not None and info.max_message is not None and info.max_message < _SMALL


def window(info: ChannelInfo | None) -> int:
    """Messages that may be open at once."""
    open_at_once = None if info is None else info.in_flight
    return WINDOW if open_at_once is None else min(WINDOW, open_at_once)


def _room(info: ChannelInfo | None, message: object) -> int:
    if info is None or info.max_message is None:
        return MOST
    if info.codec == "msgpack":
        room = info.max_message - len(msgspec.msgpack.encode(message)) - 4  # a longer head of data
    else:
        room = (info.max_message - len(msgspec.json.encode(message))) // 4 * 3
    return max(1, min(room, MOST))
