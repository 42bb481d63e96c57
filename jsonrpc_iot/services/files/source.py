"""A file of this machine that is read block by block, in a thread."""

import hashlib
import os
from functools import partial
from pathlib import Path

import anyio.to_thread

from jsonrpc_iot import MalformedResponse

_BLOCK = 1 << 20


class Source:
    """A file that is read block by block, in a thread.

    Args:
        path: of the file.

    Attributes:
        size: bytes.
        sha256: of them, in hex.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.size = 0
        self.sha256 = ""
        self._start = 0
        self._block = b""

    async def measure(self) -> None:
        """Find out size and hash.

        Raises:
            OSError: the file cannot be read.
        """
        self.size, self.sha256 = await anyio.to_thread.run_sync(size_and_hash, self.path)

    def check(self, offset: int) -> None:
        """Refuse an offset that a device says, if there can be none such.

        Raises:
            MalformedResponse: it is beyond the end.
        """
        if offset > self.size:
            raise MalformedResponse(f"the device has {offset} bytes of {self.size}")

    def at_hand(self, offset: int, length: int) -> bytes | None:
        """Some of its bytes; `None` where they have to be read."""
        begin = offset - self._start
        if not 0 <= begin <= len(self._block) - min(length, self.size - offset):
            return None
        return self._block[begin : begin + length]

    async def read(self, offset: int, length: int) -> bytes:
        """Some of its bytes, by one reader at a time."""
        load = partial(_read, self.path, offset, max(length, _BLOCK))
        self._block = await anyio.to_thread.run_sync(load)
        self._start = offset
        return self._block[:length]


def size_and_hash(path: Path) -> tuple[int, str]:
    """How many bytes a file has, and their SHA-256 in hex."""
    hash, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            hash.update(block)
            size += len(block)
    return size, hash.hexdigest()


def _read(path: Path, offset: int, length: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(length)
