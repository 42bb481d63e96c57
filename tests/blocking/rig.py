"""What the blocking tests share: a device that is served in another thread."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import anyio
import anyio.lowlevel
from anyio.from_thread import BlockingPortal, start_blocking_portal

from jsonrpc_iot import Context, Dispatcher, RpcError, Server, serve
from tests.waiting import SECONDS


class Rig:
    """A device whose `hold` never answers. It is served on an event loop of its own.

    Attributes:
        happened: what the device tells, in order.
    """

    def __init__(self) -> None:
        self.happened: SimpleQueue[Any] = SimpleQueue()
        self.portal: BlockingPortal
        self.server: Server
        self.dispatcher = Dispatcher()
        self.dispatcher.method("add")(add)
        self.dispatcher.method("fail")(fail)
        self.dispatcher.method("slowly")(slowly)
        self.dispatcher.method("hold")(self.hold)
        self.dispatcher.method("endless")(self.endless)
        self.dispatcher.notification("note")(self.note)

    @property
    def url(self) -> str:
        return self.server.urls[0]

    def next(self) -> Any:
        """What the device tells next."""
        return self.happened.get(timeout=SECONDS)

    def broadcast(self, method: str, params: Any = None) -> None:
        self.portal.call(self.server.broadcast, method, params)

    async def hold(self, tag: Any = None) -> None:
        self.happened.put(("began", tag))
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            self.happened.put(("cancelled", tag))
            raise

    async def endless(self) -> AsyncIterator[int]:
        """Never comes to its end."""
        self.happened.put("began")
        try:
            yield 0
            await anyio.sleep_forever()
        finally:
            self.happened.put("cancelled")

    def note(self, value: Any) -> None:
        self.happened.put(value)


def add(a: int, b: int) -> int:
    return a + b


def fail() -> None:
    raise RpcError(7, "No", {"why": "test"})


async def slowly(count: int, context: Context) -> AsyncIterator[int]:
    for number in range(count):
        await anyio.lowlevel.checkpoint()
        yield number


@contextmanager
def running(
    backend: tuple[str, dict[str, Any]] = ("asyncio", {}), url: str = "tcp://127.0.0.1:0"
) -> Iterator[Rig]:
    """A device that is served, on that event loop."""
    rig = Rig()
    name, options = backend
    with (
        start_blocking_portal(name, options) as rig.portal,
        rig.portal.wrap_async_context_manager(serve(rig.dispatcher, url, grace=0.1)) as rig.server,
    ):
        yield rig


def urls(folder: Path) -> list[str]:
    """Where a device can be served."""
    return ["tcp://127.0.0.1:0", "udp://127.0.0.1:0", f"pipe://blocking?dir={folder}"]
