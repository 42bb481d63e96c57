"""A service's methods and events for threads, on top of the asynchronous proxy."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial, wraps
from inspect import isawaitable
from typing import Any, Generic, TypeVar

import anyio

from ..dispatch.run.threads import run_in_thread
from ..errors import ChannelClosed
from ._link import Link
from ._streams import BlockingFeed, BlockingStream

T = TypeVar("T")

logger = logging.getLogger("jsonrpc_iot.blocking")

_WAITING_VALUES = 256


class BlockingProxy:
    """A service of the device; `BlockingClient.proxy` makes one.

    Methods wait and return the value, or an iterator where the service has an asynchronous one.

    Args:
        owner: the client, kept as long as this is.
        link: runs the methods.
        proxy: the asynchronous proxy.
    """

    def __init__(self, owner: object, link: Link, proxy: Any) -> None:
        self._owner = owner
        self._link = link
        self._proxy = proxy

    def __dir__(self) -> list[str]:
        return dir(self._proxy)

    def __repr__(self) -> str:
        return f"<BlockingProxy of {self._proxy!r}>"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # notebooks look for many
            raise AttributeError(name)
        value = getattr(self._proxy, name)
        if hasattr(value, "subscribe"):
            return BlockingEvent(self._owner, self._link, value)
        return self._wrapped(value) if callable(value) else value

    def _wrapped(self, function: Callable[..., Any]) -> Callable[..., Any]:
        async def run(*args: Any, **named: Any) -> Any:
            answer = function(*args, **named)
            return await answer if isawaitable(answer) else answer

        @wraps(function)
        def call(*args: Any, **named: Any) -> Any:
            answer = self._link.run(partial(run, *args, **named))
            if isinstance(answer, AsyncIterator):
                return BlockingStream(self._owner, self._link, lambda: answer)
            return answer

        return call


class BlockingEvent(Generic[T]):
    """An event of a service of the device.

    Args:
        owner: the client, kept as long as this is.
        link: runs it.
        event: the asynchronous proxy's.
    """

    def __init__(self, owner: object, link: Link, event: Any) -> None:
        self._owner = owner
        self._link = link
        self._event = event

    def subscribe(self, subscriber: Callable[[T], object]) -> Callable[[], None]:
        """Have a function called with each value: in a worker thread, one at a time, in order.

        Up to 256 values wait; more are dropped, and logged.

        Returns:
            A function that ends the subscription.
        """
        send, receive = anyio.create_memory_object_stream[T](_WAITING_VALUES)

        def take(value: T) -> None:
            try:
                send.send_nowait(value)
            except anyio.WouldBlock:
                logger.warning("%r is too slow: dropped a value", subscriber)

        async def deliver() -> None:
            with send, receive:
                async for value in receive:
                    try:
                        await run_in_thread(partial(subscriber, value))
                    except Exception:
                        logger.exception("a listener failed: %r", subscriber)

        unsubscribe = self._link.run_sync(partial(self._event.subscribe, take))
        self._link.run_soon(deliver)

        def close() -> None:
            unsubscribe()
            send.close()

        def leave() -> None:
            with suppress(ChannelClosed):
                self._link.run_sync(close)

        return leave

    def values(self, timeout: float | None = None) -> BlockingFeed[T]:
        """The values that come from this moment on.

        Args:
            timeout: seconds without any after which a loop over them ends, `None` for never.
        """
        return BlockingFeed(self._owner, self._link, self._event.values, timeout)
