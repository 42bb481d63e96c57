"""What comes item by item, for threads: the items of a call, notifications, an event's values."""

import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from enum import Enum, auto
from functools import partial
from typing import Any, Generic, Self, TypeVar

import anyio

from ..errors import ChannelClosed
from ..peer.stream import RemoteStream
from ._link import Link

T = TypeVar("T")

_AT_ONCE = 64  # items that cross from one thread to the other: to wake it costs more than an item


class Nothing(Enum):
    """Why there is no item: the end, or none in time."""

    END = auto()
    LATE = auto()


class Source(Generic[T]):
    """An asynchronous iterator, or a context manager that gives one; in the event loop's thread.

    Args:
        link: closes it when the client closes.
        make: called when the first item is wanted, or by `open`.
    """

    def __init__(self, link: Link, make: Callable[[], Any]) -> None:
        self._link = link
        self._make = make
        self._items: AsyncIterator[T] | None = None
        self._exits = AsyncExitStack()
        self._waits: set[anyio.CancelScope] = set()
        self._is_closed = False

    async def open(self) -> AsyncIterator[T]:
        """The iterator, which is made the first time."""
        if self._items is None:
            self._link.resources.add(self)
            made = self._make()
            if hasattr(made, "__aenter__"):
                made = await self._exits.enter_async_context(made)
            elif hasattr(made, "aclose"):
                self._exits.push_async_callback(made.aclose)
            self._items = aiter(made)
        return self._items

    async def next(self, timeout: float | None = None) -> T | Nothing:
        """The next item, or why there is none."""
        if self._is_closed:
            return Nothing.END
        items = await self.open()
        with anyio.move_on_after(timeout) as wait:
            self._waits.add(wait)
            try:
                return await anext(items, Nothing.END)
            finally:
                self._waits.discard(wait)
        return self._why()

    async def next_ones(self) -> list[T | Nothing]:
        """The next item, or why there is none, and items behind it that have come already."""
        first = await self.next()
        if isinstance(first, Nothing) or not isinstance(self._items, RemoteStream):
            return [first]
        return [first, *self._items.ready(_AT_ONCE)]

    def _why(self) -> Nothing:
        """Why a wait was cut short."""
        return Nothing.END if self._is_closed else Nothing.LATE

    async def aclose(self) -> None:
        """End it; doing so again does nothing."""
        self._is_closed = True
        self._link.resources.discard(self)
        for wait in self._waits:
            wait.cancel()
        await self._exits.aclose()

    def close_soon(self) -> None:
        """End it without waiting; any thread may call it at any moment."""
        self._link.run_soon(self.aclose)


class BlockingStream(Generic[T]):
    """The items of a list, as they come; `BlockingClient.stream` makes one.

    Iterate over it once. To leave the loop, or to be interrupted in it, is to cancel the call: at
    once on CPython; `with stream:` around the loop makes it certain everywhere.

    Args:
        owner: kept as long as this is, for whose sake it is open.
        link: runs it.
        make: makes the asynchronous iterator.
    """

    def __init__(self, owner: object, link: Link, make: Callable[[], Any]) -> None:
        self._owner = owner
        self._link = link
        self._source: Source[T] = Source(link, make)
        self._ready: deque[T | Nothing] = deque()
        weakref.finalize(self, self._source.close_soon).atexit = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        while (item := self._take()) is Nothing.LATE:
            self._fetch()
        if isinstance(item, Nothing):
            raise StopIteration
        return item

    def _take(self) -> T | Nothing:
        """What has been fetched already."""
        try:
            return self._ready.popleft()
        except IndexError:
            return Nothing.LATE

    def _fetch(self) -> None:
        try:
            self._ready.extend(self._link.run(self._source.next_ones))
        except BaseException:
            self._source.close_soon()
            raise

    def close(self) -> None:
        """End it; a call is cancelled, unless all its items are here."""
        self._ready.clear()
        with suppress(ChannelClosed):
            self._link.run(self._source.aclose)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()


class BlockingFeed(BlockingStream[T], Generic[T]):
    """Notifications, or an event's values; `BlockingClient.notifications` makes one.

    It takes note of what comes from the beginning until `close` or the end of its `with` block, and
    may be iterated over any number of times meanwhile. It ends with the channel, unless the client
    reconnects.

    Args:
        owner: kept as long as this is.
        link: runs it.
        make: makes the asynchronous iterator.
        timeout: seconds without anything new after which a loop over it ends, `None` for never.
    """

    def __init__(
        self, owner: object, link: Link, make: Callable[[], Any], timeout: float | None
    ) -> None:
        super().__init__(owner, link, make)
        self._timeout = timeout
        link.run(self._source.open)

    def __next__(self) -> T:
        try:
            return self.receive(self._timeout)
        except (TimeoutError, ChannelClosed):
            raise StopIteration from None

    def receive(self, timeout: float | None = None) -> T:
        """The next one.

        Args:
            timeout: seconds to wait for it, `None` for ever.

        Raises:
            TimeoutError: nothing came in time.
            ChannelClosed: nothing comes any more.
        """
        item = self._link.run(partial(self._source.next, timeout))
        if item is Nothing.END:
            raise ChannelClosed(f"{self._link.name}: closed, nothing comes any more")
        if item is Nothing.LATE:
            raise TimeoutError(f"{self._link.name}: nothing came within {timeout or 0:g} s")
        return item
