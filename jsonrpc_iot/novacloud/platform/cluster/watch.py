"""Learning what other nodes do: by hints at once, and by looking at the record all the time."""

import logging
from collections.abc import Awaitable, Callable

import anyio
import msgspec

from ...bus.bus import Bus
from ...bus.subjects import subject
from ...bus.subscribers import MISSED
from ...errors import StoreFailed
from ...store.nodes import Hold, Nodes
from ..node.membership import Membership

logger = logging.getLogger("jsonrpc_iot.novacloud")

_LOOK_SECONDS = 1.5

_holds = msgspec.json.Decoder(Hold)


class Watch:
    """Has a platform act upon what other nodes do.

    Args:
        nodes: of the record.
        membership: this node's.
        bus: brings hints.
        fence: is told of devices that a node has taken from another.
        refresh: is told of devices of which something was changed.
    """

    def __init__(
        self,
        nodes: Nodes,
        membership: Membership,
        bus: Bus,
        fence: Callable[[Hold], object],
        refresh: Callable[[str], Awaitable[object]],
    ) -> None:
        self._nodes = nodes
        self._membership = membership
        self._bus = bus
        self._fence = fence
        self._refresh = refresh
        self._seen: dict[str, float] = {}
        self._look_now = anyio.Event()

    def tell_taken(self, hold: Hold, previous: int) -> None:
        """Tell a node that a device is not its own any more."""
        self._bus.publish(subject("fence", str(previous)), msgspec.json.encode(hold))

    def tell_changed(self, device_id: str) -> None:
        """Tell all nodes that something of a device was changed."""
        self._bus.publish(subject("changed", device_id))

    async def run(self) -> None:
        """Watch, unless there is nobody else."""
        if self._membership.is_alone:
            return
        async with anyio.create_task_group() as tasks:
            for run in (self._hear_fences, self._hear_changes, self._keep_looking):
                tasks.start_soon(run)

    async def _hear_fences(self) -> None:
        async with self._bus.subscribe("fence.*") as hints:
            async for hint in hints:
                if hint is MISSED or not hint.payload:
                    self._look_now.set()
                else:
                    try:
                        self._fence(_holds.decode(hint.payload))
                    except msgspec.DecodeError:
                        logger.warning("a hint makes no sense: %s", hint.subject)

    async def _hear_changes(self) -> None:
        async with self._bus.subscribe("changed.*") as hints:
            async for hint in hints:
                if hint is MISSED:
                    self._look_now.set()
                else:
                    await self._refresh(hint.subject.rpartition(".")[2])

    async def _keep_looking(self) -> None:
        while True:
            try:
                await self._membership.bury()
                await self._look()
            except StoreFailed as error:
                logger.debug("what other nodes do is not known: %s", error)
            self._look_now = anyio.Event()
            with anyio.move_on_after(_LOOK_SECONDS):
                await self._look_now.wait()

    async def _look(self) -> None:
        news = await self._nodes.news()
        for hold in news.moved:
            self._fence(hold)
        fresh = {each.device_id: each.at for each in news.changed}
        seen, self._seen = self._seen, fresh
        for device_id, at in fresh.items():
            if seen.get(device_id) != at:
                await self._refresh(device_id)
