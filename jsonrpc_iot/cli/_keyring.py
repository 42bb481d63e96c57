"""What the commands under `keys` have in common: the file, the names in it, and what is wrong."""

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, TypeAlias

from jsonrpc_iot.trust.entries import Entry, is_open, read_entries, read_file

from ._output import explain
from .command.declare import Argument, Given, Offer


def entries_of(file: Path) -> list[Entry]:
    """What a keyring's file says; a key that stands elsewhere may be missing.

    Raises:
        KeyringError: the file cannot be read, or has a mistake.
    """
    entries = read_entries(read_file(file), file, lenient=True)
    if is_open(file):
        explain(f"{file} holds keys, and others may read or write it: chmod 600")
    return entries


def read_date(text: str) -> date:
    """A date, or a date and time, as the command line has it.

    Raises:
        ValueError: it is neither.
    """
    return date.fromisoformat(text) if len(text) == 10 else datetime.fromisoformat(text)


def _complete_name(beginning: str, given: Given) -> Iterator[Offer]:
    file = Path(given["file"])
    for entry in read_entries(read_file(file), file, lenient=True):
        if entry.kind == "peers":
            yield Offer(entry.name)


FileArgument: TypeAlias = Annotated[Path, Argument("FILE", "The keyring, a TOML file.")]
NameArgument: TypeAlias = Annotated[
    str, Argument("NAME", "The peer's name in the keyring.", _complete_name)
]
