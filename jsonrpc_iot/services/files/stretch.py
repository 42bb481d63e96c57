"""The rest of a file on its way to a device, with several writes open at once."""

from collections.abc import Awaitable, Callable

import anyio

from jsonrpc_iot import MalformedResponse

from .interface import Written
from .pace import Pace
from .source import Source

_PAUSE_SECONDS = 0.25
_MOST_IDLE_TURNS = 100


class Stretch:
    """The rest of a file, written with several writes open at once.

    Args:
        source: the file.
        write: has the device take some bytes; gives how many it has.
        start: how many it has.
        pace: says how much to write at once.
        on_progress: is told how many it has.

    Attributes:
        there: how many bytes the device has.
    """

    def __init__(
        self,
        source: Source,
        write: Callable[[int, bytes], Awaitable[Written]],
        start: int,
        pace: Pace,
        on_progress: Callable[[int], object],
    ) -> None:
        self.there = start
        self._on_progress = on_progress
        self._source = source
        self._write = write
        self._pace = pace
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
                if self._next < self._source.size and not self._pace.is_full:
                    await self._write_next()
                else:  # and what is under way may have been lost
                    self._changed = self._changed or anyio.Event()
                    await self._changed.wait()
        except Exception as error:  # noqa: BLE001  # of which the first is raised outside
            self._failure = self._failure or error
        scope.cancel()

    async def _write_next(self) -> None:
        offset, turn = self._next, self._turn
        data = self._source.at_hand(offset, self._pace.chunk)
        if data is None:
            await self._read_next()
            return
        self._next = offset + len(data)
        began = self._pace.start()
        written = await self._write(offset, data)
        self._pace.answered(began)
        if self._takes(offset + len(data), turn, written.offset):
            await anyio.sleep(_PAUSE_SECONDS)

    async def _read_next(self) -> None:
        """Have what is next at hand."""
        async with self._reading:
            offset, chunk = self._next, self._pace.chunk
            if offset < self._source.size and self._source.at_hand(offset, chunk) is None:
                data = await self._source.read(offset, chunk)
                if len(data) < min(chunk, self._source.size - offset):
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
        self._pace.lost()
        self._idle_turns += 1
        if self._idle_turns > _MOST_IDLE_TURNS:
            raise MalformedResponse("the device takes no more bytes, and does not say why")
        return self._idle_turns > 1
