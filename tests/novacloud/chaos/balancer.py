"""Takes the connections of devices to nodes that live, and notes what nodes say that may not."""

import asyncio
import random
from collections.abc import AsyncIterator, Collection, Set
from contextlib import asynccontextmanager
from functools import partial


class Place:
    """Where a node listens.

    Args:
        name: of the node.

    Attributes:
        port: for devices.
        is_up: it is given new connections.
        connections: that it has.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = 0
        self.is_up = False
        self.connections: set[_Far] = set()


class Balancer:
    """Gives each device the next node that lives.

    Args:
        places: the nodes.
        seed: of the choice.

    Attributes:
        port: for devices.
        said: by nodes after `watch`, on connections that they had before.
    """

    def __init__(self, places: Collection[Place], seed: int) -> None:
        self._places = places
        self._dice = random.Random(f"{seed} balancer")
        self.port = 0
        self.said: list[str] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Near(self), "127.0.0.1", 0, backlog=4096)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()

    def cut(self, place: Place, share: float) -> int:
        """Have devices lose their connections, without the node being told; returns how many."""
        there = [far for far in place.connections if far.near is not None]
        gone = self._dice.sample(there, round(share * len(there)))
        for far in gone:
            far.leave_hanging()
        return len(gone)

    def watch(self, place: Place) -> "Set[_Far]":
        """Note what a node says from now on over the connections that it has."""
        watched = {*place.connections}
        for far in watched:
            far.is_watched = True
        return watched

    async def connect(self, near: "_Near") -> None:
        """Connect a device to a node."""
        up = [place for place in self._places if place.is_up]
        for place in self._dice.sample(up, len(up)):
            try:
                await asyncio.get_running_loop().create_connection(
                    partial(_Far, self, place, near), "127.0.0.1", place.port
                )
            except OSError:
                continue
            return
        near.transport.abort()


class _Near(asyncio.Protocol):
    """The end of a device."""

    transport: asyncio.Transport

    def __init__(self, balancer: Balancer) -> None:
        self._balancer = balancer
        self._early: list[bytes] = []
        self.far: _Far | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._connecting = asyncio.ensure_future(self._balancer.connect(self))

    def data_received(self, data: bytes) -> None:
        if self.far is None:
            self._early.append(data)
        else:
            self.far.transport.write(data)

    def connection_lost(self, _: Exception | None) -> None:
        if self.far is not None and self.far.near is self:
            self.far.transport.close()

    def attach(self, far: "_Far") -> None:
        """A node is there."""
        self.far = far
        if self.transport.is_closing():
            far.transport.close()
        for data in self._early:
            far.transport.write(data)


class _Far(asyncio.Protocol):
    """The end of a node."""

    transport: asyncio.Transport

    def __init__(self, balancer: Balancer, place: Place, near: _Near) -> None:
        self._balancer = balancer
        self._place = place
        self.near: _Near | None = near
        self.is_watched = self.is_answered = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._place.connections.add(self)
        if self.near is not None:
            self.near.attach(self)

    def data_received(self, data: bytes) -> None:
        if self.is_watched:
            self._balancer.said.append(f"{self._place.name}: {data[:200]!r}")
        if self.near is not None:
            self.is_answered = True
            self.near.transport.write(data)

    def connection_lost(self, _: Exception | None) -> None:
        self._place.connections.discard(self)
        if self.near is not None:
            self.near.transport.close()

    def leave_hanging(self) -> None:
        """Lose the device; the node learns nothing of that."""
        near, self.near = self.near, None
        if near is not None:
            near.transport.abort()
