"""The event loop's time, where it is asked for with each message."""

import asyncio

import anyio


def now() -> float:
    """The same as `anyio.current_time()`, which takes ten times as long to find an asyncio loop."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # trio
        return anyio.current_time()
    return loop.time()
