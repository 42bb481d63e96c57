"""What disks do to an SQLite file: they are full, they damage it, or have room, taken in time.

A log in WAL mode takes commits whose pages the file itself has no room for. On a full disk these
could never be moved into the file, and the log would fill up until nothing could be written any
more, nor deleted. With a file that is long enough before the commit, the log can always be emptied.
"""

import errno
import os
import sqlite3
from pathlib import Path

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}


class Full(sqlite3.OperationalError):
    """There is no room; the transaction is to be taken back."""


class Damaged(sqlite3.DatabaseError):
    """The file opens, but what is in it cannot be."""


class Room:
    """A second handle of a file that SQLite has open, to lengthen it.

    It is to be closed after the database: on POSIX systems closing any handle of a file gives up
    the locks that the process has on it.

    Args:
        path: of the file; it has to be there.

    Raises:
        sqlite3.OperationalError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = path.open("r+b", buffering=0)
        except OSError as error:
            raise sqlite3.OperationalError(str(error)) from error

    def take(self, size: int) -> None:
        """Make the file at least so many bytes long; SQLite overwrites the zeros, or cuts them off.

        Raises:
            Full: the disk has no room for it.
            sqlite3.OperationalError: the disk refuses for another reason.
        """
        try:
            missing = size - self._file.seek(0, os.SEEK_END)
            while missing > 0:
                missing -= self._file.write(bytes(missing))
        except OSError as error:
            kind = Full if error.errno in _NO_ROOM else sqlite3.OperationalError
            raise kind(str(error)) from error

    def close(self) -> None:
        """Close the handle."""
        self._file.close()


def is_full(error: Exception) -> bool:
    """Whether the disk has no room, or the file has all the pages that it may have."""
    return isinstance(error, Full) or _code(error) == sqlite3.SQLITE_FULL


def is_damage(error: Exception) -> bool:
    """Whether the file is no sound database."""
    return isinstance(error, Damaged) or _code(error) in {
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
    }


def reason(error: Exception) -> str:
    """What an error says, in words for people."""
    if is_full(error):
        return "no space is left for it"
    if _code(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return "another process has it open"
    return str(error)


def _code(error: Exception) -> int | None:
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
