"""What is known of files without looking at the disk again: hashes, and what is read next."""

import hashlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

BLOCK = 1 << 20
"""Bytes that are read at once."""

_READ = 1 << 20
_REMEMBERED = 256
_BLOCKS = 16
_FRESH_SECONDS = 1.0


class Block(Struct, frozen=True):
    """A part of a file.

    Args:
        start: where it begins.
        data: its bytes; it ends with the file where these are fewer than `BLOCK`.
        size: bytes of the whole file.
        sha256: of the whole file.
    """

    start: int
    data: bytes
    size: int
    sha256: str

    def piece(self, offset: int, length: int) -> bytes:
        """Some of its bytes."""
        begin = offset - self.start
        return self.data[begin : begin + length]

    def has(self, offset: int, length: int) -> bool:
        """Whether all those bytes are in it, as far as the file has them."""
        end = min(offset + length, self.size)
        return self.start <= offset and end <= self.start + len(self.data)


class Blocks:
    """Parts of files that are being read, each for a second: who reads one piece reads the next.

    Args:
        clock: monotonic time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, Block]] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, name: str, offset: int, length: int) -> Block | None:
        """A part with all those bytes, `None` if there is none that is fresh."""
        kept = self._kept.get(name)
        if kept is None or kept[0] < self._clock() or not kept[1].has(offset, length):
            return None
        return kept[1]

    def keep(self, name: str, block: Block) -> None:
        """Keep a part for a second."""
        with self._lock:
            self._kept[name] = self._clock() + _FRESH_SECONDS, block
            self._kept.move_to_end(name)
            if len(self._kept) > _BLOCKS:
                self._kept.popitem(last=False)

    def forget(self, name: str) -> None:
        """Forget a file that is another one now."""
        with self._lock:
            self._kept.pop(name, None)


class Hashes:
    """The hashes of files, each computed once as long as the file stays as it is."""

    def __init__(self) -> None:
        self._known: OrderedDict[Path, tuple[tuple[int, ...], str]] = OrderedDict()
        self._lock = threading.Lock()

    def known(self, path: Path, now: os.stat_result) -> str | None:
        """The hash of a file that has not changed since it was computed, else `None`."""
        with self._lock:
            found = self._known.get(path)
        return found[1] if found is not None and found[0] == _version(now) else None

    def of(self, path: Path) -> str:
        """The hash of a file, in hex."""
        with path.open("rb") as file:
            before = os.fstat(file.fileno())
            if (known := self.known(path, before)) is not None:
                return known
            hash = hashlib.sha256()
            while block := file.read(_READ):
                hash.update(block)
            if _version(os.fstat(file.fileno())) == _version(before):
                self._learn(path, _version(before), hash.hexdigest())
            return hash.hexdigest()

    def learn(self, path: Path, hash: str) -> None:
        """Take note of a hash that is known."""
        self._learn(path, _version(path.stat()), hash)

    def _learn(self, path: Path, version: tuple[int, ...], hash: str) -> None:
        with self._lock:
            self._known[path] = version, hash
            self._known.move_to_end(path)
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)


def _version(known: os.stat_result) -> tuple[int, ...]:
    return known.st_ino, known.st_size, known.st_mtime_ns
