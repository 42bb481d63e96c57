"""`get`: a file of a device becomes one of this machine."""

import os
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
from msgspec import UNSET, UnsetType
from msgspec.structs import replace as replaced

from jsonrpc_iot import Client, MalformedResponse, MessageTooLarge, TooLarge

from .disk import Disk
from .interface import FileExists, FileInfo, Files, NotAllowed, Piece, WrongHash
from .names import problem
from .pace import Pace
from .put import PATIENCE
from .room import WINDOW, is_small, read_room, window
from .sending import PASSING, Patience, Progress, smaller
from .source import size_and_hash

_TRIES = 3  # of a file that changes while it is read
_WAITING = 64 << 10  # bytes that may wait in memory to be written
_WAITING_SECONDS = 1.0
_AHEAD = 1 << 20  # bytes that may wait in memory for a piece before them


class Changed(Exception):
    """The file is another one now."""


async def get(
    client: Client,
    name: str,
    path: str | os.PathLike[str] | None = None,
    *,
    replace: bool = False,
    progress: Progress | None = None,
    patience: float = PATIENCE,
    prefix: str = "",
) -> FileInfo:
    """Fetch a file from a device that has the service `files`.

    What has arrived is kept beside `path`, as `.NAME.HASH.part`, and the next call goes on from
    there. The file takes its place when it is whole and right, all at once.

    Args:
        client: leads to the device; one that reconnects goes on by itself after a cut.
        name: of the file there.
        path: where it goes; into a folder, the present one by default, called as there.
        replace: it may replace another file.
        progress: is called with the bytes that are here, and those that there will be.
        patience: seconds to go on with nothing getting through.
        prefix: what the device, or a gateway, put before the service's names.

    Returns:
        The file as it is there.

    Raises:
        FileExists: another file is at `path`, and `replace` is not said.
        FilesError: the device refuses it; of the class of its code.
        WrongHash: what came was something else, again and again.
        CallTimeout: nothing has got through for too long; or as `Client.call`.
        ChannelClosed: the connection ended, of a client that does not reconnect.
        OSError: the file cannot be written.
    """
    target = Path() if path is None else Path(path)
    if await anyio.Path(target).is_dir():
        if (why := problem(name)) is not None:
            raise NotAllowed(data={"path": "$.name", "message": why})
        target /= name.rpartition("/")[2]
    fetching = Fetching(client, client.proxy(Files, prefix=prefix), name, progress, patience)
    for tries in range(_TRIES, 0, -1):
        try:
            return await fetching.fetch(target, replace=replace)
        except (Changed, WrongHash) as error:
            if tries == 1:
                raise WrongHash("It changes while it is read") from error
    raise AssertionError


class Fetching:
    """One file that is fetched.

    Args:
        client: leads to the device.
        files: its service.
        name: of the file.
        progress: is told how far it is.
        patience: seconds to go on with nothing getting through.
    """

    def __init__(
        self, client: Client, files: Files, name: str, progress: Progress | None, patience: float
    ) -> None:
        self._client = client
        self._files = files
        self._name = name
        self._progress = progress
        self._patience = Patience(patience)
        self._disk = Disk()

    async def fetch(self, target: Path, *, replace: bool) -> FileInfo:
        """Fetch it as it is now.

        Raises:
            Changed: it became another one meanwhile.
            WrongHash: what came is not it.
        """
        info = await self._stat()
        if await anyio.Path(target).exists():
            there = await anyio.to_thread.run_sync(size_and_hash, target)
            if there == (info.size, info.sha256):
                self._tell(info.size, info.size)
                return info
            if not replace:
                raise FileExists(f"{target} is there already")
        part = target.with_name(f".{target.name[:80]}.{str(info.sha256)[:16]}.part")
        arriving = Arriving(part, info, self._note)
        await anyio.to_thread.run_sync(arriving.resume)
        self._tell(arriving.there, info.size)
        while arriving.there < info.size:
            try:
                await self._read_all(arriving)
            except PASSING as error:
                arriving.pace.failed(error)
                await self._patience.wait(self._client, error)
        await anyio.to_thread.run_sync(partial(self._settle, arriving, target))
        return info

    async def _stat(self) -> FileInfo:
        """What the device says of it; where that is not its hash, a read says it."""
        while True:
            try:
                info = await self._files.stat(self._name)
                hash = info.sha256
                if isinstance(hash, UnsetType):
                    hash = (await self._files.read(self._name, 0, 0)).sha256
                if isinstance(hash, UnsetType):
                    raise MalformedResponse("the device tells no hash of its files")
                return replaced(info, sha256=hash.lower())
            except PASSING as error:
                await self._patience.wait(self._client, error)

    async def _read_all(self, arriving: "Arriving") -> None:
        """Read until all is here, in smaller pieces where they turn out to be too large."""
        link = self._client.info
        most = min(read_room(link, bare=is_small(link)), arriving.info.size)
        while arriving.there < arriving.info.size:
            read = partial(self._files.read, self._name)
            try:
                await arriving.run(read, most, min(window(link), WINDOW))
            except (MessageTooLarge, TooLarge) as error:
                most = smaller(arriving.pace.chunk, error)

    def _settle(self, arriving: "Arriving", target: Path) -> None:
        """Put the file in its place, if it is right."""
        if size_and_hash(arriving.part)[1] != arriving.info.sha256:
            self._disk.remove(arriving.part)
            raise WrongHash
        self._disk.sync(arriving.part)
        self._disk.replace(arriving.part, target)
        self._disk.sync_folder(target.parent)

    def _note(self, there: int, size: int) -> None:
        self._patience.renew()
        self._tell(there, size)

    def _tell(self, there: int, size: int) -> None:
        if self._progress is not None:
            self._progress(there, size)


class Arriving:
    """The beginning of a file that is here already, and grows.

    Args:
        part: where it is kept.
        info: of the file.
        note: is told how far it is, and how far it goes.

    Attributes:
        part: as above.
        info: as above.
        there: how many bytes are here.
        pace: says how much to read at once.
    """

    def __init__(self, part: Path, info: FileInfo, note: Progress) -> None:
        self.part = part
        self.info = info
        self.there = 0
        self.pace = Pace()
        self._note = note
        self._disk = Disk()
        self._early: dict[int, bytes] = {}
        self._waiting = bytearray()
        self._next = 0
        self._written = time.monotonic()
        self._changed: anyio.Event | None = None

    def resume(self) -> None:
        """Find what an earlier try has left."""
        self._disk.write(self.part, 0, b"")
        self.there = min(self.part.stat().st_size, self.info.size)
        self._disk.cut(self.part, self.there)

    async def run(
        self, read: Callable[[int, int], Awaitable[Piece]], most: int, reads: int
    ) -> None:
        """Read what is missing.

        Args:
            read: gives a piece, from an offset on, of a length at most.
            most: bytes to read at once at most.
            reads: that may be open at once.

        Raises:
            Changed: the file is another one now.
            Exception: the first that `read` raises.
        """
        self._next = self.there
        self.pace.bound(most, reads)
        self._early.clear()
        failures: list[Exception] = []

        async def work() -> None:
            try:
                while self._next < self.info.size:
                    ahead = self._next - self.there
                    if ahead < _AHEAD and not self.pace.is_full:
                        await self._read_next(read)
                    else:
                        self._changed = self._changed or anyio.Event()
                        await self._changed.wait()
            except Exception as error:  # noqa: BLE001  # of which the first is raised below
                failures.append(error)
                tasks.cancel_scope.cancel()

        try:
            async with anyio.create_task_group() as tasks:
                for _ in range(reads):
                    tasks.start_soon(work)
        finally:
            self._write()
        if failures:
            raise failures[0]

    async def _read_next(self, read: Callable[[int, int], Awaitable[Piece]]) -> None:
        offset = self._next
        end = self._next = min(offset + self.pace.chunk, self.info.size)
        data = b""
        while (missing := end - offset - len(data)) > 0:
            began = self.pace.start()
            piece = await read(offset + len(data), missing)
            self.pace.answered(began)
            hash = "" if isinstance(piece.sha256, UnsetType) else piece.sha256.lower()
            if piece.size not in (UNSET, self.info.size) or hash not in ("", self.info.sha256):
                raise Changed
            if not 0 < len(piece.data) <= missing:
                raise Changed
            if len(piece.data) < missing and offset > 0:  # the device has room for no more
                self.pace.bound_chunk(len(piece.data))
            data = data + piece.data if data else piece.data
        self._early[offset] = data
        self._keep()
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    def _keep(self) -> None:
        """Keep what there is no gap before."""
        before = self.there
        while (data := self._early.pop(self.there, None)) is not None:
            self._waiting += data
            self.there += len(data)
        now = time.monotonic()
        if len(self._waiting) >= _WAITING or now - self._written > _WAITING_SECONDS:
            self._write()
            self._written = now
        if self.there > before:
            self._note(self.there, self.info.size)

    def _write(self) -> None:
        """Write what waits to be written."""
        self._disk.write(self.part, self.there - len(self._waiting), bytes(self._waiting))
        self._waiting.clear()
