"""A copy of a database that is in use."""

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from ...errors import StoreFailed
from .schema import version_of


def copy_into(db: sqlite3.Connection, path: Path) -> None:
    """Write what a database has at this moment to a new file, which is there once it is whole.

    Args:
        db: is read in one transaction, so that writers go on.
        path: of the copy.

    Raises:
        StoreFailed: the file is there already, or cannot be written.
        sqlite3.Error: the database cannot be read, or there is no room for the copy.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if path.exists():
            raise FileExistsError(None, "there is a file of that name")
        if not path.parent.is_dir():
            raise NotADirectoryError(None, "its directory is not there")
        part.unlink(missing_ok=True)
        try:
            part.touch(exist_ok=False)  # SQLite would not tell why it cannot, nor where
            db.execute("VACUUM INTO ?", (str(part),))
            with part.open("rb") as file:
                os.fsync(file.fileno())
            os.link(part, path)  # unlike a renaming it replaces nobody's file
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)
    except OSError as error:
        raise StoreFailed(f"{path}: {error.strerror or error}") from None


def copy_file(db: Path, path: Path) -> None:
    """Write a copy of a database that another process may be using.

    Raises:
        StoreFailed: there is no such database, the file is there already, or cannot be written.
    """
    try:
        with closing(open_existing(db)) as source:
            copy_into(source, path)
    except sqlite3.Error as error:
        raise StoreFailed(f"{db}: {error}") from None


def open_existing(path: Path) -> sqlite3.Connection:
    """Open a database that another process may be using, to read it, in autocommit mode.

    Raises:
        StoreFailed: there is no such file, it cannot be read, or it is no platform's database.
    """
    try:
        with path.open("rb"):  # SQLite does not tell why it cannot
            pass
    except OSError as error:
        raise StoreFailed(f"{path}: {error.strerror or error}") from None
    # Not `ro`, which cannot read what the log of a platform that was killed has.
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
    try:
        db.execute("PRAGMA busy_timeout = 5000")
        if version_of(db) == 0:
            raise StoreFailed("the file is no platform's database")
    except (StoreFailed, sqlite3.Error) as error:
        db.close()
        problem = error.message if isinstance(error, StoreFailed) else str(error)
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_READONLY:
            problem = "the log of the database lies beside it, and nothing may be written there"
        raise StoreFailed(f"{path}: {problem}") from None
    return db
