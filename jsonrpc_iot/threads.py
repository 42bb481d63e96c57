"""Handlers in worker threads, as many at once as anyio's default limiter allows.

A thread cannot be stopped. So a call that is cancelled leaves its thread behind, and that thread
keeps its place until it ends; otherwise impatient callers could have any number of them.
"""

import math
import threading
from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.from_thread
import anyio.to_thread

T = TypeVar("T")


async def run_in_thread(function: Callable[[], T]) -> T:
    """Run a function in a worker thread; a cancelled call that has not begun never does."""
    limiter = anyio.to_thread.current_default_thread_limiter()
    place = object()
    await limiter.acquire_on_behalf_of(place)
    lock = threading.Lock()
    claimed = False

    def claim() -> bool:
        nonlocal claimed
        with lock:
            first, claimed = not claimed, True
            return first

    def work() -> T | None:
        if not claim():
            return None
        try:
            return function()
        finally:
            anyio.from_thread.run_sync(limiter.release_on_behalf_of, place)

    try:
        result = await anyio.to_thread.run_sync(
            work, abandon_on_cancel=True, limiter=anyio.CapacityLimiter(math.inf)
        )
    finally:
        if claim():
            limiter.release_on_behalf_of(place)
    return result  # type: ignore[return-value]  # `None` only for those who are gone
