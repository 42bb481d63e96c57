"""A way for datagrams that loses, doubles and delays them."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import anyio
from anyio.abc import ConnectedUDPSocket, SocketAttribute, TaskGroup, UDPSocket

LOST, DOUBLED, DELAYED = 0.1, 0.15, 0.2
"""How often each happens to a datagram."""

LATEST_SECONDS = 0.3

Send = Callable[[bytes], Awaitable[None]]


class Relay:
    """Carries datagrams between one client and a device.

    Args:
        front: where the client sends to.
        back: connected to the device.
        tasks: wait with what is late.
        seed: says what happens to which.

    Attributes:
        lost: datagrams that did not arrive.
        doubled: datagrams that arrived twice.
    """

    def __init__(
        self, front: UDPSocket, back: ConnectedUDPSocket, tasks: TaskGroup, seed: int
    ) -> None:
        self.lost = self.doubled = 0
        self._front = front
        self._back = back
        self._tasks = tasks
        self._random = random.Random(seed)
        self._client: tuple[str, int] | None = None
        self._sending = anyio.Lock()

    async def carry_there(self) -> None:
        """Carry what the client sends."""
        async for data, client in self._front:
            self._client = client
            self._carry(data, self._back.send)

    async def carry_back(self) -> None:
        """Carry what the device sends."""
        async for data in self._back:
            self._carry(data, self._give)

    async def _give(self, data: bytes) -> None:
        assert self._client is not None
        await self._front.sendto(data, *self._client)

    def _carry(self, data: bytes, send: Send) -> None:
        if self._random.random() < LOST:
            self.lost += 1
            return
        is_doubled = self._random.random() < DOUBLED
        self.doubled += is_doubled
        for _ in range(1 + is_doubled):
            is_late = self._random.random() < DELAYED
            late = self._random.uniform(0, LATEST_SECONDS) if is_late else 0.0
            self._tasks.start_soon(self._after, late, send, data)

    async def _after(self, seconds: float, send: Send, data: bytes) -> None:
        await anyio.sleep(seconds)
        async with self._sending:
            await send(data)


@asynccontextmanager
async def relayed(url: str, seed: int) -> AsyncIterator[tuple[str, Relay]]:
    """A relay before a device.

    Args:
        url: of the device.
        seed: gives the same losses for the same datagrams.

    Yields:
        Where the relay is, and it.
    """
    port = urlsplit(url).port
    assert port is not None
    async with (
        await anyio.create_udp_socket(local_host="127.0.0.1") as front,
        await anyio.create_connected_udp_socket("127.0.0.1", port) as back,
        anyio.create_task_group() as tasks,
    ):
        relay = Relay(front, back, tasks, seed)
        tasks.start_soon(relay.carry_there)
        tasks.start_soon(relay.carry_back)
        yield f"udp://127.0.0.1:{front.extra(SocketAttribute.local_port)}", relay
        tasks.cancel_scope.cancel()
