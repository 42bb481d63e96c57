"""What stands in a keyring's file: read strictly, and each mistake is told with its line.

No text of an error quotes a value of the file, which may be a secret.
"""

import datetime as dt
import os
import re
import sys
import tomllib
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeAlias

import msgspec
from msgspec import Struct

from ..errors import KeyringError
from .keys import bearer_token, read_key, token_digest
from .principal import ALL, EVERYTHING, Everything

Kind: TypeAlias = Literal["peers", "certificates", "uids"]
"""The tables of a keyring."""

Note: TypeAlias = Callable[[Path], object]
"""Is told of a file."""

LONGEST_NAME = 64  # characters of a peer's
_LONGEST_FILE = 1 << 24
_LONGEST_SECRET = 1 << 12
_LARGEST_UID = (1 << 32) - 2  # the last is nobody's
_SECRETS = ("key", "key_file", "key_env", "token_sha256")
_EXPECTED = {
    "permissions": 'a list of names, as in permissions = ["wifi", "firmware"]',
    "key": "a text, the one that `jsonrpc-iot keys new` printed",
    "key_file": "the path of a file with a key, as a text",
    "key_env": "the name of an environment variable with a key, as a text",
    "token_sha256": "a text, the SHA-256 of a token in hex",
}
_MEMBER = re.compile(r" - at `\$\.(\w+)")
_UNKNOWN = re.compile(r"unknown field `(.*)`", re.DOTALL)
_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


class _Granted(Struct, forbid_unknown_fields=True):
    """A table of `certificates` or `uids`."""

    permissions: list[str] = []
    expires: Any = None


class _Peer(_Granted, forbid_unknown_fields=True):
    """A table of `peers`."""

    key: str | None = None
    key_file: str | None = None
    key_env: str | None = None
    token_sha256: str | None = None


_TABLES: dict[Kind, type[_Granted]] = {"peers": _Peer, "certificates": _Granted, "uids": _Granted}


class Entry(Struct, frozen=True):
    """One table of a keyring.

    Args:
        kind: the table above it.
        name: its own.
        permissions: what it grants.
        expires: the time of the wall clock, in seconds since 1970, from which on it is void.
        key: the key of a peer that has one.
        token: the SHA-256 of the bearer token of a peer.
    """

    kind: Kind
    name: str
    permissions: frozenset[str] | Everything
    expires: float | None = None
    key: bytes | None = None
    token: bytes | None = None

    def __repr__(self) -> str:
        return f"Entry({self.kind}.{self.name})"


def read_file(path: Path) -> str:
    """The text of a keyring's file.

    Raises:
        KeyringError: it cannot be read.
    """
    try:
        if not path.is_file():  # a pipe can be read once, and one from nobody never ends
            raise KeyringError(
                f"{path}: no regular file" if path.exists() else f"{path}: no such file"
            )
        with path.open("rb") as file:
            data = file.read(_LONGEST_FILE + 1)
    except OSError as error:
        raise KeyringError(f"{path}: cannot read it: {error.strerror}") from None
    if len(data) > _LONGEST_FILE:
        raise KeyringError(f"{path}: larger than {_LONGEST_FILE >> 20} MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise KeyringError(f"{path}, line {line}: not UTF-8") from None


def is_open(path: Path) -> bool:
    """Whether others than its owner may read or write a file."""
    if sys.platform == "win32":  # which has no such modes
        return False
    try:
        return bool(path.stat().st_mode & 0o077)
    except OSError:  # it has just been replaced
        return False


def read_entries(
    text: str, path: Path, note: Note = lambda _: None, *, lenient: bool = False
) -> list[Entry]:
    """The entries of a keyring, in their order.

    Args:
        text: what is in its file.
        path: where that is, for errors, and for the `key_file`s in it, which are relative to it.
        note: is told of each of those, before it is read, up to the first mistake.
        lenient: a key that stands in another file or in the environment need not be there; these
            may be those of another program.

    Raises:
        KeyringError: there is a mistake; the text names the file, the line and what to do.
    """
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # an integer without end is no TOMLDecodeError
        raise KeyringError(f"{path}, {syntax_problem(text, error)}") from None
    reader = _Reader(text, path, note, lenient=lenient)
    entries = [entry for kind in tables for entry in reader.table(kind, tables[kind])]
    reader.refuse_doubles(entries)
    return entries


def syntax_problem(text: str, error: Exception) -> str:
    """What is wrong with a text that is no TOML, and where.

    Args:
        text: is none.
        error: says so.
    """
    place = _PLACE.search(str(error))
    line = (place and place[1]) or text.rstrip().count("\n") + 1
    problem = _PLACE.sub("", str(error)) if place else type(error).__name__
    return f"line {line}: not valid TOML: {problem}"


class _Reader:
    """Checks the tables of one file."""

    def __init__(self, text: str, path: Path, note: Note, *, lenient: bool) -> None:
        self._text = text
        self._path = path
        self._note = note
        self._lenient = lenient

    def table(self, kind: str, named: object) -> Iterator[Entry]:
        """The entries of one of the file's tables."""
        found = next((each for each in _TABLES if each == kind), None)
        if found is None:
            known = ", ".join(f"[{each}.NAME]" for each in _TABLES)
            self._refuse([kind], f"unknown; a keyring has {known}")
        if not isinstance(named, dict):
            self._refuse([kind], f"a table is expected for each of them: [{kind}.NAME]")
        for name, members in named.items():
            yield self._entry(found, name, members)

    def _entry(self, kind: Kind, name: str, members: object) -> Entry:
        where = [kind, name]
        if problem := name_problem(kind, name):
            self._refuse(where, problem)
        try:
            table = msgspec.convert(members, _TABLES[kind])
        except msgspec.ValidationError as error:
            self._refuse_member(where, _TABLES[kind], str(error))
        if problem := permissions_problem(table.permissions):
            self._refuse([*where, "permissions"], problem)
        permissions = EVERYTHING if ALL in table.permissions else frozenset(table.permissions)
        entry = Entry(kind, name, permissions, self._expires(where, table.expires))
        return self._with_secret(where, entry, table) if isinstance(table, _Peer) else entry

    def _expires(self, where: list[str], value: object) -> float | None:
        if value is None:
            return None
        if not isinstance(value, dt.date):
            problem = "a date without quotes is expected, as in expires = 2027-01-01"
            self._refuse([*where, "expires"], problem)
        return seconds_of(value)

    def _with_secret(self, where: list[str], entry: Entry, table: _Peer) -> Entry:
        given = [each for each in _SECRETS if getattr(table, each) is not None]
        if len(given) != 1:
            problem = f"it has {' and '.join(given) or 'no key'}; give one of {', '.join(_SECRETS)}"
            self._refuse([*where, *given[1:2]], problem)
        where = [*where, *given]
        if table.token_sha256 is not None:
            token = self._checked(where, _digest, table.token_sha256)
            return msgspec.structs.replace(entry, token=token)
        try:
            text = self._key_text(where, table)
        except KeyringError:
            if not self._lenient:
                raise
            return entry
        key = self._checked(where, read_key, text)
        token = token_digest(bearer_token(key))
        return msgspec.structs.replace(entry, key=key, token=token)

    def _key_text(self, where: list[str], table: _Peer) -> str:
        if table.key is not None:
            return table.key
        if table.key_file is not None:
            return self._in_file(where, self._path.parent / table.key_file)
        name = table.key_env or ""
        if not (text := os.environ.get(name)):
            self._refuse(where, f"the environment has no {name or 'variable without a name'}")
        return text

    def _in_file(self, where: list[str], file: Path) -> str:
        self._note(file)
        try:
            if not file.is_file():
                self._refuse(where, f"{file}: no such file, or no regular one")
            with file.open("rb") as opened:
                return opened.read(_LONGEST_SECRET).decode()
        except OSError as error:
            self._refuse(where, f"cannot read {file}: {error.strerror}")
        except UnicodeDecodeError:
            self._refuse(where, f"{file}: not a text")

    def _checked(self, where: list[str], read: Callable[[str], bytes], text: str) -> bytes:
        try:
            return read(text)
        except ValueError as error:
            self._refuse(where, str(error))

    def refuse_doubles(self, entries: list[Entry]) -> None:
        """No secret may prove two names."""
        owners: dict[bytes, str] = {}
        for entry in entries:
            if entry.token is not None:
                owner = owners.setdefault(entry.token, entry.name)
                if owner != entry.name:
                    secret = "key" if entry.key is not None else "token"
                    problem = f"the same {secret} as that of [{_dotted(['peers', owner])}]"
                    self._refuse([entry.kind, entry.name], f"{problem}; make one of its own")

    def _refuse_member(self, where: list[str], kind: type[_Granted], problem: str) -> NoReturn:
        """Say in our words what msgspec found."""
        if unknown := _UNKNOWN.search(problem):
            known = ", ".join(kind.__struct_fields__)
            self._refuse([*where, unknown[1]], f"unknown; there are {known}")
        if member := _MEMBER.search(problem):
            self._refuse([*where, member[1]], f"{_EXPECTED[member[1]]} is expected")
        self._refuse(where, f"a table is expected: [{_dotted(where)}]")

    def _refuse(self, where: list[str], problem: str) -> NoReturn:
        table = f"[{_dotted(where[:2])}]"
        place = f"{table} {where[2]}" if len(where) > 2 else table
        raise KeyringError(f"{self._path}, line {line_of(self._text, where)}: {place}: {problem}")


def name_problem(kind: Kind, name: str) -> str | None:
    """What is wrong with the name of a table of a kind."""
    if kind == "uids":
        is_number = re.fullmatch("0|[1-9][0-9]{0,9}", name) and int(name) <= _LARGEST_UID
        return None if is_number else "the number of a user is expected, as in [uids.1000]"
    if not name or not name.isprintable() or name != name.strip():
        return "a name of printable characters is expected"
    if kind == "peers" and len(name) > LONGEST_NAME:
        return f"the name is longer than {LONGEST_NAME} characters"
    return None


def permissions_problem(permissions: list[str]) -> str | None:
    """What is wrong with a list of permissions."""
    for name in permissions:
        if not name or not name.isprintable():
            return "the name of a permission is not empty, and printable"
        if ALL in name and name != ALL:
            return f'{name!r} is no pattern: give exact names, or "*" for all'
    return None


def seconds_of(date: dt.date) -> float:
    """When a date begins, in seconds since 1970; without an offset it is one of UTC."""
    if not isinstance(date, dt.datetime):
        date = dt.datetime.combine(date, dt.time())
    return (date if date.tzinfo else date.replace(tzinfo=dt.UTC)).timestamp()


def _digest(text: str) -> bytes:
    digest = b""
    try:
        is_hex = len(text) == 64
        digest = bytes.fromhex(text) if is_hex else b64decode(text, validate=True)
    except ValueError:
        pass
    if len(digest) != 32:
        raise ValueError("the SHA-256 of a token's text is expected, 64 hex digits")
    return digest


def _dotted(where: list[str]) -> str:
    """The name of a table as TOML has it."""
    return ".".join(
        each if re.fullmatch(r"[\w-]+", each, re.ASCII) else msgspec.json.encode(each).decode()
        for each in where
    )


def line_of(text: str, where: list[str]) -> int:
    """The line at which something stands: the first after which the file can end and has it."""
    lines = text.split("\n")
    low, high = 0, len(lines)  # it is not in the first `low` lines, and is in the first `high`
    while high - low > 1:
        middle = (low + high) // 2
        for end in (*range(middle, high), *range(middle - 1, low, -1)):
            tables = _parsed("\n".join(lines[:end]) + "\n")
            if tables is not None:
                low, high = (low, end) if _has(tables, where) else (end, high)
                break
        else:  # what lies between is one statement
            return low + 1
    return high


def _parsed(text: str) -> Mapping[str, Any] | None:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        return None


def _has(tables: object, where: list[str]) -> bool:
    for name in where:
        if not isinstance(tables, dict) or name not in tables:
            return False
        tables = tables[name]
    return True
