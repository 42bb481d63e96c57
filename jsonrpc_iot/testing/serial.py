"""Serial lines for tests: noisy, slow, cut and unplugged on purpose, the same each time."""

import random
import tempfile
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final, Generic, Literal, TypeVar, final, overload

import anyio
import anyio.lowlevel
from anyio.abc import ByteStream, TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from msgspec import Struct

from ..transports.serial.pty import open_pty

T = TypeVar("T", ByteStream, str)

_PIECE: Final = 64
_WAITING_PIECES: Final = 1024
_BITS_PER_BYTE: Final = 10  # 8N1: a start bit, eight of data, a stop bit


class LineFaults(Struct, frozen=True, kw_only=True):
    """What goes wrong with bytes in one direction; each a probability from 0 to 1 per byte.

    Args:
        drop: it never arrives.
        flip: one of its bits is another one.
        insert: a random byte comes before it.
    """

    drop: float = 0.0
    flip: float = 0.0
    insert: float = 0.0


class LineCounts(Struct, kw_only=True):
    """What has happened to the bytes of one direction.

    Args:
        sent: by the one end.
        delivered: to the other end, inserted ones included.
        dropped: by chance.
        flipped: with a wrong bit.
        inserted: by chance.
        lost: sent while the line was cut.
    """

    sent: int = 0
    delivered: int = 0
    dropped: int = 0
    flipped: int = 0
    inserted: int = 0
    lost: int = 0


@final
class LineWay:
    """One direction of a virtual line.

    Args:
        faults: what goes wrong; may be replaced at any time.
        seed: gives the same faults for the same bytes.
        baudrate: bits per second, ten to a byte; `None` takes no time.

    Attributes:
        counts: what has happened.
        is_cut: whether all bytes are lost.
    """

    def __init__(self, faults: LineFaults, seed: str, baudrate: int | None) -> None:
        self.faults = faults
        self.counts = LineCounts()
        self.is_cut = False
        self._random = random.Random(seed)
        self._byte_seconds = _BITS_PER_BYTE / baudrate if baudrate else 0.0
        self._free_at = 0.0

    async def carry(self, data: bytes) -> bytes:
        """Take the time that bytes need on the line, and return what arrives."""
        if self._byte_seconds:
            start = max(self._free_at, anyio.current_time())
            self._free_at = start + len(data) * self._byte_seconds
            await anyio.sleep_until(self._free_at)
        self.counts.sent += len(data)
        if self.is_cut:
            self.counts.lost += len(data)
            return b""
        arriving = self._spoil(data)
        self.counts.delivered += len(arriving)
        return arriving

    def _spoil(self, data: bytes) -> bytes:
        faults, counts = self.faults, self.counts
        arriving = bytearray()
        for byte in data:
            if self._chance(faults.insert):
                counts.inserted += 1
                arriving.append(self._random.randrange(256))
            if self._chance(faults.drop):
                counts.dropped += 1
            elif self._chance(faults.flip):
                counts.flipped += 1
                arriving.append(byte ^ 1 << self._random.randrange(8))
            else:
                arriving.append(byte)
        return bytes(arriving)

    def _chance(self, probability: float) -> bool:
        return probability > 0 and self._random.random() < probability


class VirtualSerial(ABC, Generic[T]):
    """Two ends of a serial line; `virtual_serial_pair` makes one.

    Attributes:
        first: the one end, a stream or the path of a device; a new stream after `replug`.
        second: the other end.
        to_first: what happens to bytes from second to first.
        to_second: what happens to bytes from first to second.
    """

    first: T
    second: T

    def __init__(self, to_first: LineWay, to_second: LineWay) -> None:
        self.to_first = to_first
        self.to_second = to_second

    def set_faults(self, faults: LineFaults) -> None:
        """Let that go wrong in both directions from here on."""
        self.to_first.faults = self.to_second.faults = faults

    def cut(self) -> None:
        """Cut the wire: bytes are lost, and neither end notices."""
        self.to_first.is_cut = self.to_second.is_cut = True

    def mend(self) -> None:
        """Join the wire again."""
        self.to_first.is_cut = self.to_second.is_cut = False

    @abstractmethod
    async def unplug(self) -> None:
        """Take both adapters away: streams break, devices are gone."""

    async def replug(self) -> None:
        """Plug both adapters in again, in the same places."""
        await self.unplug()
        self._plug()

    @abstractmethod
    def _plug(self) -> None: ...


Pair = AbstractAsyncContextManager[VirtualSerial[T]]


@overload
def virtual_serial_pair(
    faults: LineFaults = ...,
    *,
    seed: int = ...,
    baudrate: int | None = ...,
    paths: Literal[False] = ...,
) -> Pair[ByteStream]: ...
@overload
def virtual_serial_pair(
    faults: LineFaults = ...,
    *,
    seed: int = ...,
    baudrate: int | None = ...,
    paths: Literal[True],
) -> Pair[str]: ...
def virtual_serial_pair(
    faults: LineFaults = LineFaults(),  # noqa: B008  # frozen
    *,
    seed: int = 0,
    baudrate: int | None = None,
    paths: bool = False,
) -> Pair[ByteStream] | Pair[str]:
    """Two ends of a serial line, while the block runs.

    Args:
        faults: what goes wrong, in both directions to begin with.
        seed: gives the same faults for the same bytes.
        baudrate: bits per second, ten to a byte; `None` takes no time.
        paths: the ends are paths of devices, for programs to open; streams otherwise.

    Raises:
        UsageError: paths are asked for, and the system has no ptys.
    """
    to_first = LineWay(faults, f"{seed} to first", baudrate)
    to_second = LineWay(faults, f"{seed} to second", baudrate)
    return _devices(to_first, to_second) if paths else _streams(to_first, to_second)


@asynccontextmanager
async def _streams(
    to_first: LineWay, to_second: LineWay
) -> AsyncIterator[VirtualSerial[ByteStream]]:
    pair = _Streams(to_first, to_second)
    try:
        yield pair
    finally:
        await pair.unplug()


@asynccontextmanager
async def _devices(to_first: LineWay, to_second: LineWay) -> AsyncIterator[VirtualSerial[str]]:
    with tempfile.TemporaryDirectory() as folder:
        async with anyio.create_task_group() as tasks:
            pair = _Devices(to_first, to_second, Path(folder), tasks)
            try:
                yield pair
            finally:
                with anyio.CancelScope(shield=True):
                    await pair.unplug()
                tasks.cancel_scope.cancel()


@final
class _Streams(VirtualSerial[ByteStream]):
    """Both ends in memory."""

    def __init__(self, to_first: LineWay, to_second: LineWay) -> None:
        super().__init__(to_first, to_second)
        self._plug()

    def _plug(self) -> None:
        into_first, out_first = anyio.create_memory_object_stream[bytes](_WAITING_PIECES)
        into_second, out_second = anyio.create_memory_object_stream[bytes](_WAITING_PIECES)
        self._ends = (
            _End(self.to_second, into_second, out_first),
            _End(self.to_first, into_first, out_second),
        )
        self.first, self.second = self._ends

    async def unplug(self) -> None:
        for end in self._ends:
            end.unplug()
        await anyio.lowlevel.checkpoint()


@final
class _End(ByteStream):
    """One end in memory. Nobody at the other one is noticed by nobody, as on a real line."""

    def __init__(
        self,
        way: LineWay,
        there: MemoryObjectSendStream[bytes],
        here: MemoryObjectReceiveStream[bytes],
    ) -> None:
        self._way = way
        self._there = there
        self._here = here
        self._rest = b""
        self._closed = False
        self._unplugged = False

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Wait for bytes; raises `BrokenResourceError` when this end is unplugged."""
        if self._unplugged or self._closed or not self._rest:
            try:
                self._check()
                self._rest = await self._here.receive()
            except (anyio.EndOfStream, anyio.ClosedResourceError):
                self._check()
                await anyio.sleep_forever()
        else:
            await anyio.lowlevel.checkpoint()
        data, self._rest = self._rest[:max_bytes], self._rest[max_bytes:]
        return data

    async def send(self, item: bytes) -> None:
        """Send bytes in the time that they need; raises `BrokenResourceError` when unplugged."""
        await anyio.lowlevel.checkpoint()
        self._check()
        for start in range(0, len(item), _PIECE):
            arriving = await self._way.carry(bytes(item[start : start + _PIECE]))
            self._check()
            if arriving:
                try:
                    await self._there.send(arriving)
                except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                    self._check()

    def unplug(self) -> None:
        """Break this end."""
        self._unplugged = True
        self._there.close()
        self._here.close()

    async def send_eof(self) -> None:
        """Do nothing: a serial line has no way to say that no more will come."""
        await anyio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """Close this end."""
        self._closed = True
        self._here.close()
        await anyio.lowlevel.checkpoint()

    def _check(self) -> None:
        if self._closed:
            raise anyio.ClosedResourceError
        if self._unplugged:
            raise anyio.BrokenResourceError


@final
class _Devices(VirtualSerial[str]):
    """Both ends as ptys, with links that keep their names over `replug`."""

    def __init__(
        self, to_first: LineWay, to_second: LineWay, folder: Path, tasks: TaskGroup
    ) -> None:
        super().__init__(to_first, to_second)
        self.first, self.second = str(folder / "first"), str(folder / "second")
        self._tasks = tasks
        self._masters: tuple[ByteStream, ...] = ()
        self._plug()

    def _plug(self) -> None:
        first, second = open_pty(self.first)[0], open_pty(self.second)[0]
        self._masters = first, second
        self._tasks.start_soon(_pump, first, self.to_second, second)
        self._tasks.start_soon(_pump, second, self.to_first, first)

    async def unplug(self) -> None:
        masters, self._masters = self._masters, ()
        for master in masters:
            await master.aclose()


async def _pump(source: ByteStream, way: LineWay, sink: ByteStream) -> None:
    """Carry bytes from one end to the other until either is unplugged."""
    try:
        while True:
            arriving = await way.carry(await source.receive(_PIECE))
            if arriving:
                await sink.send(arriving)
    except anyio.ClosedResourceError:
        return
