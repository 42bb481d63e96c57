"""A platform as one of the nodes that share a record: puts the parts of that together."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import anyio

from jsonrpc_iot import BoundEvent

from ...bus.bus import Bus
from ...clock import TimeOfDay
from ...errors import StoreFailed
from ...steady import keep_running
from ...store.nodes import Buried, Hold, Nodes
from ..node.membership import Membership, Told
from ..node.ownership import Ownership
from ..presence import Presence
from ..shared_commands import SharedCommands
from .delivery import Delivery
from .events import SharedEvents
from .questions import Questions
from .watch import Watch


class Cluster:
    """This node, and what it has to do with the others.

    Args:
        nodes: of the record.
        bus: carries hints.
        name: of this node.
        time_of_day: is kept at the record's time.
        events: of this node's devices, which are told others.

    Attributes:
        membership: whether it is one, with which number.
        ownership: makes devices its own.
        events: of all nodes.
        watch: learns what others do.
        delivery: keeps its commands in step with what others do.
        questions: asks other nodes what no record keeps.
    """

    watch: Watch
    delivery: Delivery
    _presence: Presence
    _figures: Callable[[], Mapping[str, int]]

    def __init__(
        self,
        nodes: Nodes,
        bus: Bus,
        name: str,
        time_of_day: TimeOfDay,
        events: Sequence[BoundEvent[Any]],
    ) -> None:
        told = Told(
            figures=self._tell_figures,
            over=self._end_all,
            left=self._note_left,
            buried=self._note_buried,
        )
        self._nodes = nodes
        self._bus = bus
        self.membership = Membership(nodes, name, version("jsonrpc-iot"), time_of_day, told)
        self.ownership = Ownership(nodes, self.membership, self._tell_taken)
        self.events = SharedEvents(self.membership, bus, events)
        self.questions = Questions(nodes, self.membership, bus)
        self._lost: list[str] = []

    def attach(
        self,
        presence: Presence,
        figures: Callable[[], Mapping[str, int]],
        refresh: Callable[[str], Awaitable[object]],
        commands: SharedCommands,
    ) -> None:
        """Say whose cluster it is, before it runs.

        Args:
            presence: has the devices that are connected to this node.
            figures: what this node has counted.
            refresh: has changes of a device reach its connection.
            commands: of this node.
        """
        self._presence = presence
        self._figures = figures
        self.watch = Watch(self._nodes, self.membership, self._bus, presence.fence, refresh)
        self.delivery = Delivery(commands, self.membership, presence, self._bus)
        self.ownership.before_release = self.delivery.drop

    async def has_others(self, besides: Collection[str] = ()) -> bool:
        """Whether there are other nodes, as far as that is known.

        Args:
            besides: names of nodes that do not count.
        """
        if self.membership.is_alone:
            return False
        try:
            nodes = await self._nodes.nodes()
        except StoreFailed:
            return True
        own = self.membership.lease.number
        return any(each.number != own and each.node not in besides for each in nodes)

    async def run(self) -> None:
        """Stay a node, and do what that needs."""
        async with anyio.create_task_group() as tasks:
            for part in (
                self.membership,
                self.ownership,
                self.watch,
                self.events,
                self.delivery,
                self.questions,
            ):
                tasks.start_soon(keep_running, part.run)

    def _tell_figures(self) -> tuple[int, Mapping[str, int]]:
        return len(self._presence.sessions), self._figures()

    def _tell_taken(self, hold: Hold, previous: int) -> None:
        self.watch.tell_taken(hold, previous)

    def _end_all(self) -> None:
        """End all connections; who goes offline by that is not known before the record says so."""
        for session in list(self._presence.sessions.values()):
            if session.is_online:
                self._lost.append(session.device_id)
            self._presence.end(session, "the node's lease is over", quietly=True)

    def _note_left(self, by_itself: bool) -> None:
        lost, self._lost = self._lost, []
        if by_itself:  # else those who have buried this node have told it
            for device_id in lost:
                self._presence.tell_offline(device_id, "its node had no database")

    def _note_buried(self, buried: Sequence[Buried]) -> None:
        for each in buried:
            if each.online:
                self._presence.tell_offline(each.device_id, f"node {each.node} has died")
