"""What is known of files without looking at the disk again: hashes, and what is read next."""

import hashlib
import os
import threading
from collections import OrderedDict
from pathlib import Path

from msgspec import Struct

BLOCK = 1 << 20
"""Bytes that are read at once."""

_READ = 1 << 20
_REMEMBERED = 256
_BLOCKS = 8


class Block(Struct, frozen=True):
    """A part of a file.

    Args:
        path: of the file.
        version: of the file, as `version_of` tells one from another.
        start: where the part begins.
        data: its bytes; it ends with the file where these are fewer than `BLOCK`.
        size: bytes of the whole file.
        sha256: of the whole file.
    """

    path: Path
    version: tuple[int, ...]
    start: int
    data: bytes
    size: int
    sha256: str

    def piece(self, offset: int, length: int) -> bytes:
        """Some of its bytes."""
        begin = offset - self.start
        return self.data[begin : begin + length]

    def has(self, offset: int, length: int) -> bool:
        """Whether all those bytes are in it, as far as the file has them, and still are."""
        end = min(offset + length, self.size)
        if not self.start <= offset or end > self.start + len(self.data):
            return False
        try:
            return version_of(self.path.stat()) == self.version
        except OSError:
            return False


class Blocks:
    """Parts of the files that were read last: who reads one piece reads the next."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Block] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, name: str, offset: int, length: int) -> Block | None:
        """A part with all those bytes, `None` if there is none that is as the file is."""
        block = self._kept.get(name)
        return block if block is not None and block.has(offset, length) else None

    def keep(self, name: str, block: Block) -> None:
        """Keep a part in place of another one of that file."""
        with self._lock:
            self._kept[name] = block
            self._kept.move_to_end(name)
            if len(self._kept) > _BLOCKS:
                self._kept.popitem(last=False)


class Hashes:
    """The hashes of files, each computed once as long as the file stays as it is."""

    def __init__(self) -> None:
        self._known: OrderedDict[Path, tuple[tuple[int, ...], str]] = OrderedDict()
        self._lock = threading.Lock()

    def known(self, path: Path, now: os.stat_result) -> str | None:
        """The hash of a file that has not changed since it was computed, else `None`."""
        with self._lock:
            found = self._known.get(path)
        return found[1] if found is not None and found[0] == version_of(now) else None

    def of(self, path: Path) -> str:
        """The hash of a file, in hex."""
        with path.open("rb") as file:
            before = os.fstat(file.fileno())
            if (known := self.known(path, before)) is not None:
                return known
            hash = hashlib.sha256()
            while block := file.read(_READ):
                hash.update(block)
            if version_of(os.fstat(file.fileno())) == version_of(before):
                self._learn(path, version_of(before), hash.hexdigest())
            return hash.hexdigest()

    def learn(self, path: Path, hash: str) -> None:
        """Take note of a hash that is known."""
        self._learn(path, version_of(path.stat()), hash)

    def _learn(self, path: Path, version: tuple[int, ...], hash: str) -> None:
        with self._lock:
            self._known[path] = version, hash
            self._known.move_to_end(path)
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)


def version_of(known: os.stat_result) -> tuple[int, ...]:
    """What is another once the file is."""
    return known.st_ino, known.st_size, known.st_mtime_ns
