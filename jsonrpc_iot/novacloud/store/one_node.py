"""The node of a record that one process alone has open: who serves its devices is no question."""

import time
from collections.abc import Mapping, Sequence
from math import inf

from .command_log import Holder
from .nodes import Buried, Hold, Lease, News, Node, Nodes, Served, Taken


class OneNode(Nodes):
    """The one node there is. Its lease has no end, and it counts epochs in memory."""

    def __init__(self) -> None:
        self._epochs: dict[str, int] = {}
        self._held: set[str] = set()
        self._nodes: list[Node] = []

    async def enter(self, name: str, version: str) -> Lease:
        """Become the node."""
        now = time.time()
        self._nodes = [
            Node(node=name, number=0, since=now, lease_until=None, devices=0, version=version)
        ]
        return Lease(number=0, incarnation=0, seconds=inf, now=now)

    async def renew(
        self, lease: Lease, devices: int, counts: Mapping[str, int] | None = None
    ) -> float | None:
        """There is no need to."""
        return time.time()

    async def leave(self, lease: Lease) -> bool:
        """Be the node no more."""
        self._nodes = []
        self._held.clear()
        return True

    async def nodes(self) -> list[Node]:
        """The node."""
        return [*self._nodes]

    async def bury(self) -> list[Buried]:
        """Nobody."""
        return []

    async def take(self, lease: Lease, wanted: Mapping[str, str]) -> dict[str, Taken]:
        """Count the epochs of devices."""
        for device_id in wanted:
            self._epochs[device_id] = self._epochs.get(device_id, 0) + 1
        self._held.update(wanted)
        return {device_id: Taken(self._epochs[device_id]) for device_id in wanted}

    async def release(self, lease: Lease, holds: Sequence[Hold]) -> None:
        """Note that devices are with nobody, for those who ask about their commands."""
        for hold in holds:
            if self._epochs.get(hold.device_id) == hold.epoch:
                self._held.discard(hold.device_id)

    def is_held(self, device_id: str) -> bool:
        """Whether a device is with the node."""
        return device_id in self._held

    def is_with(self, device_id: str, holder: Holder) -> bool:
        """Whether it is, and has not been taken again since."""
        is_present = self.is_held(device_id) and self._epochs[device_id] == holder.epoch
        return is_present and holder.node == 0

    async def note_online(self, lease: Lease, holds: Sequence[Hold], *, online: bool) -> None:
        """Nothing to note: the node knows itself, and so in what follows."""

    async def served(self, device_ids: Sequence[str]) -> dict[str, Served]:
        """Nobody by anyone else."""
        return {}

    async def news(self) -> News:
        """None from elsewhere."""
        return News()
