"""Who serves which device: the nodes that share one record, and the contract that says so: `Nodes`.

A node holds a lease, which it renews. When it lets that run out it is dead: another node buries it,
and nobody serves its devices until they come again. Who serves a device is its presence, with an
epoch that each taking raises and nothing ever lowers: what a node does for a device counts only as
long as its number and its epoch stand there. All times are by the record's clock, in Unix seconds.
"""

import abc
from collections.abc import Mapping, Sequence

from msgspec import Struct

MOST_NODES = 1024
LEASE_SECONDS = 5.0

LOOK_BACK_SECONDS = 30.0
"""How far `Nodes.news` looks back. Who has not asked for longer has no lease any more."""


class Lease(Struct, frozen=True):
    """What makes a process a node.

    Args:
        number: of the node, from 0 to 1023; no two live ones have the same.
        incarnation: no two leases ever have the same.
        seconds: how long it holds after each renewal.
        now: when it was given.
    """

    number: int
    incarnation: int
    seconds: float
    now: float


class Node(Struct, frozen=True, kw_only=True):
    """A node that is alive.

    Args:
        node: its name.
        number: its number.
        since: when it came.
        lease_until: when its lease runs out unless it is renewed, `None` for never.
        devices: that it serves, as it has said last.
        version: of its program.
        counts: what it has counted, as it has said last.
    """

    node: str
    number: int
    since: float
    lease_until: float | None
    devices: int
    version: str
    counts: Mapping[str, int] = {}


class Taken(Struct, frozen=True):
    """A device is ours now.

    Args:
        epoch: of its presence.
        previous: the number of the node that it was taken from, `None` where nobody served it.
        was_online: whether it was online there.
        was_alive: whether that node lived; else it was dead, and not buried yet.
    """

    epoch: int
    previous: int | None = None
    was_online: bool = False
    was_alive: bool = False


class Hold(Struct, frozen=True):
    """A device and the epoch with which it is, or was, somebody's."""

    device_id: str
    epoch: int


class Served(Struct, frozen=True):
    """By whom a device is served.

    Args:
        node: the name of the node.
        number: of the node.
        epoch: of the device's presence.
        since: when it was taken.
        address: where it is connected from.
        online: whether it has said something lately.
    """

    node: str
    number: int
    epoch: int
    since: float
    address: str
    online: bool


class Buried(Struct, frozen=True):
    """A device that a dead node had, and whether it was online."""

    device_id: str
    node: str
    online: bool


class Change(Struct, frozen=True):
    """Something of a device was changed or deleted: itself, a sensor, an actuator, its key."""

    device_id: str
    at: float


class News(Struct, frozen=True):
    """What has happened to devices in the last `LOOK_BACK_SECONDS`; some of it was told before.

    Args:
        moved: those that one node has taken from another, with their epochs.
        changed: those of which something was changed.
    """

    moved: Sequence[Hold] = ()
    changed: Sequence[Change] = ()


class Nodes(abc.ABC):
    """The nodes, and the presence of devices.

    Raises, each method:
        StoreFailed: the record does not say, or takes nothing.
    """

    @abc.abstractmethod
    async def enter(self, name: str, version: str) -> Lease:
        """Become a node. One that is dead keeps its name until it is buried.

        Args:
            name: of the node, for people.
            version: of the program.

        Raises:
            NameTaken: a node of that name is there.
            StoreFailed: there are as many nodes as there may be.
        """

    @abc.abstractmethod
    async def renew(
        self, lease: Lease, devices: int, counts: Mapping[str, int] | None = None
    ) -> float | None:
        """Go on being a node, for `lease.seconds` from now.

        Args:
            lease: what `enter` gave.
            devices: that the node serves.
            counts: what it has counted.

        Returns:
            The time, `None` where the lease is over.
        """

    @abc.abstractmethod
    async def leave(self, lease: Lease) -> bool:
        """Be a node no more, and let all its devices go; whether nobody has buried it before."""

    @abc.abstractmethod
    async def nodes(self) -> list[Node]:
        """The nodes that are alive, by name."""

    @abc.abstractmethod
    async def bury(self) -> list[Buried]:
        """End the presence of all devices of dead nodes, and forget those nodes.

        Returns:
            These devices; of many who ask at once, one is told of each.
        """

    @abc.abstractmethod
    async def take(self, lease: Lease, wanted: Mapping[str, str]) -> dict[str, Taken]:
        """Serve devices from now on, whoever has done so before.

        Args:
            lease: of the node that does.
            wanted: by their ids, the addresses that they are connected from.

        Returns:
            By their ids, those that are the node's now; devices that are deleted are left out.

        Raises:
            LeaseOver: the node has no lease any more.
        """

    @abc.abstractmethod
    async def release(self, lease: Lease, holds: Sequence[Hold]) -> None:
        """Serve devices no more, where they are still the node's with that epoch."""

    @abc.abstractmethod
    async def note_online(self, lease: Lease, holds: Sequence[Hold], *, online: bool) -> None:
        """Note that devices have fallen silent, or speak again; those just taken are online."""

    @abc.abstractmethod
    async def served(self, device_ids: Sequence[str]) -> dict[str, Served]:
        """By whom devices are served; those that no live node serves are left out."""

    @abc.abstractmethod
    async def news(self) -> News:
        """What has happened to devices lately."""
