"""A bus for a platform that is one process."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from .bus import Bus


class LocalBus(Bus):
    """Carries hints within this process alone."""

    address = "local"

    @asynccontextmanager
    async def _running(self) -> AsyncGenerator[None, None]:
        yield
