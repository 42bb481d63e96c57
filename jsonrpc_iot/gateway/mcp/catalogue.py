"""What a dispatcher offers to somebody: its tools and notifications, asked for now and then."""

import logging
import math
from collections.abc import Callable, Collection

import anyio

from ...channel.clock import now
from ...client.client import Client
from ...dispatch.openrpc.gather import Document, entries_of
from ...errors import JsonRpcIotError
from .events import declared
from .opened import Opened
from .tools import MOST_TOOLS, Tool, Tools, read_tools

logger = logging.getLogger("jsonrpc_iot.gateway.mcp")

_FRESH_SECONDS = 60.0
_ASKING_SECONDS = 10.0
_SOON_SECONDS = 1.0  # between questions for tools that are not there


class Catalogue:
    """What one caller of a dispatcher is offered.

    Args:
        client: is that caller.
        opened: says which methods may be called.
        devices: gives the names of the devices.
        only: the one device whose name is left out.

    Attributes:
        client: as above.
        tools: what there was when it was read last.
        events: the names of the notifications that may come.
        unknown: the devices that have not said what they are.
    """

    def __init__(
        self,
        client: Client,
        opened: Opened,
        devices: Callable[[], Collection[str]],
        only: str | None,
    ) -> None:
        self.client = client
        self.tools = Tools({}, {}, 0)
        self.events: list[str] = []
        self.unknown: set[str] = set()
        self._opened = opened
        self._devices = devices
        self._only = only
        self._read_at = -math.inf
        self._lock = anyio.Lock()

    async def read(self, seconds: float = 0.0) -> None:
        """Ask what there is.

        Args:
            seconds: how old it may be.
        """
        async with self._lock:
            if now() - self._read_at < seconds:
                return
            try:
                document: Document = await self.client.call(
                    "rpc.discover", result=Document, timeout=_ASKING_SECONDS, idempotent=True
                )
            except JsonRpcIotError as error:
                logger.warning("the devices cannot be described: %s", error)
                return
            before = self.tools.left_out
            self.tools = read_tools(document, self._opened, self._devices(), self._only)
            self.events = declared(document)
            self.unknown = set(self._devices()) - {
                str(each.get("name")).partition(".")[0] for each in entries_of(document, "methods")
            }
            if not self.unknown:
                self._warn_of_unused()
            self._read_at = now()
            if self.tools.left_out and self.tools.left_out != before:
                logger.warning("%d tools are left out: %d at most", self.tools.left_out, MOST_TOOLS)

    def _warn_of_unused(self) -> None:
        """Say which patterns open nothing, now that all devices have said what they have."""
        for pattern in self._opened.take_unused():
            logger.warning("--allow %s opens nothing: no method has that name", pattern)

    async def find(self, name: str) -> Tool | None:
        """A tool that may be called."""
        await self.read(_FRESH_SECONDS)
        if name not in self.tools.offered:
            await self.read(_SOON_SECONDS)
        return self.tools.offered.get(name)
