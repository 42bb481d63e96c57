"""What has arrived and waits to be received, where the link cannot hold the other end back."""

import logging

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from ..channel.info import ChannelInfo
from ..protocol.about import about

logger = logging.getLogger("jsonrpc_iot.transports")

_BYTES = 1 << 20
_MESSAGE_BYTES = 64  # what a waiting message takes beside its text


class _Head(Struct):
    """As much of a message as says whether it is a notification."""

    method: Raw | UnsetType = UNSET
    id: Raw | UnsetType = UNSET


class Inbox:
    """Messages in their order: a megabyte, and a second one for what is no notification.

    So no burst of notifications is in the way of a response.

    Args:
        info: the facts about the channel.

    Attributes:
        dropped: messages that came when there was no room.
    """

    __slots__ = ("_bytes", "_decode", "_messages", "_name", "dropped")

    def __init__(self, info: ChannelInfo) -> None:
        self._name = info.peer
        self._decode = (msgspec.msgpack if info.codec == "msgpack" else msgspec.json).decode
        self._messages: list[bytes] = []
        self._bytes = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: bytes) -> bool:
        """Take a message in; says whether there was room."""
        size = len(message) + _MESSAGE_BYTES
        room = _BYTES - self._bytes - size
        if room < 0 and (room < -_BYTES or self._is_notification(message)):
            if not self.dropped:
                logger.warning(
                    "%s: messages come faster than they are read",
                    self._name,
                    extra=about(self._name),
                )
            self.dropped += 1
            return False
        self._messages.append(message)
        self._bytes += size
        return True

    def take(self) -> list[bytes]:
        """All messages, which leave."""
        messages, self._messages, self._bytes = self._messages, [], 0
        return messages

    def _is_notification(self, message: bytes) -> bool:
        try:
            head = self._decode(message, type=_Head)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return False  # a batch, or a part of something
        return head.method is not UNSET and head.id is UNSET
