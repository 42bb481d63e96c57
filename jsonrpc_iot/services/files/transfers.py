"""Files on their way in: what has come of each, kept so that it survives the end of this program.

A transfer is two files in a folder of its own: `ID.part` with the bytes, `ID.json` with what they
are to be and how many of them are there for good. The second is only ever replaced whole, so
that the power may go at any moment: what `ID.json` does not vouch for comes again. So bytes may as
well wait in memory for others to be written with. What becomes of a file that is whole is left to
the caller.
"""

import hashlib
import math
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import msgspec

from jsonrpc_iot import InvalidParams

from .disk import Disk, refusing
from .interface import InUse, NoRoom, WrongHash
from .transfer import Kept, Transfer, Wanted

_OURS = re.compile(r"[0-9a-f]{8}\.(part|json|json\.new)")
_BLOCK = 1 << 20
_WAITING = 1 << 20  # bytes that may wait in memory to be written


class Transfers:
    """The transfers in a folder, for any number of threads of one process.

    Args:
        folder: theirs alone; it is made when there is something to keep.
        disk: what it is on.
        most: transfers at once.
        most_bytes: bytes that all of them may have together, `None` for what the disk has room for.
        idle_seconds: without a write, after which a transfer is forgotten.
        yield_seconds: without a write, after which other content of the same name is let in.
        sync_seconds: how much time's bytes a cut of the power may cost.
        clock: monotonic time in seconds.
    """

    def __init__(
        self,
        folder: Path,
        *,
        disk: Disk | None = None,
        most: int = 16,
        most_bytes: int | None = None,
        idle_seconds: float = 3600.0,
        yield_seconds: float = 30.0,
        sync_seconds: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = folder
        self.disk = disk or Disk()
        self._most = most
        self._most_bytes = most_bytes
        self._idle_seconds = idle_seconds
        self._yield_seconds = yield_seconds
        self._sync_seconds = sync_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._open: dict[str, Transfer] = {}
        if folder.is_dir():
            self._load()

    def begin(self, wanted: Wanted) -> Transfer:
        """Begin a transfer, or go on with the one that wants the same.

        Raises:
            InUse: another one has the name, or there are as many as may be.
            NoRoom: there is no room for it.
            NotAllowed: nothing can be written here.
        """
        with self._lock:
            self._expire()
            for each in self._open.values():
                if each.wanted.is_same(wanted):
                    return self._again(each, wanted)
            self._make_way(wanted.name)
            self._check_room(wanted.size)
            transfer = Transfer(secrets.token_hex(4), wanted, 0, self._clock())
            with refusing():
                self._make_folder()
                self._save(transfer)
            self._open[transfer.id] = transfer
            return transfer

    def write_soon(self, id: str, offset: int, data: bytes) -> int | None:
        """Take the next bytes without touching the disk.

        Returns:
            How many bytes are there; `None` where the disk has to be touched, as `write` does.

        Raises:
            InvalidParams: there is no such transfer, or what it wants is not so large.
        """
        transfer = self._open.get(id)
        if transfer is None or not transfer.lock.acquire(blocking=False):
            return None
        try:
            if transfer.is_over or self._has_to_write(transfer):
                return None
            return self._take(transfer, offset, data)
        finally:
            transfer.lock.release()

    def write(self, id: str, offset: int, data: bytes) -> int:
        """Take the next bytes; any others change nothing.

        Returns:
            How many bytes are there.

        Raises:
            InvalidParams: there is no such transfer, or what it wants is not so large.
            NoRoom: the disk is full.
        """
        with self._held(id) as transfer:
            if transfer.offset - transfer.kept >= _WAITING:
                self._write_waiting(transfer)
            there = self._take(transfer, offset, data)
            if transfer.waiting and self._clock() - transfer.synced >= self._sync_seconds:
                self._write_waiting(transfer)
                with refusing():
                    self._keep(transfer)
            return there

    @contextmanager
    def whole(self, id: str) -> Iterator[Transfer]:
        """A transfer whose bytes are all there, right, and on the disk for good.

        Nobody writes it while the block runs. If that fails it is as before.

        Raises:
            InvalidParams: there is no such transfer, or bytes are missing.
            WrongHash: they are not what was announced; they are forgotten.
            NoRoom: the disk is full.
        """
        with self._held(id) as transfer:
            wanted = transfer.wanted
            if transfer.offset < wanted.size:
                missing = {"offset": transfer.offset, "size": wanted.size}
                _refuse("transfer", "bytes are missing", **missing)
            self._write_waiting(transfer)
            if self._hash_of(transfer).hexdigest() != wanted.sha256:
                self._forget(transfer)
                raise WrongHash
            with refusing():
                if wanted.size == 0:
                    self.disk.write(self.part(transfer), 0, b"")
                self._keep(transfer)
            yield transfer

    def get(self, id: str) -> Transfer | None:
        """The transfer of that name, `None` if there is none."""
        with self._lock:
            self._expire()
            return self._open.get(id)

    def peek(self, id: str) -> Transfer | None:
        """Like `get`, but waits for nobody who is at the disk."""
        return self._open.get(id)

    def forget(self, transfer: Transfer) -> None:
        """Forget a transfer within its `whole` block, as its file has another name by now."""
        self._forget(transfer)

    def drop(self, id: str) -> None:
        """Forget a transfer and what has come of it."""
        transfer = self.get(id)
        if transfer is not None:
            with transfer.lock:
                self._forget(transfer)

    def settle(self, wanted: Wanted) -> None:
        """Forget what is on its way and has come already, as the power went before that."""
        with self._lock:
            for each in [*self._open.values()]:
                if each.wanted.is_same(wanted):
                    self._end_idle(each)

    def part(self, transfer: Transfer) -> Path:
        """Where its bytes are."""
        return self.folder / f"{transfer.id}.part"

    def _has_to_write(self, transfer: Transfer) -> bool:
        is_due = self._clock() - transfer.synced >= self._sync_seconds
        return is_due or transfer.offset - transfer.kept >= _WAITING

    def _take(self, transfer: Transfer, offset: int, data: bytes) -> int:
        """Have the next bytes wait; gives how many are there."""
        if offset == transfer.offset:
            if offset + len(data) > transfer.wanted.size:
                _refuse("data", f"the file has {transfer.wanted.size} bytes")
            transfer.waiting.append(data)
            transfer.offset += len(data)
            transfer.written = self._clock()
        return transfer.offset

    def _write_waiting(self, transfer: Transfer) -> None:
        """Write what waits; where the disk is full it goes on waiting."""
        if not transfer.waiting:
            return
        hash, data = self._hash_of(transfer), b"".join(transfer.waiting)
        with refusing():
            self.disk.write(self.part(transfer), transfer.kept, data)
        hash.update(data)
        transfer.kept += len(data)
        transfer.waiting.clear()

    @contextmanager
    def _held(self, id: str) -> Iterator[Transfer]:
        transfer = self.get(id)
        if transfer is None:
            _refuse("transfer", "there is no such transfer")
        with transfer.lock:
            if transfer.is_over:
                _refuse("transfer", "there is no such transfer")
            yield transfer

    def _make_folder(self) -> None:
        if not self.folder.is_dir():
            self.disk.make_folder(self.folder)
            self.disk.sync_folder(self.folder.parent)

    def _again(self, transfer: Transfer, wanted: Wanted) -> Transfer:
        if transfer.wanted.about != wanted.about:
            transfer.wanted = wanted
            with refusing():
                self._save(transfer)
        return transfer

    def _load(self) -> None:
        """Find what an earlier program has left, and remove what belongs to nothing."""
        now = self._clock()
        for path in self.folder.glob("*.json"):
            part = path.with_suffix(".part")
            try:
                kept = msgspec.json.decode(path.read_bytes(), type=Kept)
            except msgspec.MsgspecError:  # the disk has lost it, or it is not ours
                continue
            there = [each.stat() for each in (path, part) if each.exists()]
            size = there[1].st_size if len(there) > 1 else 0
            offset = kept.offset if size >= kept.offset else 0
            if size > offset:
                self.disk.cut(part, offset)
            # A clock that was set back meanwhile makes nothing younger than now.
            age = max(0.0, time.time() - max(each.st_mtime for each in there))
            self._open[path.stem] = Transfer(path.stem, kept.wanted, offset, now - age)
        for path in self.folder.iterdir():
            id, _, kind = path.name.partition(".")
            is_left = kind == "json.new" or id not in self._open
            if is_left and _OURS.fullmatch(path.name):  # and nobody else's
                self.disk.remove(path)

    def _expire(self) -> None:
        long_ago = self._clock() - self._idle_seconds
        for transfer in [each for each in self._open.values() if each.written < long_ago]:
            self._end_idle(transfer)

    def _make_way(self, name: str) -> None:
        """See to it that nobody else writes the name, and that there are not too many."""
        now = self._clock()
        other = next((each for each in self._open.values() if each.wanted.name == name), None)
        if other is not None:
            wait = other.written + self._yield_seconds - now
            if wait > 0 or not self._end_idle(other):
                raise InUse(data={"retry_after": max(1, math.ceil(wait))})
        if len(self._open) >= self._most:
            oldest = min(each.written for each in self._open.values())
            raise InUse(data={"retry_after": math.ceil(oldest + self._idle_seconds - now)})

    def _check_room(self, size: int) -> None:
        promised = sum(each.wanted.size for each in self._open.values())
        written = sum(each.offset for each in self._open.values())
        free = shutil.disk_usage(self.folder.parent).free - (promised - written)
        if self._most_bytes is not None:
            free = min(free, self._most_bytes - promised)
        if size > free:
            raise NoRoom(data={"free": max(0, free)})

    def _hash_of(self, transfer: Transfer) -> "hashlib._Hash":
        if transfer.hash is None:
            hash, left = hashlib.sha256(), transfer.kept
            with self.part(transfer).open("rb") as file:
                while block := file.read(min(left, _BLOCK)):
                    hash.update(block)
                    left -= len(block)
            transfer.hash = hash
        return transfer.hash

    def _keep(self, transfer: Transfer) -> None:
        """Have what there is stay."""
        self.disk.sync(self.part(transfer))
        self._save(transfer)
        transfer.synced = self._clock()

    def _save(self, transfer: Transfer) -> None:
        kept = msgspec.json.encode(Kept(transfer.wanted, transfer.kept))
        self.disk.save(self.folder / f"{transfer.id}.json", kept)

    def _forget(self, transfer: Transfer) -> None:
        with self._lock:
            self._end(transfer)

    def _end_idle(self, transfer: Transfer) -> bool:
        """End a transfer, unless somebody is at it just now."""
        if not transfer.lock.acquire(blocking=False):
            return False
        try:
            self._end(transfer)
        finally:
            transfer.lock.release()
        return True

    def _end(self, transfer: Transfer) -> None:
        transfer.is_over = True
        self._open.pop(transfer.id, None)
        self.disk.remove(self.folder / f"{transfer.id}.json")
        self.disk.remove(self.part(transfer))


def _refuse(name: str, message: str, **more: int) -> NoReturn:
    raise InvalidParams(data={"path": f"$.{name}", "message": message, **more})
