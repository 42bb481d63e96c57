"""Patience: how long tests wait for what must happen, and how."""

from collections.abc import Callable
from typing import Any

import anyio

SECONDS = 20.0
"""Longer than what a test waits for takes; who waits longer has failed."""


class Tally:
    """Counts, and lets a test wait until it has counted far enough."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self._changed = anyio.Event()

    def add(self, item: object = None) -> None:
        self.items.append(item)
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    async def reach(self, count: int) -> None:
        with anyio.fail_after(SECONDS):
            while len(self.items) < count:
                await self._changed.wait()


async def eventually(condition: Callable[[], object], seconds: float = SECONDS) -> None:
    """Look until a condition holds that no event tells of."""
    with anyio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110  # there is no event
            await anyio.sleep(0.002)
