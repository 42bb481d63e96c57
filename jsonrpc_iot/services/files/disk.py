"""What is done to a disk, in steps of which each is done or not when the power goes.

Everything else relies on these alone: bytes are there for good after `sync`, and names after
`sync_folder`. Tests put a disk in place that forgets what is not.
"""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .interface import NoRoom, NotAllowed

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}


class Disk:
    """The system's disk."""

    def write(self, path: Path, offset: int, data: bytes) -> None:
        """Write bytes into a file, which is made if it is not there.

        Raises:
            OSError: not all of them could be written.
        """
        flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0)
        with open(os.open(path, flags, 0o666), "wb", buffering=0) as file:
            file.seek(offset)
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]

    def cut(self, path: Path, size: int) -> None:
        """Make a file that long."""
        os.truncate(path, size)

    def sync(self, path: Path) -> None:
        """Have what was written into a file stay."""
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def replace(self, path: Path, target: Path) -> None:
        """Give a file another name, in place of what has it."""
        path.replace(target)

    def remove(self, path: Path) -> None:
        """Remove a file; none is fine as well."""
        path.unlink(missing_ok=True)

    def make_folder(self, path: Path) -> None:
        """Make a folder where there is none."""
        path.mkdir(exist_ok=True)

    def sync_folder(self, path: Path) -> None:
        """Have the names in a folder stay; Windows sees to that by itself."""
        if sys.platform == "win32":
            return
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def save(self, path: Path, data: bytes) -> None:
        """Have a file hold those bytes for good: at any moment it holds them, or what it did.

        Raises:
            OSError: it holds what it did.
        """
        new = path.with_name(f"{path.name}.new")
        self.remove(new)
        self.write(new, 0, data)
        self.sync(new)
        self.replace(new, path)
        self.sync_folder(path.parent)


@contextmanager
def refusing() -> Iterator[None]:
    """Have what a disk refuses be errors of the service.

    Raises:
        NoRoom: it is full.
        NotAllowed: it cannot be written there.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise NoRoom from error
        if error.errno in _READ_ONLY:
            raise NotAllowed("Nothing can be written here") from error
        raise
