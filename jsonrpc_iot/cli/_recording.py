"""Files of what a serial line brought: one JSON object a line for each read, with its time."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from jsonrpc_iot import UsageError

Piece = tuple[float, bytes, bool]
"""Seconds since the start, what was read then, and whether it is late (see `FrameDecoder`)."""

Record = Callable[[float, bytes, bool], None]
"""Adds a piece to a recording."""


class _Line(Struct, omit_defaults=True):
    time: Annotated[float, Meta(ge=0)]
    bytes: str
    late: bool = False


@contextmanager
def recorder(path: Path) -> Iterator[Record]:
    """What writes a new file while the block runs, each piece at once: a crash loses nothing.

    Args:
        path: of a file that is not there.

    Raises:
        UsageError: it is there, or cannot be made.
    """
    try:
        file = path.open("xb")
    except FileExistsError:
        raise UsageError(f"{path} is there already: remove it, or take another name") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None

    def record(time: float, data: bytes, is_late: bool) -> None:
        file.write(msgspec.json.encode(_Line(time, data.hex(), is_late)) + b"\n")
        file.flush()

    with file:
        yield record


def read_recording(path: Path) -> Iterator[Piece]:
    """The pieces of a file, in order.

    Raises:
        UsageError: it cannot be read, or a line of it is broken; the text says which.
    """
    last = 0.0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    piece = _read_line(line, last)
                except ValueError as error:
                    raise UsageError(f"{path}:{number}: {error}") from None
                last = piece[0]
                yield piece
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None


def _read_line(line: bytes, last: float) -> Piece:
    """One piece; raises `ValueError` with the reason where there is none."""
    try:
        read = msgspec.json.decode(line.decode(), type=_Line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f'not like {{"time": 0.5, "bytes": "55aa"}}: {error}') from None
    if not math.isfinite(read.time) or read.time < last:
        raise ValueError(f"the time {read.time:g} is not {last:g} or later")
    try:
        return read.time, bytes.fromhex(read.bytes), read.late
    except ValueError:
        raise ValueError("the bytes are no hex digits") from None
