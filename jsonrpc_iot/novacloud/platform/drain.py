"""Letting devices go a few at a time, so that they spread over the other nodes in peace."""

import math
from collections.abc import Callable

import anyio

from .platform import NovaPlatform

_SLICE_SECONDS = 0.25
_PROGRESS_SECONDS = 1.0


async def drain(
    platform: NovaPlatform, seconds: float, on_progress: Callable[[int], object] = lambda _: None
) -> None:
    """Let no device in any more, and those that are here go one slice after the other.

    A device that is let go comes again by itself, after a pause of its own.

    Args:
        platform: whose devices.
        seconds: how long it takes until the last one is gone.
        on_progress: is told every second how many devices are left.
    """
    await platform.entrance.close()
    sessions = platform.presence.sessions
    end = anyio.current_time() + seconds
    told = -math.inf
    while sessions:
        now = anyio.current_time()
        if now >= told + _PROGRESS_SECONDS:
            told = now
            on_progress(len(sessions))
        left = max(0.0, end - now)
        slices = max(1, round(left / _SLICE_SECONDS))
        count = -(-len(sessions) // slices)
        for session in [*sessions.values()][:count]:
            platform.presence.end(session, "the node stops, come to another one")
        if sessions:
            await anyio.sleep(left / slices)
