"""The files of a folder, offered to whoever may have them."""

import os
import stat
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread

from jsonrpc_iot import Context, UsageError

from .disk import Disk, refusing
from .interface import (
    Begun,
    Committed,
    FileExists,
    FileInfo,
    Files,
    NoSuchFile,
    NotAllowed,
    Piece,
    TransferId,
    Written,
)
from .known import BLOCK, Block, Blocks, Hashes, version_of
from .names import place_of, problem
from .room import is_small, read_room, window, write_room
from .transfer import Transfer, Wanted
from .transfers import Transfers
from .writer import Writer

T = TypeVar("T")

TRANSFERS = ".jsonrpc-iot"
"""The folder, in that of the files, where those are that have not come whole."""

_REMEMBERED = 256
_THREADS = 8  # of its own: hashes of large files take long, and others need threads too


class FolderFiles(Files):
    """The `files` service over a folder, of one process alone.

    What comes is kept in a hidden folder there until it is whole, also beyond the end of this
    program and of the power.

    Args:
        root: the folder.
        most: transfers at once.
        most_bytes: bytes that all of them may have together, `None` for what the disk has room for.
        sync_seconds: how much time's bytes a cut of the power may cost.
        disk: what the folder is on.

    Raises:
        UsageError: there is no such folder.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        most: int = 16,
        most_bytes: int | None = None,
        sync_seconds: float = 1.0,
        disk: Disk | None = None,
    ) -> None:
        self._disk = disk or Disk()
        try:
            self._root = Path(root).resolve(strict=True)
            self._transfers = Transfers(
                self._root / TRANSFERS,
                disk=self._disk,
                most=most,
                most_bytes=most_bytes,
                sync_seconds=sync_seconds,
            )
        except OSError as error:
            raise UsageError(f"{os.fspath(root)}: {error.strerror}") from None
        self._hashes = Hashes()
        self._blocks = Blocks()
        self._writer = Writer(self._transfers)
        self._committed: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()
        self._threads = anyio.CapacityLimiter(_THREADS)

    async def entries(self, path: str = "") -> AsyncIterator[FileInfo]:
        """See `Files.entries`."""
        folders = [await self._in_thread(self._folder, path)]
        while folders:
            files, inner = await self._in_thread(self._look, folders.pop())
            folders += inner
            for each in files:
                yield each

    async def stat(self, name: str) -> FileInfo:
        """See `Files.stat`."""
        return await self._in_thread(self._stat, name)

    async def delete(self, name: str) -> None:
        """See `Files.delete`."""
        await self._in_thread(self._delete, name)

    async def begin(
        self,
        name: str,
        size: int,
        sha256: str,
        replace: bool = False,
        *,
        context: Context | None = None,
    ) -> Begun:
        """See `Files.begin`."""
        wanted = Wanted(name=name, size=size, sha256=sha256.lower(), about={"replace": replace})
        transfer = await self._in_thread(self._begin, wanted)
        if transfer is None:
            return Begun(transfer=None, offset=size)
        info = None if context is None else context.info
        return Begun(
            transfer=transfer.id,
            offset=transfer.offset,
            chunk=write_room(info, size),
            window=window(info),
        )

    async def write(self, transfer: TransferId, offset: int, data: bytes) -> Written:
        """See `Files.write`."""
        return Written(await self._writer.write(str(transfer), offset, data))

    async def commit(self, transfer: TransferId) -> Committed:
        """See `Files.commit`."""
        return Committed(await self._in_thread(self._commit, str(transfer)))

    async def read(
        self, name: str, offset: int, length: int, *, context: Context | None = None
    ) -> Piece:
        """See `Files.read`."""
        info = None if context is None else context.info
        bare = offset > 0 and is_small(info)
        length = min(length, read_room(info, bare=bare))
        block = self._blocks.find(name, offset, length)
        if block is None:
            block = await self._in_thread(self._load, name, offset, length)
        data = block.piece(offset, length)
        return Piece(data=data) if bare else Piece(data=data, size=block.size, sha256=block.sha256)

    async def abort(self, transfer: TransferId) -> None:
        """See `Files.abort`."""
        await self._in_thread(self._transfers.drop, str(transfer))

    async def _in_thread(self, function: Callable[..., T], *arguments: object) -> T:
        work = partial(function, *arguments)
        return await anyio.to_thread.run_sync(work, limiter=self._threads)

    def _folder(self, path: str) -> Path:
        return place_of(self._root, path) if path else self._root

    def _look(self, folder: Path) -> tuple[list[FileInfo], list[Path]]:
        """What is in a folder: files, and folders."""
        files, folders = [], []
        for entry in _entries(folder):
            path = Path(entry.path)
            name = path.relative_to(self._root).as_posix()
            if problem(name) is not None or entry.is_symlink():
                continue
            if entry.is_dir():
                folders.append(path)
            elif entry.is_file():
                try:
                    known = entry.stat()
                except FileNotFoundError:  # it has just been deleted
                    continue
                hash = self._hashes.known(path, known)
                files.append(_info(name, known) if hash is None else _info(name, known, hash))
        return files, sorted(folders, reverse=True)

    def _stat(self, name: str) -> FileInfo:
        path = self._file(name)
        with _telling_callers():
            known = path.stat()
            return _info(name, known, self._hashes.of(path))

    def _delete(self, name: str) -> None:
        path = self._file(name)
        with refusing():
            self._disk.remove(path)
            self._disk.sync_folder(path.parent)

    def _begin(self, wanted: Wanted) -> Transfer | None:
        if self._is_there(place_of(self._root, wanted.name), wanted):
            self._transfers.settle(wanted)
            return None
        return self._transfers.begin(wanted)

    def _is_there(self, path: Path, wanted: Wanted) -> bool:
        """Whether just that file is there; another one may be in the way."""
        try:
            known = path.stat()
        except FileNotFoundError:
            return False
        except NotADirectoryError:
            raise NotAllowed(data={"path": "$.name", "message": "it is below a file"}) from None
        if not stat.S_ISREG(known.st_mode):
            raise NotAllowed(data={"path": "$.name", "message": "it is no file"})
        if known.st_size == wanted.size and self._hashes.of(path) == wanted.sha256:
            return True
        if not wanted.about["replace"]:
            raise FileExists
        return False

    def _commit(self, id: str) -> str:
        with self._lock:
            if (done := self._committed.get(id)) is not None:
                return done  # the answer was lost
        with self._transfers.whole(id) as transfer:
            wanted = transfer.wanted
            path = place_of(self._root, wanted.name)
            self._is_there(path, wanted)  # and not another one, that came by another way
            with refusing():
                self._make_folders(path.parent)
                self._disk.replace(self._transfers.part(transfer), path)
                self._disk.sync_folder(path.parent)
            self._hashes.learn(path, wanted.sha256)
            with self._lock:
                self._committed[id] = wanted.sha256
                if len(self._committed) > _REMEMBERED:
                    self._committed.popitem(last=False)
            self._transfers.forget(transfer)
            return wanted.sha256

    def _make_folders(self, folder: Path) -> None:
        missing = [each for each in (folder, *folder.parents) if not each.exists()]
        for each in reversed(missing):
            self._disk.make_folder(each)
            self._disk.sync_folder(each.parent)

    def _load(self, name: str, offset: int, length: int) -> Block:
        """Read a part of a file, and some more, in case that is read next."""
        path = self._file(name)
        with _telling_callers():
            with path.open("rb") as file:
                known = os.fstat(file.fileno())
                file.seek(min(offset, known.st_size))  # disks know no such offsets as callers do
                data = file.read(max(length, BLOCK))
            hash = self._hashes.of(path)
        block = Block(path, version_of(known), offset, data, known.st_size, hash)
        self._blocks.keep(name, block)
        return block

    def _file(self, name: str) -> Path:
        path = place_of(self._root, name)
        if not path.is_file():
            raise NoSuchFile
        return path


def _info(name: str, known: os.stat_result, hash: str | None = None) -> FileInfo:
    facts = {} if hash is None else {"sha256": hash}
    return FileInfo(name=name, size=known.st_size, modified=int(known.st_mtime), **facts)


@contextmanager
def _telling_callers() -> Iterator[None]:
    """Say of a file that it has just been deleted, or may not be read by this program."""
    try:
        yield
    except FileNotFoundError:
        raise NoSuchFile from None
    except PermissionError:
        raise NotAllowed(data={"path": "$.name", "message": "it cannot be read"}) from None


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            yield from sorted(found, key=lambda each: each.name)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
