"""Waiting that may be cancelled for what must not be, since it would leave something behind.

asyncpg has a moment at which the error of a connection that is given up is nobody's to see, and is
logged when it is forgotten: "Future exception was never retrieved".
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_GRACE_SECONDS = 0.1


class Undisturbed:
    """Work that goes on when nobody waits for it any more. Works on asyncio."""

    def __init__(self) -> None:
        self._going: set[asyncio.Task[Any]] = set()

    async def wait_for(
        self, work: Coroutine[Any, Any, T], leave: Callable[[T], Coroutine[Any, Any, object]]
    ) -> T:
        """Wait until work is done.

        Args:
            work: to be done to its end.
            leave: puts away what it returns, for who has been cancelled meanwhile.

        Raises:
            Exception: what the work raises.
        """
        task = self._start(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(lambda done: self._leave(done, leave))
            raise

    async def settle(self) -> None:
        """Have all of it end, and soon."""
        while self._going:
            _, late = await asyncio.wait(self._going, timeout=_GRACE_SECONDS)
            for task in late:
                task.cancel()

    def _leave(
        self, done: "asyncio.Task[T]", leave: Callable[[T], Coroutine[Any, Any, object]]
    ) -> None:
        if not done.cancelled() and done.exception() is None:
            _ = self._start(leave(done.result()))

    def _start(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        task = asyncio.create_task(work)
        self._going.add(task)
        task.add_done_callback(self._going.discard)
        return task
