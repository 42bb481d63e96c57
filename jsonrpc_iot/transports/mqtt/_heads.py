"""What a look at the head of a message tells, where the message itself is for others to read."""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from ...channel.arrival import Answer
from ...protocol.codec.codec import DECODE_ERRORS
from ...protocol.messages import CodecName
from ...protocol.segments.format import SEGMENT_MARK

_KEPT_BYTES = 4 << 20
_ENTRY_BYTES = 100


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
    """What answers have to repeat, as long as there may be any, or until they take up much room."""

    def __init__(self) -> None:
        self._kept: dict[int, bytes] = {}  # by the `id` of the ticket, oldest first
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def put(self, correlation: bytes) -> object:
        """Remember what came with a request; returns a ticket for the answer."""
        ticket = _Ticket(self._forget)
        self._kept[id(ticket)] = correlation
        self._bytes += len(correlation) + _ENTRY_BYTES
        while self._bytes > _KEPT_BYTES:
            self._forget(next(iter(self._kept)))
        return ticket

    def take(self, answer: bytes) -> bytes | None:
        """What an answer has to repeat, `None` for nothing; it does that once."""
        return self._forget(id(answer.ticket)) if isinstance(answer, Answer) else None

    def _forget(self, ticket: int) -> bytes | None:
        correlation = self._kept.pop(ticket, None)
        if correlation is not None:
            self._bytes -= len(correlation) + _ENTRY_BYTES
        return correlation


class _Ticket:
    """Goes with a request and with its answer.

    Args:
        forget: is told the `id` of a ticket that nobody has any more.
    """

    __slots__ = ("_forget",)

    def __init__(self, forget: Callable[[int], object]) -> None:
        self._forget = forget

    def __del__(self) -> None:
        self._forget(id(self))
