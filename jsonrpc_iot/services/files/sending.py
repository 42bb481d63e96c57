"""Sending a file to a device, for as long as it takes: what `put` and `update` share.

The device says where to go on. Several writes are open at once; where one is lost or overtaken, the
answers to those behind it say so at once, and the sender goes back there. After a cut, or when
either end was restarted, `begin` is called again.
"""

import hashlib
import math
import os
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread

from jsonrpc_iot import (
    Busy,
    CallTimeout,
    Cancelled,
    ChannelClosed,
    Client,
    DeadlineExceeded,
    DeviceOffline,
    InvalidParams,
    MalformedResponse,
    MessageTooLarge,
    OutcomeUnknown,
    TooLarge,
)

from .interface import Begun, TransferId, Written, WrongHash
from .room import window, write_room

Progress = Callable[[int, int], object]
"""Is told how many bytes have arrived, and of how many."""

Write = Callable[[TransferId, int, bytes], Awaitable[Written]]

PASSING: tuple[type[Exception], ...] = (Busy, CallTimeout, Cancelled, ChannelClosed)
PASSING += (DeadlineExceeded, DeviceOffline, OutcomeUnknown)
"""What goes over: a cut, a reboot, too much at once."""

_BLOCK = 1 << 20
_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 5.0
_LOST_TRANSFERS = 3
_MOST_IDLE_TURNS = 100


class Source:
    """A file that is read block by block, in a thread.

    Args:
        path: of the file.

    Attributes:
        size: bytes.
        sha256: of them, in hex.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.size = 0
        self.sha256 = ""
        self._start = 0
        self._block = b""

    async def measure(self) -> None:
        """Find out size and hash.

        Raises:
            OSError: the file cannot be read.
        """
        self.size, self.sha256 = await anyio.to_thread.run_sync(size_and_hash, self.path)

    def check(self, offset: int) -> None:
        """Refuse an offset that a device says, if there can be none such.

        Raises:
            MalformedResponse: it is beyond the end.
        """
        if offset > self.size:
            raise MalformedResponse(f"the device has {offset} bytes of {self.size}")

    def at_hand(self, offset: int, length: int) -> bytes | None:
        """Some of its bytes; `None` where they have to be read."""
        begin = offset - self._start
        if not 0 <= begin <= len(self._block) - min(length, self.size - offset):
            return None
        return self._block[begin : begin + length]

    async def read(self, offset: int, length: int) -> bytes:
        """Some of its bytes, by one reader at a time."""
        load = partial(_read, self.path, offset, max(length, _BLOCK))
        self._block = await anyio.to_thread.run_sync(load)
        self._start = offset
        return self._block[:length]


def size_and_hash(path: Path) -> tuple[int, str]:
    """How many bytes a file has, and their SHA-256 in hex."""
    hash, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            hash.update(block)
            size += len(block)
    return size, hash.hexdigest()


def _read(path: Path, offset: int, length: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(length)


def smaller(chunk: int, error: MessageTooLarge | TooLarge) -> int:
    """How many bytes to put into a message after so many were too many.

    Raises:
        MessageTooLarge: not even one fits.
        TooLarge: as above.
    """
    if chunk == 1:
        raise error
    if isinstance(error, MessageTooLarge):  # nothing but the bytes can be less, 3 for 4 in Base64
        return max(1, chunk - (error.size - error.limit))
    return chunk // 2


class Patience:
    """How often to try again: as long as something gets through now and then.

    Args:
        seconds: to go on with nothing getting through.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until = -math.inf
        self.renew()

    def renew(self) -> None:
        """Take note that something got through."""
        self._until = time.monotonic() + self._seconds
        self._pause = _PAUSE_SECONDS
        self._lost = 0

    async def wait(self, client: Client, error: Exception) -> None:
        """Pause before the next try.

        Args:
            client: that tries.
            error: by which the last one failed; raised when it is not to be tried any more.
        """
        if client.state == "closed" or time.monotonic() + self._pause > self._until:
            raise error
        await anyio.sleep(self._pause)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)

    def note_lost(self, error: InvalidParams) -> None:
        """Take note that the device knows nothing of the transfer.

        Raises:
            InvalidParams: that happens again and again.
        """
        self._lost += 1
        if self._lost > _LOST_TRANSFERS:
            raise error


class Sending:
    """One file that is sent.

    Args:
        client: leads to the device.
        source: the file, measured.
        method: the full name of the one that writes.
        begin: begins the transfer, or goes on with it.
        write: has the device take some bytes.
        progress: is told how far it is.
        patience: seconds to go on with nothing getting through.
    """

    def __init__(
        self,
        client: Client,
        source: Source,
        method: str,
        begin: Callable[[], Awaitable[Begun]],
        write: Write,
        *,
        progress: Progress | None,
        patience: float,
    ) -> None:
        self._client = client
        self._source = source
        self._method = method
        self._begin = begin
        self._write = write
        self._progress = progress
        self._patience = Patience(patience)
        self._most = source.size or 1
        self._was_resumed = False

    async def send(self, finish: Callable[[TransferId], Awaitable[object]]) -> None:
        """Send it, and have the device take it.

        Args:
            finish: is given the transfer when all is there. It may be called again after a cut.

        Raises:
            RpcError: the device refuses it.
            CallTimeout: nothing has got through for too long; or as `Client.call`.
            OSError: the file cannot be read.
        """
        while True:
            try:
                begun = await self._begin()
                self._source.check(begun.offset)
                self._tell(begun.offset)
                if begun.transfer is None:
                    return
                self._was_resumed |= begun.offset > 0
                if await self._complete(begun, begun.transfer, finish):
                    return
            except PASSING as error:
                await self._patience.wait(self._client, error)

    async def _complete(
        self, begun: Begun, transfer: TransferId, finish: Callable[[TransferId], Awaitable[object]]
    ) -> bool:
        """Write what is missing; gives whether the device has taken all."""
        try:
            await self._write_all(begun, transfer)
            await finish(transfer)
        except InvalidParams as error:  # it has forgotten the transfer, or some of it
            self._patience.note_lost(error)
            return False
        except WrongHash:
            if not self._was_resumed:
                raise
            self._was_resumed = False  # what it kept was damaged: once more, from the start
            return False
        return True

    async def _write_all(self, begun: Begun, transfer: TransferId) -> None:
        """Write until all is there, in smaller pieces where they turn out to be too large."""
        write, there = partial(self._write, transfer), begun.offset
        while True:
            chunk = min(write_room(self._client.info, self._method), self._most)
            chunk = min(chunk, begun.chunk or chunk)
            stretch = Stretch(self._source, write, there, chunk, self._note)
            try:
                await stretch.run(min(begun.window or 1, window(self._client.info)))
            except (MessageTooLarge, TooLarge) as error:
                self._most = smaller(chunk, error)
                there = stretch.there
            else:
                return

    def _note(self, offset: int) -> None:
        self._patience.renew()
        self._tell(offset)

    def _tell(self, offset: int) -> None:
        if self._progress is not None:
            self._progress(offset, self._source.size)


class Stretch:
    """The rest of a file, written with several writes open at once.

    Args:
        source: the file.
        write: has the device take some bytes; gives how many it has.
        start: how many it has.
        chunk: how many to write at once.
        on_progress: is told how many it has.

    Attributes:
        there: how many bytes the device has.
    """

    def __init__(
        self,
        source: Source,
        write: Callable[[int, bytes], Awaitable[Written]],
        start: int,
        chunk: int,
        on_progress: Callable[[int], object],
    ) -> None:
        self.there = start
        self._on_progress = on_progress
        self._source = source
        self._write = write
        self._chunk = chunk
        self._next = start
        self._turn = 0  # how often it went back, so that late answers are known
        self._idle_turns = 0
        self._reading = anyio.Lock()
        self._changed: anyio.Event | None = None
        self._failure: Exception | None = None

    async def run(self, writes: int) -> None:
        """Write until all is there.

        Args:
            writes: that may be open at once.

        Raises:
            Exception: the first that a write raises.
        """
        async with anyio.create_task_group() as tasks:
            for _ in range(writes):
                tasks.start_soon(self._work, tasks.cancel_scope)
        if self._failure is not None:
            raise self._failure

    async def _work(self, scope: anyio.CancelScope) -> None:
        try:
            while self.there < self._source.size:
                if self._next < self._source.size:
                    await self._write_next()
                else:  # what is under way may have been lost
                    self._changed = self._changed or anyio.Event()
                    await self._changed.wait()
        except Exception as error:  # noqa: BLE001  # of which the first is raised outside
            self._failure = self._failure or error
        scope.cancel()

    async def _write_next(self) -> None:
        offset, turn = self._next, self._turn
        data = self._source.at_hand(offset, self._chunk)
        if data is None:
            await self._read_next()
            return
        self._next = offset + len(data)
        written = await self._write(offset, data)
        if self._takes(offset + len(data), turn, written.offset):
            await anyio.sleep(_PAUSE_SECONDS)

    async def _read_next(self) -> None:
        """Have what is next at hand."""
        async with self._reading:
            offset = self._next
            if offset < self._source.size and self._source.at_hand(offset, self._chunk) is None:
                data = await self._source.read(offset, self._chunk)
                if len(data) < min(self._chunk, self._source.size - offset):
                    raise OSError(f"{self._source.path}: it became shorter while it was sent")

    def _takes(self, end: int, turn: int, there: int) -> bool:
        """Take note of an answer; gives whether it is better to wait a little."""
        self._source.check(there)
        if there > self.there:
            self.there = there
            self._idle_turns = 0
            self._on_progress(there)
        if self._changed is not None:
            self._changed.set()
            self._changed = None
        if there >= end or turn != self._turn:
            return False
        self._turn += 1
        self._next = there
        self._idle_turns += 1
        if self._idle_turns > _MOST_IDLE_TURNS:
            raise MalformedResponse("the device takes no more bytes, and does not say why")
        return self._idle_turns > 1
