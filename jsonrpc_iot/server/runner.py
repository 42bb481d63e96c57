"""Runs peers, each in a task as long as it needs one."""

import logging
from collections.abc import Callable

from anyio.abc import TaskGroup

from ..peer.peer import Peer
from ..protocol.about import about

logger = logging.getLogger("jsonrpc_iot.server")


class Runner:
    """Runs peers until they are gone; one that rests has no task.

    Args:
        tasks: where a peer goes on that has rested.
        on_gone: is called with each peer that is gone.

    Attributes:
        wake: has a peer that rests go on; all peers share it.
    """

    def __init__(self, tasks: TaskGroup, on_gone: Callable[[Peer], object]) -> None:
        self._tasks = tasks
        self._on_gone = on_gone
        self.wake: Callable[[Peer], object] = self._wake

    async def run(self, peer: Peer) -> bool:
        """Run a peer until it rests or is gone; says whether it rests."""
        rests = False
        try:
            rests = await peer.run()
        finally:
            if not rests:
                self._on_gone(peer)
        return rests

    def _wake(self, peer: Peer) -> None:
        self._tasks.start_soon(self._go_on, peer)

    async def _go_on(self, peer: Peer) -> None:
        try:
            await self.run(peer)
        except Exception:
            logger.exception("%s: serving failed", peer.info.peer, extra=about(peer.info.peer))
