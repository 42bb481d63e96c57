"""What the commands about files and firmware share: options, the connection, the progress bar."""

import contextlib
import errno
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, TypeAlias

from jsonrpc_iot import Client, Dispatcher, MethodNotFound, Principal, UsageError, connect
from jsonrpc_iot.protocol.messages import Dialect
from jsonrpc_iot.protocol.text import escape

from ._options import duration, hinting_at_options
from ._output import Tracer, writing
from ._run import HINT
from .command.declare import Option

STANDARD = "-"
"""Stands for standard input and output in the place of a file."""

FilesOption: TypeAlias = Annotated[
    Path | None,
    Option(
        "--files",
        metavar="DIR",
        help="Offer the files of this folder to put, get and ls; with --keys to who has the "
        "permission files.",
    ),
]
ReplaceOption: TypeAlias = Annotated[
    bool, Option("--replace", help="Replace another file of that name.")
]
PatienceOption: TypeAlias = Annotated[
    float,
    duration("How long to go on with nothing getting through, after a cut or while it restarts."),
]
AnswerTimeoutOption: TypeAlias = Annotated[
    float, duration("How long to wait for the connection, and then for each answer.")
]


def include_files(dispatcher: Dispatcher, folder: Path) -> None:
    """Have a device offer the files of a folder.

    Raises:
        UsageError: there is no such folder, or the device has such a service of its own.
    """
    from jsonrpc_iot.services.files import FolderFiles

    include_open(dispatcher, "--files", FolderFiles(folder), "files")


def include_open(dispatcher: Dispatcher, option: str, service: object, permission: str) -> None:
    """Include a service that everybody may use where nobody has to prove who they are.

    Args:
        dispatcher: of the device.
        option: that asks for the service.
        service: that is included.
        permission: that it requires.

    Raises:
        UsageError: the device has such a service of its own.
    """
    try:
        dispatcher.include(service)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None
    before = dispatcher.everybody
    if before is None:
        dispatcher.everybody = Principal("everybody", frozenset({permission}))
    elif not before.permits(permission):
        names = frozenset({permission, *before.permissions})  # type: ignore[misc]
        dispatcher.everybody = Principal("everybody", names)


def connect_lastingly(
    url: str, timeout: float, dialect: Dialect, *, trace: bool
) -> AbstractAsyncContextManager[Client]:
    """Connect to a device that has to be there at first, and again whenever the connection ends.

    Args:
        url: where the device is.
        timeout: seconds for the connection, and for each answer.
        dialect: how to speak at first.
        trace: whether to show all messages.
    """
    return connect(
        [url],  # as one of several ways, which are looked for again
        timeout=timeout,
        connect_timeout=timeout,
        dialect=dialect,
        trace=Tracer(url) if trace else None,
    )


@contextlib.contextmanager
def source_of(file: Path) -> Iterator[Path]:
    """Give a file that can be read: that one, or for `-` one with all of standard input.

    Raises:
        UsageError: it cannot be read.
    """
    if str(file) != STANDARD:
        check_readable(file)
        yield file
        return
    if sys.stdin is None:
        raise UsageError("standard input is closed")
    with TemporaryDirectory() as folder:
        copy = Path(folder, "file")
        with copy.open("wb") as target:
            shutil.copyfileobj(sys.stdin.buffer, target)
        yield copy


@contextlib.contextmanager
def place_for(file: Path | None) -> Iterator[Path | None]:
    """Give a place for a file: that one, or for `-` one that goes to standard output in the end.

    Args:
        file: the place; `None` is the present folder.

    Raises:
        UsageError: no file can come to be there.
        OSError: nobody takes standard output.
    """
    if str(file) != STANDARD:
        if file is not None:
            _check_writable(file)
        yield file
        return
    with TemporaryDirectory() as folder:
        place = Path(folder, "file")
        yield place
        with writing(), place.open("rb") as source:
            shutil.copyfileobj(source, sys.stdout.buffer)
            sys.stdout.buffer.flush()


def check_readable(file: Path) -> None:
    """Refuse a file that cannot be sent, before anybody is connected to.

    Raises:
        UsageError: it is not there, or cannot be read.
    """
    try:
        with file.open("rb"):
            pass
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None


def _check_writable(file: Path) -> None:
    """Refuse a place where no file can come to be, before anybody is connected to.

    Args:
        file: the place; where that is a folder, the file comes to be in it.

    Raises:
        UsageError: there is no such folder, or no file can be made there.
    """
    folder = file if file.is_dir() else file.parent
    if not folder.is_dir():
        raise UsageError(f"{file}: there is no folder {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"{file}: {os.strerror(errno.EACCES)}")


@contextlib.contextmanager
def hinting_at_service(url: str, name: str) -> Iterator[None]:
    """Say what helps if the block is refused something by a service.

    Args:
        url: where the device is.
        name: of the service, `files` or `firmware`.
    """
    from jsonrpc_iot.services.files import InUse

    try:
        with hinting_at_options(url):
            yield
    except MethodNotFound as error:
        error.add_note(
            f"{HINT}this device has no service {name!r}: a device of ours offers it with "
            f"--{name} DIR; `jsonrpc-iot describe` shows what there is"
        )
        raise
    except InUse as error:
        if isinstance(error.data, dict) and isinstance(error.data.get("retry_after"), int | float):
            error.add_note(
                f"{HINT}another one is being written; if nobody goes on with it, try again in "
                f"{error.data['retry_after']:g} s"
            )
        raise


@contextlib.contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None] | None]:
    """Give what shows how far a file is, on standard error where that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(escape(title), total=None)

        def show(there: int, size: int) -> None:
            bar.update(task, completed=there, total=size)

        yield show
