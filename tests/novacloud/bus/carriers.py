"""The carriers that every test of the contract of a bus runs on."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from typing import ClassVar

import anyio

from jsonrpc_iot.novacloud.bus.bus import Bus
from jsonrpc_iot.novacloud.bus.local import LocalBus
from jsonrpc_iot.novacloud.bus.nats import NatsBus
from jsonrpc_iot.novacloud.bus.postgres import PostgresBus
from jsonrpc_iot.novacloud.bus.remote import Pace
from jsonrpc_iot.novacloud.bus.subscribers import Hint, Subscription
from tests.brokers import Broker
from tests.novacloud import servers
from tests.waiting import SECONDS

QUICK = Pace(pulse=0.1, patience=5.0, longest_pause=0.1)
"""For outages that are seen at once."""

HASTY = Pace(pulse=0.1, patience=0.4, longest_pause=0.1)
"""For those that are not: whoever is so slow on a loaded machine is taken for away too."""


class Carrier(ABC):
    """Something that carries hints between nodes.

    Attributes:
        most_payload: bytes that a payload may have.
    """

    most_payload: ClassVar[int]

    @abstractmethod
    def new_bus(self, pace: Pace | None = None) -> Bus:
        """The bus of one node."""

    @asynccontextmanager
    async def nodes(self, number: int = 2) -> AsyncIterator[list[Bus]]:
        """The buses of some nodes, open."""
        async with AsyncExitStack() as stack:
            yield [await stack.enter_async_context(self.new_bus()) for _ in range(number)]


class Local(Carrier):
    most_payload = 1 << 20

    def new_bus(self, pace: Pace | None = None) -> Bus:
        return LocalBus()

    @asynccontextmanager
    async def nodes(self, number: int = 2) -> AsyncIterator[list[Bus]]:
        async with self.new_bus() as bus:
            yield [bus] * number


class Remote(Carrier):
    """One with a server."""

    def __init__(self, server: Broker) -> None:
        self.server = server

    def new_bus(self, pace: Pace | None = None) -> Bus:
        return self.bus_at(self.server.host, pace)

    @abstractmethod
    def bus_at(self, host: str, pace: Pace | None = None) -> Bus:
        """The bus of a node that knows the server at another address."""


class Postgres(Remote):
    most_payload = 7900

    def bus_at(self, host: str, pace: Pace | None = None) -> Bus:
        return PostgresBus(f"postgresql://postgres@{host}/postgres", pace)


class Nats(Remote):
    most_payload = 1 << 20

    def bus_at(self, host: str, pace: Pace | None = None) -> Bus:
        return NatsBus(f"nats://{host}", pace)


def shared_carrier(name: str) -> Carrier:
    """A carrier that other tests use too, before and after."""
    if name == "local":
        return Local()
    if name == "nats":
        return Nats(servers.nats())
    return Postgres(servers.postgres())


@cache
def own_carrier(name: str) -> Remote:
    """A carrier whose server may be killed and frozen: the next test finds it running again."""
    return Nats(servers.new_nats()) if name == "nats" else Postgres(servers.new_postgres())


async def take(subscription: Subscription, number: int) -> list[Hint]:
    """The next hints."""
    with anyio.fail_after(SECONDS):
        return [await anext(subscription) for _ in range(number)]
