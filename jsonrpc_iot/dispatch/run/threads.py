"""Handlers in worker threads, as many at once as anyio's default limiter allows.

A thread cannot be stopped. So a call that is cancelled leaves its thread behind, and that thread
keeps its place until it ends; otherwise impatient callers could have any number of them.
"""

import math
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread

from ..turns import Hold

T = TypeVar("T")


async def run_in_thread(function: Callable[[], T], hold: Hold | None = None) -> T:
    """Run a function in a worker thread; a cancelled call that has not begun never does.

    Args:
        function: what runs.
        hold: kept until the thread ends, which may be long after a cancelled call is over.
    """
    limiter = anyio.to_thread.current_default_thread_limiter()
    place = object()
    await limiter.acquire_on_behalf_of(place)
    if hold is not None:
        hold.take()
    soon = call_soon()
    lock = threading.Lock()
    claimed = False

    def claim() -> bool:
        nonlocal claimed
        with lock:
            first, claimed = not claimed, True
            return first

    def leave() -> None:
        limiter.release_on_behalf_of(place)
        if hold is not None:
            hold.let_go()

    def work() -> T | None:
        if not claim():
            return None
        try:
            return function()
        finally:
            with suppress(RuntimeError):  # the event loop is closed, and nobody wants the place
                soon(leave)

    try:
        result = await anyio.to_thread.run_sync(
            work, abandon_on_cancel=True, limiter=anyio.CapacityLimiter(math.inf)
        )
    finally:
        if claim():
            leave()
    return result  # type: ignore[return-value]  # `None` only for those who are gone


def call_soon() -> Callable[[Callable[[], None]], object]:
    """What a thread has a function called with on this event loop, without waiting for it.

    anyio waits, and the loop that is waited for may be closing.
    """
    loop: Any = anyio.lowlevel.current_token().native_token
    name = "run_sync_soon" if hasattr(loop, "run_sync_soon") else "call_soon_threadsafe"
    soon: Callable[[Callable[[], None]], object] = getattr(loop, name)  # trio's or asyncio's
    return soon
