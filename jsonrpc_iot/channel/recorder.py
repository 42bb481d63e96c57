"""Recordings: files of the messages of a program's links, one JSON object a line, without secrets.

A line is `{"time": 0.5, "url": "tcp://192.0.2.7:8805", "direction": "->", "message": {…}}`. The
time is in seconds since the file was begun, the URL is where the other end is, and the direction is
as in traces: `->` for what left, `<-` for what came. Bytes of MessagePack are `{"$base64": text}`,
and what cannot be read as a message is a text that says how long it was.
"""

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from ..errors import UsageError
from ..protocol.messages import CodecName
from .masking import message_without_secrets

logger = logging.getLogger("jsonrpc_iot.transports")

_DIRECTIONS = {"<-": "<-", "->": "->", "<*": "<-", "*>": "->"}
"""Of messages, also of sealed ones; frames are not recorded."""

_DECIMALS = 6


class Recorder:
    """Writes messages to a file, each at once, from any thread.

    Args:
        file: a descriptor, which somebody else closes.
        path: of the file, to be named.
    """

    def __init__(self, file: int, path: str) -> None:
        self._file = file
        self._path = path
        self._begin = time.monotonic()
        self._lock = threading.Lock()
        self._is_broken = False

    def note(self, url: str, codec: CodecName, direction: str, message: bytes) -> None:
        """Write a message; when the file cannot be written that is logged, and it ends there.

        Args:
            url: where the other end is, without secrets.
            codec: of the message.
            direction: as in `Trace`.
            message: as it travels.
        """
        if self._is_broken or direction not in _DIRECTIONS:
            return
        shown = _shown(message, codec)
        with self._lock:
            seconds = round(time.monotonic() - self._begin, _DECIMALS)
            line = {
                "time": seconds,
                "url": url,
                "direction": _DIRECTIONS[direction],
                "message": shown,
            }
            left = memoryview(msgspec.json.encode(line) + b"\n")
            try:
                while left:
                    left = left[os.write(self._file, left) :]
            except OSError as error:
                self._is_broken = True
                logger.error("%s: the recording ends here: %s", self._path, error.strerror)


@contextmanager
def recording(path: str | os.PathLike[str] | None) -> Iterator[Recorder | None]:
    """What writes a new file while the block runs, which only its owner may read.

    Args:
        path: of a file that is not there, so that none is written over or mixed with another;
            `None` for no recording.

    Raises:
        UsageError: it is there, or cannot be made.
    """
    if path is None:
        yield None
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
    try:
        file = os.open(path, flags, 0o600)
    except FileExistsError:
        raise UsageError(f"{path} is there already: remove it, or take another name") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{path} cannot be written: {reason}") from None
    try:
        yield Recorder(file, os.fspath(path))
    finally:
        os.close(file)


def _shown(message: bytes, codec: CodecName) -> Any:
    try:
        decoded = (msgspec.json if codec == "json" else msgspec.msgpack).decode(message)
        shown = message_without_secrets(decoded)
        msgspec.json.encode(shown)
    except (msgspec.DecodeError, UnicodeError, TypeError, ValueError, RecursionError):
        return f"{len(message)} bytes that are no message"
    return shown
