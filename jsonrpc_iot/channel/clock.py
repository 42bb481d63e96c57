"""The event loop's time, where it is asked for with each message."""

import sys

import anyio


def now() -> float:
    """The same as `anyio.current_time()`, which takes ten times as long to find an asyncio loop."""
    asyncio = sys.modules.get("asyncio")  # which takes long to load, and is not for everybody
    if asyncio is not None:
        try:
            seconds: float = asyncio.get_running_loop().time()
        except RuntimeError:  # trio
            pass
        else:
            return seconds
    return anyio.current_time()
