"""Writing a keyring's file: what is in it stays as it is, comments too.

Who reads the file sees it as it was before or as it is after, and who writes it at the same time
waits. Source: the trust page, section 1.
"""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from tempfile import mkstemp
from typing import Any, TypeAlias

from ..errors import KeyringError, MissingExtra
from .entries import Entry, line_of, name_problem, permissions_problem, read_entries, read_file
from .keys import key_text, new_key

_LOCK_SECONDS = 10.0
_LOCK_LOOK_SECONDS = 0.02

Way: TypeAlias = Callable[[str], str]
"""One way to change the text of a keyring's file."""


def make(path: str | os.PathLike[str]) -> None:
    """Make an empty keyring that its owner alone can read, unless there is one.

    Args:
        path: of the file.

    Raises:
        KeyringError: it cannot be made.
    """
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        pass
    except OSError as error:
        raise KeyringError(f"{path}: cannot make it: {error.strerror}") from None


def add(
    path: str | os.PathLike[str],
    name: str,
    *,
    permissions: Iterable[str] = (),
    expires: date | None = None,
    key: bytes | None = None,
) -> bytes:
    """Write a new peer into a keyring's file, which is made if it is not there.

    Args:
        path: of the file.
        name: the peer's.
        permissions: what it may do.
        expires: from when on it may not any more; a date begins at midnight, UTC.
        key: its key; a new one by default.

    Returns:
        The key.

    Raises:
        KeyringError: the name exists, or makes no sense; or the file cannot be read or written.
        MissingExtra: tomlkit is not installed.
    """
    _require_tomlkit(path)
    import tomlkit

    permissions = list(permissions)
    if problem := name_problem("peers", name) or permissions_problem(permissions):
        raise KeyringError(f"{name!r}: {problem}")
    key = new_key() if key is None else key
    peer: dict[str, Any] = {"key": key_text(key)}
    if permissions:
        peer["permissions"] = permissions
    if expires is not None:
        peer["expires"] = expires
    table = tomlkit.dumps({"peers": {name: peer}})

    def wanted(entries: list[Entry]) -> list[Entry]:
        if any(_is_peer(each, name) for each in entries):
            raise KeyringError(f"{path}: {name!r} exists; revoke it, or take another name")
        return entries + read_entries(table, Path(path))

    def append(text: str) -> str:
        return f"{text.rstrip()}\n\n{table}" if text.strip() else table

    def insert(text: str) -> str:
        document: Any = tomlkit.parse(text)
        document["peers"][name] = peer  # which are an inline table
        return tomlkit.dumps(document)

    _rewrite(Path(path), wanted, append, insert, may_make=True)
    return key


def revoke(path: str | os.PathLike[str], name: str) -> None:
    """Take a peer out of a keyring's file.

    Args:
        path: of the file.
        name: the peer's.

    Raises:
        KeyringError: there is none of that name, or the file cannot be read or written.
        MissingExtra: tomlkit is not installed.
    """
    _require_tomlkit(path)
    import tomlkit

    def wanted(entries: list[Entry]) -> list[Entry]:
        rest = [each for each in entries if not _is_peer(each, name)]
        if rest == entries:
            raise KeyringError(f"{path}: no peer is called {name!r}")
        return rest

    def cut(text: str) -> str:
        return _without(text, ["peers", name])

    def delete(text: str) -> str:
        document: Any = tomlkit.parse(text)
        del document["peers"][name]
        return tomlkit.dumps(document)

    _rewrite(Path(path), wanted, cut, delete)


def _is_peer(entry: Entry, name: str) -> bool:
    return entry.kind == "peers" and entry.name == name


def _without(text: str, table: list[str]) -> str:
    """A file without the lines of a table; comments before the next one are kept."""
    lines = text.split("\n")
    begin = line_of(text, table) - 1
    heads = (i for i in range(begin + 1, len(lines)) if lines[i].lstrip().startswith("["))
    rest = next(heads, len(lines))
    while rest > begin + 1 and lines[rest - 1].strip()[:1] in {"", "#"}:
        rest -= 1
    if not begin or not lines[begin - 1].strip():  # one empty line is enough
        while rest < len(lines) and not lines[rest].strip():
            rest += 1
    return "\n".join(lines[:begin] + lines[rest:]).rstrip() + "\n"


def _require_tomlkit(path: str | os.PathLike[str]) -> None:
    try:
        import tomlkit  # noqa: F401
    except ImportError as error:
        install = "pip install 'jsonrpc-iot[seal]'"
        raise MissingExtra(f"{path}: writing a keyring needs tomlkit: {install}") from error


def _rewrite(
    path: Path,
    wanted: Callable[[list[Entry]], list[Entry]],
    *ways: Way,
    may_make: bool = False,
) -> None:
    """Change a file while nobody else does.

    Args:
        path: of the file.
        wanted: gets what the file says, gives what it shall say.
        ways: change its text; the first counts after which it says so.
        may_make: the file need not be there.
    """
    from tomlkit.exceptions import TOMLKitError

    target = path.resolve()  # the file itself is replaced, not a link to it
    try:
        with _locked(target):
            is_new = may_make and not target.exists()
            text = "" if is_new else read_file(target)
            goal = _by_name(wanted(read_entries(text, path, lenient=True)))
            for way in ways:
                with suppress(ValueError, TOMLKitError):
                    changed = way(text)
                    if _by_name(read_entries(changed, path, lenient=True)) == goal:
                        _replace(target, changed.encode(), is_new=is_new)
                        return
    except OSError as error:
        raise KeyringError(f"{path}: cannot write it: {error.strerror or error}") from None
    raise KeyringError(f"{path}: it is written so that it has to be changed by hand")


def _by_name(entries: list[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda each: (each.kind, each.name))


def _replace(target: Path, data: bytes, *, is_new: bool) -> None:
    """Put a file in place at once; its mode and owner stay as they are, a new one is private."""
    descriptor, made = mkstemp(prefix=f".{target.name}.", dir=target.parent)  # with mode 0600
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            if not is_new and sys.platform != "win32":
                old, new = target.stat(), os.fstat(descriptor)
                if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
                    os.fchown(descriptor, old.st_uid, old.st_gid)  # its server shall go on reading
                os.fchmod(descriptor, old.st_mode & 0o777)
            file.flush()
            os.fsync(descriptor)
        os.replace(made, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(made)
        raise
    if sys.platform != "win32":
        with _folder(target) as folder:
            os.fsync(folder)


@contextmanager
def _folder(file: Path) -> Iterator[int]:
    descriptor = os.open(file.parent, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Keep other writers away from a folder's keyrings; nothing is left behind."""
    if sys.platform == "win32":  # where no folder can be locked; the last writer wins
        yield
        return
    import fcntl

    with _folder(target) as folder:
        end = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise KeyringError(f"{target}: another program is writing it") from None
                time.sleep(_LOCK_LOOK_SECONDS)
        yield
