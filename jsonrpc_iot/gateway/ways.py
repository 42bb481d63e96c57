"""The ways to a device: URLs, what opens a channel, and dispatchers of this program."""

import re
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Protocol, TypeAlias, runtime_checkable
from urllib.parse import unquote

from msgspec import structs

from ..channel.contract import Channel
from ..channel.info import ChannelInfo
from ..channel.url import mask as mask_secrets
from ..client.connecting import open_in_time, url_ways
from ..client.ways import Way
from ..dispatch.dispatcher import Dispatcher
from ..errors import UsageError
from ..protocol.limits import Limits
from ..protocol.seal.packets import INSTANCE_BYTES
from ..server.serving import serve
from ..transports.packets.memory import memory_pair

_CONNECT_SECONDS = 10.0
_LOCAL = re.compile(r"(?:ca|cert|key)=|\w+=(?:env|file):")


@runtime_checkable
class Openable(Protocol):
    """Something that is no URL, and leads to a device all the same.

    Attributes:
        url: where the device is, to be shown.
    """

    url: str

    def open(self) -> AbstractAsyncContextManager[Channel]:
        """Open a channel to the device, which is used while the block runs.

        Raises:
            TransportError: it cannot be reached.
        """


Where: TypeAlias = str | Openable | Dispatcher
"""One way to a device; a dispatcher is a device of this program."""


def ways_to(where: Where | Sequence[Where], limits: Limits) -> list[Way]:
    """All ways, in order.

    Args:
        where: they lead.
        limits: bounds on what the device may cost.

    Raises:
        InvalidUrl: a URL makes no sense.
        UsageError: there is none, or one is something else.
    """
    several = [where] if isinstance(where, str) or not isinstance(where, Sequence) else list(where)
    if not several:
        raise UsageError("a device needs a URL")
    instance = secrets.token_bytes(INSTANCE_BYTES)

    async def open_url(url: str) -> Channel:
        return await open_in_time(url, limits, _CONNECT_SECONDS, instance)

    def way(where: object) -> Way:
        if isinstance(where, str):
            return structs.replace(url_ways([where], open_url)[0], url=shown(where))
        if isinstance(where, Openable):
            return Way(shown(where.url), where.open)
        if isinstance(where, Dispatcher):
            return Way("memory://", partial(_inside, where))
        raise UsageError(f"{where!r} is neither a URL nor a client nor a dispatcher")

    return [way(each) for each in several]


def shown(url: str) -> str:
    """A URL for callers: without secrets, and without where on this machine they are."""
    head, mark, query = mask_secrets(url).partition("?")
    options = [each for each in query.split("&") if not _LOCAL.match(unquote(each))]
    return f"{head}{mark}{'&'.join(options)}" if options else head


@asynccontextmanager
async def _inside(device: Dispatcher) -> AsyncIterator[Channel]:
    info = ChannelInfo(transport="memory", local="memory://", peer="memory://")
    here, there = memory_pair(info, info)
    async with serve(device, there, grace=0.0):
        yield here
