"""One platform for one file: two would each sort and delete what the other has just written."""

import os
from pathlib import Path
from typing import BinaryIO

from ...errors import StoreFailed, StoreInUse

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def hold(path: Path) -> BinaryIO:
    """Keep others from opening a file, made when it is not there, until what is returned is closed.

    The lock is the file's own, so it counts through links as well. SQLite's locks are of another
    kind. It is to be closed after all connections of SQLite, which would lose their locks.

    Raises:
        StoreInUse: another platform has it.
        StoreFailed: it cannot be opened for writing, or is no regular file.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe would have us wait
            raise StoreFailed(f"{path}: it is no regular file")
        file = open(path, "ab")  # noqa: SIM115  # the caller closes it
    except OSError as error:
        raise StoreFailed(f"{path}: {error.strerror or error}") from None
    if fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise StoreInUse(f"{os.path.realpath(path)}: another platform has it open") from None
    return file
