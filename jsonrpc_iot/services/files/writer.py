"""Writes of an event loop: most of them wait for nothing, the others for their turn at the disk."""

from functools import partial

import anyio
import anyio.to_thread

from .transfers import Transfers


class Writer:
    """Takes the writes for some transfers in the order in which they come.

    Args:
        transfers: what is written.
    """

    def __init__(self, transfers: Transfers) -> None:
        self._transfers = transfers
        self._turns = anyio.Lock(fast_acquire=True)

    async def write(self, id: str, offset: int, data: bytes) -> int:
        """Take the next bytes; see `Transfers.write`."""
        if not self._turns.locked():
            there = self._transfers.write_soon(id, offset, data)
            if there is not None:
                return there
        async with self._turns:
            there = self._transfers.write_soon(id, offset, data)
            if there is not None:
                return there
            write = partial(self._transfers.write, id, offset, data)
            return await anyio.to_thread.run_sync(write)
