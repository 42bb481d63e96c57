"""Taking devices when they are let in and giving them back when they leave, many at a time."""

import logging
from collections.abc import Awaitable, Callable, Sequence

import anyio
from msgspec import Struct, field

from ...errors import StoreFailed
from ...store.nodes import Hold, Nodes, Taken
from .membership import Membership

logger = logging.getLogger("jsonrpc_iot.novacloud")

_MOST = 1000
_AGAIN_SECONDS = 1.0


class Ours(Struct, frozen=True):
    """A device that is this node's now.

    Args:
        node: this node's number.
        epoch: of the device's presence.
        was_elsewhere: another node that lives has had it until now.
        was_online: another node has had it, and it was online there.
    """

    node: int
    epoch: int
    was_elsewhere: bool
    was_online: bool


class _Want(Struct, eq=False):
    """Somebody wants a device, from an address; what came of it once `done` is set."""

    device_id: str
    address: str
    done: anyio.Event = field(default_factory=anyio.Event)
    ours: Ours | None = None
    error: StoreFailed | None = None
    is_given_up: bool = False


class Ownership:
    """Has the record say which devices are this node's.

    Args:
        nodes: of the record.
        membership: this node's.
        on_taken: is told of each device that was taken from another node, and of that node.

    Attributes:
        before_release: does what has to be done while devices that have left are still this node's.
    """

    def __init__(
        self, nodes: Nodes, membership: Membership, on_taken: Callable[[Hold, int], object]
    ) -> None:
        self._nodes = nodes
        self._membership = membership
        self._on_taken = on_taken
        self._wants: list[_Want] = []
        self._wanted = anyio.Event()
        self._notes: dict[Hold, bool | None] = {}
        self._noted = anyio.Event()
        self._problem = ""
        self.before_release: Callable[[Sequence[Hold]], Awaitable[None]] = _nothing

    async def take(self, device_id: str, address: str) -> Ours | None:
        """Make a device this node's, whosever it was.

        Args:
            device_id: which.
            address: where it is connected from.

        Returns:
            What makes it this node's; `None` for a device that is deleted.

        Raises:
            StoreFailed: it is not known whether it is this node's.
        """
        want = _Want(device_id, address)
        self._wants.append(want)
        self._wanted.set()
        try:
            await want.done.wait()
        except BaseException:
            want.is_given_up = True
            self._give_back(want)
            raise
        if want.error is not None:
            raise want.error
        return want.ours

    def release(self, hold: Hold) -> None:
        """Give a device back, unless another connection of it has come meanwhile."""
        self._note(hold, None)

    def note_online(self, hold: Hold, *, online: bool) -> None:
        """Let others know that a device has fallen silent, or speaks again."""
        self._note(hold, online)

    async def run(self) -> None:
        """Take, and give back, what is asked for."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep_taking)
            tasks.start_soon(self._keep_telling)

    async def _keep_taking(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted = anyio.Event()
            while self._wants:
                group = self._next_group()
                if group:
                    await self._take(group)

    def _next_group(self) -> dict[str, _Want]:
        """Those who still want a device, one for each."""
        group: dict[str, _Want] = {}
        rest: list[_Want] = []
        for want in self._wants:
            if not want.is_given_up:
                is_next = want.device_id not in group and len(group) < _MOST
                if is_next:
                    group[want.device_id] = want
                else:
                    rest.append(want)
        self._wants = rest
        return group

    async def _take(self, group: dict[str, _Want]) -> None:
        wanted = {device_id: want.address for device_id, want in group.items()}
        lease = self._membership.lease
        try:
            taken = await self._nodes.take(lease, wanted)
        except StoreFailed as error:
            for want in group.values():
                want.error = error
                want.done.set()
            return
        for device_id, want in group.items():
            if (each := taken.get(device_id)) is not None:
                want.ours = self._note_taken(device_id, each, lease.number)
            want.done.set()
            if want.is_given_up:
                self._give_back(want)

    def _note_taken(self, device_id: str, taken: Taken, node: int) -> Ours:
        if taken.previous is None or taken.previous == node:
            return Ours(node, taken.epoch, was_elsewhere=False, was_online=False)
        self._on_taken(Hold(device_id, taken.epoch), taken.previous)
        return Ours(node, taken.epoch, taken.was_alive, taken.was_online)

    def _give_back(self, want: _Want) -> None:
        if want.ours is not None:
            self.release(Hold(want.device_id, want.ours.epoch))

    def _note(self, hold: Hold, online: bool | None) -> None:
        self._notes[hold] = online
        self._noted.set()

    async def _keep_telling(self) -> None:
        while True:
            await self._noted.wait()
            self._noted = anyio.Event()
            await self.tell()

    async def tell(self) -> None:
        """Have the record know who has left, and who is silent."""
        notes, self._notes = self._notes, {}
        lease = self._membership.lease
        groups: dict[bool | None, list[Hold]] = {}
        for hold, online in notes.items():
            groups.setdefault(online, []).append(hold)
        try:
            if holds := groups.pop(None, None):
                await self.before_release(holds)
                await self._nodes.release(lease, holds)
            for online, holds in groups.items():
                await self._nodes.note_online(lease, holds, online=bool(online))
        except StoreFailed as error:
            level = logging.DEBUG if self._problem else logging.WARNING  # once for each outage
            self._problem = error.message
            logger.log(level, "who has left is not told yet: %s", error)
            if not self._membership.term.is_over:  # else nothing is this node's any more
                self._notes = {**notes, **self._notes}
                await anyio.sleep(_AGAIN_SECONDS)
                self._noted.set()
        else:
            self._problem = ""


async def _nothing(_: Sequence[Hold]) -> None:
    pass
