"""Reading what the event loop watches, for as little as that takes."""

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar, cast

import anyio
import anyio.lowlevel

from ..channel.clock import asyncio_loop, name_asyncio

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future

    from .poller import Poller

T = TypeVar("T")


class Readable(Generic[T]):
    """Reads a descriptor whenever there is something to read, and one time ahead at most.

    `anyio.wait_readable` has the event loop begin and stop to watch with each wait, which takes as
    long as answering a small request does. On asyncio this one goes on watching, and what comes is
    read in the loop's own callback; where that read ahead and nobody waits, it stops.

    Args:
        descriptor: of a socket or the like that does not block.
        read: reads; raises `BlockingIOError` when nothing is there after all, and `OSError` or
            what else whoever waits is to get.

    Attributes:
        take: is offered what was read while somebody waits, or while it rests; returns what is left
            for him, `None` for nothing. The event loop calls it, outside of any task.
    """

    __slots__ = (
        "_ahead",
        "_descriptor",
        "_forgets_errors",
        "_is_closed",
        "_is_watched",
        "_loop",
        "_poller",
        "_read",
        "_waiter",
        "_wake",
        "take",
    )

    def __init__(self, descriptor: int, read: Callable[[], T]) -> None:
        self._descriptor = descriptor
        self._read = read
        self._loop: AbstractEventLoop | None = None
        self._poller: Poller | None = None
        self._is_watched = False
        self._is_closed = False
        self._forgets_errors = False
        self._waiter: Future[None] | None = None
        self._wake: Callable[[], object] | None = None
        self._ahead: tuple[T] | Exception | None = None
        self.take: Callable[[T], T | None] | None = None

    async def next(self) -> T:
        """Wait until something can be read, and read it; one that is cancelled loses nothing.

        Raises:
            anyio.ClosedResourceError: this end has closed it.
            anyio.BusyResourceError: another task waits already.
            OSError: what reading came to.
        """
        self._wake = None
        if self._is_closed:
            raise anyio.ClosedResourceError
        if self._waiter is not None:
            raise anyio.BusyResourceError("reading from")
        if self._ahead is not None:
            await anyio.lowlevel.checkpoint()  # a reader that never waits would stop all others
        elif self._watch():
            await self._wait()
        else:
            await self._wait_and_read()
        ahead, self._ahead = self._ahead, None
        if isinstance(ahead, Exception):
            raise ahead
        assert ahead is not None
        return ahead[0]

    def rest(self, wake: Callable[[], object], poller: "Poller | None" = None) -> bool:
        """Offer what comes though nobody waits, until something is left; see `Channel.rest`.

        Args:
            wake: as there.
            poller: watches on trio; by default nobody can rest there.
        """
        if self._is_closed or self._ahead is not None or not self._watch(poller):
            return False
        self._wake = wake
        return True

    @property
    def is_resting(self) -> bool:
        """Whether `rest` has begun, and nothing has ended it."""
        return self._wake is not None

    def fail(self, error: Exception) -> None:
        """Have whoever waits, or comes next, get an error, as if reading had come to that."""
        self._ahead = error
        self._stop_watching()
        self._tell()

    def close(self) -> None:
        """Watch no more; must come before the descriptor is closed."""
        if self._is_closed:
            return
        self._is_closed = True
        self._stop_watching()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(anyio.ClosedResourceError())
        self._tell()
        anyio.notify_closing(self._descriptor)

    def _watch(self, poller: "Poller | None" = None) -> bool:
        """Have asyncio watch, or a poller; says whether that can be."""
        if self._is_watched and self._poller is poller:
            return True
        self._stop_watching()
        self._loop = asyncio_loop()
        if self._loop is None:
            return self._watch_by(poller)
        self._forgets_errors = not isinstance(self._loop, sys.modules["asyncio"].BaseEventLoop)
        name_asyncio()
        try:
            self._loop.add_reader(self._descriptor, self._read_ahead)
        except NotImplementedError:  # Windows
            return False
        self._is_watched = True
        return True

    def _watch_by(self, poller: "Poller | None") -> bool:
        if poller is None or poller.is_closed():
            return False
        self._poller = poller
        poller.add_reader(self._descriptor, self._read_ahead)
        self._is_watched = True
        return True

    def _stop_watching(self) -> None:
        watcher = self._loop or self._poller
        if self._is_watched and watcher is not None and not watcher.is_closed():
            watcher.remove_reader(self._descriptor)
        self._is_watched = False

    async def _wait(self) -> None:
        assert self._loop is not None
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _read_ahead(self) -> None:
        if self._ahead is not None:  # and nobody has come for that since
            self._stop_watching()
            return
        is_awaited = self._wake is not None or self._is_awaited
        try:
            found: T | None = self._read()
            if is_awaited and self.take is not None:
                found = self.take(cast(T, found))
            self._ahead = None if found is None else (found,)
        except (BlockingIOError, InterruptedError):
            pass
        except Exception as error:  # noqa: BLE001  # it is whoever waits who gets it
            self._ahead = error
            self._stop_watching()
        if self._forgets_errors:
            self._watch_anew()
        if self._ahead is not None:
            self._tell()

    @property
    def _is_awaited(self) -> bool:
        return self._waiter is not None and not self._waiter.done()

    def _tell(self) -> None:
        """Let somebody come for what was read."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        wake, self._wake = self._wake, None
        if wake is not None:
            wake()

    def _watch_anew(self) -> None:
        """Have libuv go on: where there was an error beside the data, it has stopped by itself."""
        if self._is_watched and self._loop is not None:
            self._loop.remove_reader(self._descriptor)
            self._loop.add_reader(self._descriptor, self._read_ahead)

    async def _wait_and_read(self) -> None:
        while not self._has_ahead:
            await anyio.wait_readable(self._descriptor)
            with suppress(BlockingIOError, InterruptedError):
                if not self._has_ahead:  # else it has failed meanwhile
                    self._ahead = (self._read(),)

    @property
    def _has_ahead(self) -> bool:
        return self._ahead is not None
