"""A way to a server that can be cut, or fall silent."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio
from anyio.abc import SocketAttribute, SocketStream

GONE = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, OSError)


class Relay:
    """Passes bytes on between those who connect and a server.

    Args:
        target: the port of the server, on this machine.

    Attributes:
        host: where to connect.
        cut_after: bytes from the server after which a connection is cut; 0 lets nobody in.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._connections = set[anyio.CancelScope]()
        self._loud = anyio.Event()
        self._loud.set()
        self.host = ""
        self.cut_after = 1 << 40

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Relay"]:
        async with (
            await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
            anyio.create_task_group() as tasks,
        ):
            self.host = f"127.0.0.1:{listener.extra(SocketAttribute.local_port)}"
            tasks.start_soon(listener.serve, self._relay)
            yield self
            tasks.cancel_scope.cancel()

    def cut(self) -> None:
        """End all connections."""
        for each in self._connections:
            each.cancel()

    def hush(self) -> None:
        """Keep all bytes back from now on."""
        self._loud = anyio.Event()

    def go_on(self) -> None:
        """Pass bytes on again, those that were kept back first."""
        self._loud.set()

    async def _relay(self, near: SocketStream) -> None:
        with suppress(*GONE):
            async with near, await anyio.connect_tcp("127.0.0.1", self._target) as far:
                async with anyio.create_task_group() as tasks:
                    self._connections.add(tasks.cancel_scope)
                    tasks.start_soon(self._pass, near, far, 1 << 40, tasks.cancel_scope)
                    tasks.start_soon(self._pass, far, near, self.cut_after, tasks.cancel_scope)
                self._connections.discard(tasks.cancel_scope)

    async def _pass(
        self, here: SocketStream, there: SocketStream, most: int, scope: anyio.CancelScope
    ) -> None:
        with suppress(*GONE):
            while most > 0:
                data = await here.receive()
                await self._loud.wait()
                await there.send(data)
                most -= len(data)
        scope.cancel()
