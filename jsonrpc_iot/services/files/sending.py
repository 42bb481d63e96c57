"""Sending a file to a device, for as long as it takes: what `put` and `update` share.

The device says where to go on. Several writes are open at once; where one is lost or overtaken, the
answers to those behind it say so at once, and the sender goes back there. After a cut, or when
either end was restarted, `begin` is called again.
"""

import math
import time
from collections.abc import Awaitable, Callable
from functools import partial

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
    MessageTooLarge,
    OutcomeUnknown,
    TooLarge,
)

from .interface import Begun, TransferId, Written, WrongHash
from .pace import Pace
from .room import window, write_room
from .source import Source
from .stretch import Stretch

Progress = Callable[[int, int], object]
"""Is told how many bytes have arrived, and of how many."""

Write = Callable[[TransferId, int, bytes], Awaitable[Written]]

PASSING: tuple[type[Exception], ...] = (Busy, CallTimeout, Cancelled, ChannelClosed)
PASSING += (DeadlineExceeded, DeviceOffline, OutcomeUnknown)
"""What goes over: a cut, a reboot, too much at once."""

_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 5.0
_LOST_TRANSFERS = 3


def smaller(chunk: int, error: MessageTooLarge | TooLarge) -> int:
    """How many bytes to put into a message after so many were too many.

    Raises:
        MessageTooLarge: not even one fits.
        TooLarge: as above.
    """
    if chunk == 1:
        raise error
    if isinstance(error, MessageTooLarge):  # in Base64 3 bytes are 4
        left = chunk - -(-(error.size - error.limit) * 3 // 4)
        return max(1, left // 3 * 3)
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
        self._pace = Pace()
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
                self._pace.failed(error)
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
            chunk = min(write_room(self._client.info, self._source.size, self._method), self._most)
            writes = min(begun.window or 1, window(self._client.info))
            self._pace.bound(min(chunk, begun.chunk or chunk), writes)
            stretch = Stretch(self._source, write, there, self._pace, self._note)
            try:
                await stretch.run(writes)
            except (MessageTooLarge, TooLarge) as error:
                self._most = smaller(self._pace.chunk, error)
                there = stretch.there
            else:
                return

    def _note(self, offset: int) -> None:
        self._patience.renew()
        self._tell(offset)

    def _tell(self, offset: int) -> None:
        if self._progress is not None:
            self._progress(offset, self._source.size)
