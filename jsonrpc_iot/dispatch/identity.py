"""What tells a request from others, where links lose, double and delay messages."""

import os
from collections.abc import Callable

from msgspec import UNSET

from ..protocol.duplicates import Identity
from ..protocol.messages import ExactId, Invalid, Message, exact
from .handler import Handler
from .responder import Read

_KEY = os.urandom(16)  # so that nobody can look for two requests with one digest
_SHORT = 96  # bytes, which cost less than their digest


def identify(
    data: bytes, message: Read, handler: Callable[[str], Handler | None]
) -> Identity | None:
    """What tells a request from others, where it may come again; `None` if that is harmless.

    It is harmless for notifications, for responses, for what is no valid message, and for
    methods that are idempotent, unless their result is streamed.

    Args:
        data: the message.
        message: what `Responder.read` made of it.
        handler: finds what answers a method.
    """
    if isinstance(message, list):
        extended = any(isinstance(each, Message) and each.is_extended for _, each in message)
        return Identity(_key(data), extended=extended)
    if isinstance(message, Invalid) or message.method is UNSET or message.id is UNSET:
        return None
    answers = handler(message.method)
    if answers is None:
        return None
    idempotent = answers.options.idempotent
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


def ids_of_requests(message: Read) -> set[ExactId]:
    """The ids of a request, or of a batch that holds nothing else."""
    ids: set[ExactId] = set()
    for each in [each for _, each in message] if isinstance(message, list) else [message]:
        if not isinstance(each, Message) or each.method is UNSET or each.id is UNSET:
            return set()
        ids.add(exact(each.id))
    return ids


def _key(data: bytes) -> bytes:
    """What stands for data among what is remembered: itself if that is short, else a digest."""
    if len(data) <= _SHORT:
        return data
    from hashlib import blake2b  # which loads OpenSSL: few programs get as far as this

    return blake2b(data, key=_KEY, digest_size=16).digest()
