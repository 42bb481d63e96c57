"""The event loop and its time, where they are asked for with each message."""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

_MARGIN = 0.1
"""Of the time that is left, what it takes to say why it was not enough."""


def asyncio_loop() -> "AbstractEventLoop | None":
    """The running event loop of asyncio, `None` on trio."""
    asyncio = sys.modules.get("asyncio")  # which takes long to load, and is not for everybody
    if asyncio is None:
        return None
    try:
        loop: AbstractEventLoop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    return loop


def name_asyncio() -> None:
    """Have anyio know that it runs on asyncio, also in callbacks that begin in this context."""
    if sniffio := sys.modules.get("sniffio"):  # which anyio asks, where it is installed
        sniffio.current_async_library_cvar.set("asyncio")


def now() -> float:
    """The same as `anyio.current_time()`, which takes ten times as long to find an asyncio loop."""
    loop = asyncio_loop()
    return anyio.current_time() if loop is None else loop.time()


def in_time(seconds: float) -> float:
    """How long something may take, so that who waits for it learns why it came to nothing.

    That is a bit less than is left until somebody gives up who could not say.

    Args:
        seconds: that it takes at most, whoever waits.
    """
    left = anyio.current_effective_deadline() - anyio.current_time()
    return min(seconds, max(left, 0.0) * (1 - _MARGIN))


def clock() -> Callable[[], float]:
    """What gives that time in the fastest way, for who asks again and again on one event loop."""
    loop = asyncio_loop()
    if loop is None:
        return anyio.current_time
    usual = sys.modules["asyncio"].BaseEventLoop.time
    return time.monotonic if getattr(loop.time, "__func__", None) is usual else now
