"""`pair`: gets a key from a device by the code that is printed on it."""

import os
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import anyio

from jsonrpc_iot import MethodNotFound, UsageError
from jsonrpc_iot import pair as pair_by
from jsonrpc_iot.trust.keys import key_text

from ._options import DialectOption, TimeoutOption, TraceOption, UrlArgument, connect_to
from ._output import print_text
from ._run import HINT
from .command.declare import Argument, Option

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jsonrpc_iot.protocol.messages import Dialect


def pair(
    url: UrlArgument,
    code: Annotated[
        str, Argument("CODE", "The device's code, at least 8 digits: 1234-5678, or 12345678.")
    ],
    *,
    name: Annotated[
        str, Option(metavar="NAME", help="What to be called in the device's keyring.")
    ] = "app",
    out: Annotated[
        Path | None,
        Option(metavar="FILE", help="Write the key into this new file instead of printing it."),
    ] = None,
    timeout: TimeoutOption = 10.0,
    dialect: DialectOption = "iot",
    trace: TraceOption = False,
) -> None:
    """Get a key from a device that is open for pairing, and print it.

    The key goes where ?psk=env:NAME or ?psk=file:PATH finds it. Who listens learns nothing, and who
    pretends to be the device has one guess.
    """
    run = partial(_pair, url, code, name, timeout, dialect, trace=trace)
    if out is None:
        print_text(key_text(anyio.run(run)))
        return
    with new_file(out) as write:
        write(key_text(anyio.run(run)))


async def _pair(
    url: str, code: str, name: str, timeout: float, dialect: "Dialect", *, trace: bool
) -> bytes:
    async with connect_to(url, timeout, dialect, trace=trace) as client:
        with hinting_at_pairing():
            return await pair_by(client, code, name)


@contextmanager
def hinting_at_pairing() -> "Iterator[None]":
    """Say what it means where the block finds that a device does not pair."""
    try:
        yield
    except MethodNotFound as error:
        error.add_note(f"{HINT}this device gives no keys, or not in this way")
        raise


@contextmanager
def new_file(path: Path) -> "Iterator[Callable[[str], object]]":
    """What writes a line into a new file that its owner alone can read.

    It is there at once, since a key that cannot be kept must not be given out. If the block fails
    it is removed.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise UsageError(f"--out {path}: {error.strerror}") from None
    with open(descriptor, "w", encoding="ascii") as file:
        try:
            yield lambda line: file.write(f"{line}\n")
        except BaseException:
            path.unlink(missing_ok=True)
            raise
