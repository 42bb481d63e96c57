"""One file on its way in."""

import hashlib
import threading
from typing import Any

from msgspec import Struct


class Wanted(Struct, frozen=True, kw_only=True):
    """What is to come.

    Args:
        name: of the file, or what else nobody else may write at the same time.
        size: bytes.
        sha256: of the bytes, in hex.
        about: whatever else belongs to it, as it was said last.
    """

    name: str
    size: int
    sha256: str
    about: dict[str, Any] = {}

    def is_same(self, other: "Wanted") -> bool:
        """Whether the same bytes are to come under the same name."""
        mine, others = (self.name, self.size, self.sha256), (other.name, other.size, other.sha256)
        return mine == others


class Kept(Struct, frozen=True):
    """What `ID.json` says.

    Args:
        wanted: what is to come.
        offset: bytes of it that are there for good.
    """

    wanted: Wanted
    offset: int = 0


class Transfer:
    """A file on its way in.

    Args:
        id: by which the other end names it.
        wanted: what is to come.
        offset: bytes of it that are there.
        written: when the last of them came, as the clock of `Transfers` counts.

    Attributes:
        lock: is held by who writes.
        kept: bytes that are in the file; the others are `waiting` in memory.
        hash: of those in the file, `None` where they have to be read first.
        synced: when they were last seen to be there for good.
    """

    def __init__(self, id: str, wanted: Wanted, offset: int, written: float) -> None:
        self.id = id
        self.wanted = wanted
        self.offset = self.kept = offset
        self.waiting: list[bytes] = []
        self.written = self.synced = written
        self.lock = threading.Lock()
        self.hash = hashlib.sha256() if offset == 0 else None
        self.is_over = False
