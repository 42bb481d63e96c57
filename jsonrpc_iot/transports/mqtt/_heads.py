"""What a look at the head of a message tells, where the message itself is for others to read."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from ...protocol.codec.codec import DECODE_ERRORS
from ...protocol.messages import CodecName
from ...protocol.segments.format import SEGMENT_MARK

_KEPT_BYTES = 4 << 20
_ENTRY_BYTES = 100

Key = tuple[type, object]
"""An id with its type, since `1` and `1.0` are not the same."""

_NAMELESS: Key = (type(None), None)


class _Head(Struct):
    id: Any | UnsetType = UNSET
    method: Any | UnsetType = UNSET


class HeadReader:
    """Reads the heads of messages.

    Args:
        codec: how they are written.
    """

    def __init__(self, codec: CodecName) -> None:
        form: Any = msgspec.json if codec == "json" else msgspec.msgpack
        self._encode: Callable[[object], bytes] = form.encode
        self._decode_one: Callable[[bytes], _Head] = form.Decoder(_Head).decode
        self._decode_many: Callable[[bytes], list[_Head]] = form.Decoder(list[_Head]).decode

    def _read(self, message: bytes) -> list[_Head] | None:
        """The heads in a message, `None` where it is no message."""
        try:
            return [self._decode_one(message)]
        except DECODE_ERRORS:
            pass
        try:
            return self._decode_many(message)
        except DECODE_ERRORS:
            return None

    def keys(self, message: bytes) -> list[Key]:
        """The ids that a message has, or that the answer to it will have."""
        heads = self._read(message)
        if not heads:
            return [_NAMELESS]
        found = [_key(head.id) for head in heads if not _is_notification(head)]
        return list(dict.fromkeys(found))

    def ping(self, id: int) -> bytes:
        """A request that any device has some answer to."""
        return self._encode({"id": id, "method": "rpc.ping"})

    def is_for_client(self, message: bytes) -> bool:
        """Whether a client has anything to do with a message: answers, pushes and segments."""
        if message.startswith(SEGMENT_MARK):
            return True
        heads = self._read(message)
        return bool(heads) and not any(
            head.method is not UNSET and head.id is not UNSET for head in heads or ()
        )


class Correlations:
    """What answers have to repeat, by whom they are for and the id of the request.

    The oldest are forgotten when they take up too much room; nothing else ever is but by `take`.

    Args:
        heads: reads the messages.
    """

    def __init__(self, heads: HeadReader) -> None:
        self._heads = heads
        self._open: OrderedDict[tuple[str, Key], list[bytes]] = OrderedDict()
        self._bytes = 0

    def put(self, peer: str, request: bytes, correlation: bytes) -> None:
        """Remember what came with a request."""
        for key in self._heads.keys(request):
            self._open.setdefault((peer, key), []).append(correlation)
            self._bytes += len(correlation) + _ENTRY_BYTES
        while self._bytes > _KEPT_BYTES:
            _, oldest = self._open.popitem(last=False)
            self._bytes -= sum(map(len, oldest)) + len(oldest) * _ENTRY_BYTES

    def take(self, peer: str, answer: bytes) -> bytes | None:
        """What an answer has to repeat, `None` for nothing."""
        if not self._open:
            return None
        found: bytes | None = None
        for key in self._heads.keys(answer):
            waiting = self._open.get((peer, key))
            if waiting is None:
                continue
            correlation = waiting.pop(0)
            self._bytes -= len(correlation) + _ENTRY_BYTES
            found = found or correlation
            if not waiting:
                del self._open[peer, key]
        return found


def _key(id: object) -> Key:
    """An id that is none is answered with `null`."""
    return (type(id), id) if type(id) in (int, float, str) else _NAMELESS


def _is_notification(head: _Head) -> bool:
    return head.id is UNSET and isinstance(head.method, str)
