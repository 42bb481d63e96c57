"""Results that come item by item, from the caller's side."""

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")


class Stream(Generic[T]):
    """The items of a list, as they come; `Client.stream` makes one.

    Iterate over it once, with `async for`. To leave the loop is to cancel the call: at once on
    CPython; `async with stream:` around the loop makes it certain everywhere.
    """

    def __init__(self, fetch: Callable[[], Awaitable[list[T]]]) -> None:
        self._fetch = fetch
        self._items: list[T] | None = None

    def __aiter__(self) -> "Stream[T]":
        return self

    async def __anext__(self) -> T:
        if self._items is None:
            self._items = (await self._fetch())[::-1]
        if not self._items:
            raise StopAsyncIteration
        return self._items.pop()

    async def aclose(self) -> None:
        """Cancel the call, unless all items are here."""
        self._items = []

    async def __aenter__(self) -> "Stream[T]":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
