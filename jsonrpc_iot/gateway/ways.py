"""The ways to a device: URLs, clients that are open already, and what opens one."""

import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Protocol, TypeAlias, runtime_checkable
from urllib.parse import unquote

from msgspec import Struct

from ..channel.info import ChannelInfo
from ..channel.url import Url
from ..channel.url import mask as mask_secrets
from ..client.client import Client
from ..client.connecting import connect
from ..dispatch.dispatcher import Dispatcher
from ..errors import UsageError
from ..server.serving import serve
from ..transports import find_transport
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

    def open(self) -> AbstractAsyncContextManager[Client]:
        """Connect to the device while the block runs, without reconnecting.

        Raises:
            TransportError: it cannot be reached.
        """


Where: TypeAlias = str | Client | Openable | Dispatcher
"""One way to a device; a dispatcher is a device of this program."""


class Way(Struct, frozen=True):
    """One way to a device.

    Args:
        url: where the device is, without secrets.
        open: connects to it.
    """

    url: str
    open: Callable[[], AbstractAsyncContextManager[Client]]


def ways_to(where: Where | Sequence[Where], dispatcher: Dispatcher) -> list[Way]:
    """All ways, in order.

    Args:
        where: they lead.
        dispatcher: answers what the device calls.

    Raises:
        InvalidUrl: a URL makes no sense.
        UsageError: there is none, or one is something else.
    """
    several = [where] if isinstance(where, str) or not isinstance(where, Sequence) else list(where)
    if not several:
        raise UsageError("a device needs a URL")
    return [_way(each, dispatcher) for each in several]


def _way(where: object, dispatcher: Dispatcher) -> Way:
    if isinstance(where, str):
        find_transport(Url.parse(where))
        seconds = _CONNECT_SECONDS
        return Way(
            shown(where), partial(connect, where, connect_timeout=seconds, dispatcher=dispatcher)
        )
    if isinstance(where, Client):
        return Way(shown(where.url), partial(_kept, where))
    if isinstance(where, Openable):
        return Way(shown(where.url), where.open)
    if isinstance(where, Dispatcher):
        return Way("memory://", partial(_inside, where, dispatcher))
    raise UsageError(f"{where!r} is neither a URL nor a client nor a dispatcher")


def shown(url: str) -> str:
    """A URL for callers: without secrets, and without where on this machine they are."""
    head, mark, query = mask_secrets(url).partition("?")
    options = [each for each in query.split("&") if not _LOCAL.match(unquote(each))]
    return f"{head}{mark}{'&'.join(options)}" if options else head


@asynccontextmanager
async def _inside(device: Dispatcher, dispatcher: Dispatcher) -> AsyncIterator[Client]:
    info = ChannelInfo(transport="memory", local="memory://", peer="memory://")
    here, there = memory_pair(info, info)
    async with serve(device, there, grace=0.0), connect(here, dispatcher=dispatcher) as client:
        yield client


@asynccontextmanager
async def _kept(client: Client) -> AsyncIterator[Client]:
    yield client
