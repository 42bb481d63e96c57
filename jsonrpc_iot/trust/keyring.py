"""The keyring: which keys there are, and what each may do, as a file says.

Source: the trust page, section 1. What stands in the file is read by `entries` and written by
`keyfile`; whoever proves something to a server is looked up here.
"""

import hmac
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from ..errors import KeyringError
from .entries import Entry, Kind, is_open, read_entries, read_file
from .keys import SharedKey, bearer_token, key_id, new_key, read_key, token_digest
from .principal import URL_KEY, Principal, Proof

if TYPE_CHECKING:
    from datetime import date

__all__ = ["Keyring", "SharedKey", "bearer_token", "key_id", "new_key", "read_key"]

logger = logging.getLogger("jsonrpc_iot.trust")

_LOOK_SECONDS = 0.2
_MOST_REPLACED = 4096
_KINDS: dict[Proof, Kind] = {
    "key": "peers",
    "token": "peers",
    "certificate": "certificates",
    "uid": "uids",
}

Seen = dict[Path, tuple[int, ...] | None]
"""A keyring's files, its own and those of keys, with what changes when each of them does."""


class _Holder:
    """An entry of the file, and the principals that stand for it.

    Attributes:
        shared: the key of a peer that has one.
        principals: one for each proof there is.
        given: all principals that have stood for the same secret under the same name.
    """

    def __init__(self, entry: Entry, before: "_Holder | None") -> None:
        self.entry = entry
        self.given: list[Principal] = []
        self.principals: dict[Proof, Principal] = {}
        if before is not None and before.entry.token == entry.token:
            self.given = before.given
            if before.entry.permissions == entry.permissions:
                self.principals = before.principals
        if not self.principals:
            proofs = [proof for proof, kind in _KINDS.items() if kind == entry.kind]
            self.principals = {p: Principal(entry.name, entry.permissions, p) for p in proofs}
            self.given = [*self.given, *self.principals.values()]
        self.shared: SharedKey | None = None
        if entry.key is not None:
            self.shared = SharedKey(self.principals["key"], entry.key, key_id(entry.key))


class _Contents:
    """What a keyring's file said when it was read, ready to be looked up."""

    def __init__(self, entries: Sequence[Entry], before: "_Contents | None" = None) -> None:
        self.holders: dict[tuple[Kind, str], _Holder] = {}
        self.by_id: dict[bytes, _Holder] = {}
        self.by_token: dict[bytes, _Holder] = {}
        for entry in entries:
            place = entry.kind, entry.name
            holder = _Holder(entry, before.holders.get(place) if before else None)
            self.holders[place] = holder
            if holder.shared is not None:
                self.by_id[holder.shared.id] = holder
            if entry.token is not None:
                self.by_token[entry.token] = holder
        self.expiring = [each for each in self.holders.values() if each.entry.expires is not None]


class Keyring:
    """Who may prove who they are, and what they may do then, from a TOML file.

    It is read again when it changes while a server has it (`watch`), and on `refresh`. Any thread
    may ask it.

    Args:
        path: of the file; `jsonrpc-iot keys new` makes one.
        clock: gives the seconds since 1970, for what expires.

    Raises:
        KeyringError: it cannot be read, or has a mistake; the text names the line.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, clock: Callable[[], float] = time.time
    ) -> None:
        self.path = Path(path)
        self._clock = clock
        self._lock = threading.RLock()
        self._contents = _Contents([])
        self._replaced: dict[int, Principal] = {}  # who must prove themselves again
        self._warned: set[Path] = set()
        self._generation = 0  # counts changes
        self._seen: Seen = {}
        self._read()
        self._expired = self._expired_now()

    def __contains__(self, name: str) -> bool:
        """Whether a peer has that name, also one that has expired."""
        return ("peers", name) in self._contents.holders

    def by_key_id(self, key_id: bytes) -> SharedKey | None:
        """The key of an id; `None` if there is none, or it has expired."""
        holder = self._valid(self._contents.by_id.get(key_id))
        return None if holder is None else holder.shared

    def by_token(self, token: str) -> Principal | None:
        """Whom a bearer token proves, if anybody. How long it takes tells nothing of others."""
        digest = token_digest(token)
        holder = self._valid(self._contents.by_token.get(digest))
        if holder is None or not hmac.compare_digest(holder.entry.token or b"", digest):
            return None
        return holder.principals["token"]

    def by_certificate(self, names: Iterable[str]) -> Principal | None:
        """Whom a TLS client certificate proves, if anybody.

        Args:
            names: those in the certificate; the first that the keyring has counts.
        """
        holders = self._contents.holders
        for name in names:
            holder = self._valid(holders.get(("certificates", name)))
            if holder is not None:
                return holder.principals["certificate"]
        return None

    def by_uid(self, uid: int) -> Principal | None:
        """Who the user of a process at the other end of a pipe is, if anybody."""
        holder = self._valid(self._contents.holders.get(("uids", str(uid))))
        return None if holder is None else holder.principals["uid"]

    def renewed(self, principal: Principal) -> Principal | None:
        """What the keyring says now of somebody whom it has named.

        Args:
            principal: as it was given; one of a hook or of a URL's own key stays as it is, and so
                do the permissions of one that is not ours.

        Returns:
            The principal with its permissions of now; `None` if it was revoked, has got another
            key under the same name, or has expired.
        """
        if principal.proof == "hook" or principal is URL_KEY:
            return principal
        place = _KINDS[principal.proof], principal.name
        holder = self._valid(self._contents.holders.get(place))
        if holder is None or id(principal) in self._replaced:
            return None
        is_ours = any(each is principal for each in holder.given)
        return holder.principals[principal.proof] if is_ours else principal

    def refresh(self, *, force: bool = False) -> bool:
        """Read the file again if it has changed.

        One that has a mistake, or is gone, changes nothing; that is logged once, with the line.

        Args:
            force: read it even if it looks the same, as on SIGHUP.

        Returns:
            Whether anything has changed for those who look: what it says, or what has expired.
        """
        with self._lock:
            changed = False
            if force or self._look() != self._seen:
                try:
                    changed = self._read()
                except KeyringError as error:
                    logger.error("%s; the keyring stays as it was", error)
            expired = self._expired_now()
            changed = changed or expired != self._expired
            self._expired = expired
            self._generation += changed
            return changed

    def add(
        self,
        name: str,
        *,
        permissions: Iterable[str] = (),
        expires: "date | None" = None,
        key: bytes | None = None,
    ) -> bytes:
        """Write a new peer into the file, keeping what is there, comments too.

        This waits for the disk: in an event loop a thread should do it.

        Args:
            name: the peer's.
            permissions: what it may do.
            expires: from when on it may not any more; a date begins at midnight, UTC.
            key: its key; a new one by default.

        Returns:
            The key.

        Raises:
            KeyringError: the name exists, or makes no sense; or the file cannot be written.
            MissingExtra: the library that writes it is not installed.
        """
        from .keyfile import add

        key = add(self.path, name, permissions=permissions, expires=expires, key=key)
        self.refresh(force=True)
        return key

    def revoke(self, name: str) -> None:
        """Take a peer out of the file.

        Args:
            name: the peer's.

        Raises:
            KeyringError: there is none of that name, or the file cannot be written.
            MissingExtra: the library that writes it is not installed.
        """
        from .keyfile import revoke

        revoke(self.path, name)
        self.refresh(force=True)

    async def watch(self, changed: Callable[[], object]) -> None:
        """Read the file again whenever it changes, until cancelled.

        Args:
            changed: is called after each change of what the keyring says; also when something has
                expired, and when somebody else had it read again.
        """
        told, is_new = self._generation, False
        while True:
            await anyio.sleep(_LOOK_SECONDS)
            was_new, is_new = is_new, self._look() != self._seen
            if was_new and is_new:  # one look later, as somebody may still have been writing it
                await anyio.to_thread.run_sync(self.refresh)
                is_new = False
            elif not is_new:
                self.refresh()  # something may have expired
            if self._generation != told:
                told = self._generation
                changed()

    def _valid(self, holder: _Holder | None) -> _Holder | None:
        return None if holder is None or self._has_expired(holder) else holder

    def _has_expired(self, holder: _Holder) -> bool:
        expires = holder.entry.expires
        return expires is not None and expires <= self._clock()

    def _expired_now(self) -> list[_Holder]:
        return [each for each in self._contents.expiring if self._has_expired(each)]

    def _look(self) -> Seen:
        return {file: _signature(file) for file in self._seen}

    def _read(self) -> bool:
        """Take in what the file says; says whether that is something else than before."""
        seen = {self.path: _signature(self.path)}
        try:
            entries = read_entries(
                read_file(self.path),
                self.path,
                lambda file: seen.__setitem__(file, _signature(file)),
            )
        finally:  # a mistake may be mended in any of them
            self._seen = seen
        self._warn_if_open()
        old = self._contents
        if [each.entry for each in old.holders.values()] == entries:
            return False
        new = _Contents(entries, old)
        for place, holder in old.holders.items():
            if place not in new.holders or new.holders[place].given[0] is not holder.given[0]:
                self._replaced |= {id(each): each for each in holder.given}
        while len(self._replaced) > _MOST_REPLACED:
            del self._replaced[next(iter(self._replaced))]
        self._contents = new
        return True

    def _warn_if_open(self) -> None:
        for file in self._seen:
            if file not in self._warned and is_open(file):
                self._warned.add(file)
                logger.warning("%s holds keys, and others may read or write it: chmod 600", file)


def _signature(file: Path) -> tuple[int, ...] | None:
    try:
        found = file.stat()
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_dev, found.st_ino, found.st_size
