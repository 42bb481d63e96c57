"""What comes item by item, as interfaces declare it, and the async generator that gives it."""

from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from functools import wraps
from inspect import isasyncgenfunction
from typing import Any, Generic, ParamSpec, TypeVar, cast

from ...errors import MalformedResponse

P = ParamSpec("P")
T = TypeVar("T")


class Stream(AsyncIterator[T], Generic[T]):
    """The items of a list, as they come; `Client.stream` and methods of proxies give one.

    Iterate over it once, with `async for`. The request is sent with the first step. To leave the
    loop is to cancel the call: at once on CPython; `async with stream:` around the loop makes that
    certain everywhere.
    """

    def __aiter__(self) -> "Stream[T]":
        return self

    @abstractmethod
    async def __anext__(self) -> T:
        """The next item.

        Raises:
            StopAsyncIteration: that was the last one.
            RpcError: the device ended the stream with an error.
            CallTimeout: no item came in time.
            JsonRpcIotError: whatever else a call may come to; see `Client.call`.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Take no more items; the call is cancelled if it still runs."""

    async def __aenter__(self) -> "Stream[T]":
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self.aclose()


class NoItems(MalformedResponse):
    """The answer to a call for items is a result that is no list.

    Args:
        method: that was called.
        result: as it came, or decoded where the items would have been.
    """

    def __init__(self, method: str, result: Any) -> None:
        super().__init__(f"{method}: the result is no list, so it has no items to stream")
        self.result = result


class _Generated(Stream[T]):
    """The items of an async generator of this program."""

    def __init__(self, items: AsyncGenerator[T, None]) -> None:
        self._items = items

    async def __anext__(self) -> T:
        return await anext(self._items)

    async def aclose(self) -> None:
        await self._items.aclose()


def stream(function: Callable[P, AsyncIterator[T]]) -> Callable[P, Stream[T]]:
    """Make an async generator function one that gives a `Stream`, as its interface declares.

    Raises:
        TypeError: it is no async generator function.
    """
    if not isasyncgenfunction(function):
        raise TypeError(f"{function!r} is no async generator function: it has no `yield`")

    @wraps(function)
    def begin(*args: P.args, **named: P.kwargs) -> Stream[T]:
        return _Generated(cast(AsyncGenerator[T, None], function(*args, **named)))

    begin.__rpc_stream__ = True  # type: ignore[attr-defined]
    return begin


def gives_items(function: Callable[..., Any]) -> bool:
    """Whether calling it gives an asynchronous iterator that is to be closed."""
    return isasyncgenfunction(function) or hasattr(function, "__rpc_stream__")
