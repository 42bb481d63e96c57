"""What tells a request from others, on links where the same may come twice."""

import os
from hashlib import blake2b

from msgspec import UNSET, Raw

from ..protocol.codec.codec import Codec
from ..protocol.duplicates import Identity
from ..protocol.messages import Invalid, Message
from .table import HandlerTable

_KEY = os.urandom(16)  # so that nobody can look for two requests with one digest
_SHORT = 96  # bytes, which cost less than their digest


def identity(
    data: bytes, message: Message | Invalid | list[Raw], codec: Codec, table: HandlerTable
) -> Identity | None:
    """What tells a request from others; `None` where it is harmless if it comes again.

    It is harmless for notifications, for responses, for what is no valid message, and for methods
    that are idempotent, unless their result is streamed.

    Args:
        data: the message.
        message: what the codec made of it.
        codec: reads the entries of a batch.
        table: has the methods.
    """
    if isinstance(message, list):
        entries = map(codec.decode, map(bytes, message))
        extended = any(isinstance(each, Message) and each.is_extended for each in entries)
        return Identity(_key(data), extended=extended)
    if isinstance(message, Invalid) or message.method is UNSET or message.id is UNSET:
        return None
    entry = table.methods.get(message.method)
    if entry is None:
        return None
    idempotent = entry.handler.options.idempotent
    if idempotent and not message.stream:
        return None
    dialect = "" if message.jsonrpc is UNSET else message.jsonrpc
    head = f"{message.id!r} {message.method!r} {dialect} "
    return Identity(
        _key(head.encode(errors="backslashreplace") + message.params),
        message.id,
        bool(message.retry),
        message.is_extended,
        idempotent,
    )


def _key(data: bytes) -> bytes:
    """What stands for data among what is remembered: itself if that is short, else a digest."""
    if len(data) <= _SHORT:
        return data
    return blake2b(data, key=_KEY, digest_size=16).digest()
