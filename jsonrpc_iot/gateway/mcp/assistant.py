"""`mcp_server`: devices, or a dispatcher of this program, for an assistant."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from ...channel.tasks import task_group
from ...client.client import Client
from ...dispatch.declare.target import CALL_SECONDS
from ...dispatch.dispatcher import Dispatcher
from ...errors import UsageError
from ...transports.requirements import require_extra
from ..gateway import Gateway
from ..ways import Openable

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server

    from ...trust.keyring import Keyring

Where: TypeAlias = str | Openable | Dispatcher | Client
"""One way to a device: its URL, a dispatcher of this program, or an open client."""

_ONLY = "device"  # the name of one that has none


class Assistant:
    """A server of MCP; `mcp_server` makes one.

    Args:
        server: speaks MCP, as the official library has it.
        dispatcher: answers.

    Attributes:
        server: as above.
    """

    def __init__(self, server: "Server[Any]", dispatcher: Dispatcher) -> None:
        self.server = server
        self._dispatcher = dispatcher

    async def serve_stdio(self) -> None:
        """Serve whoever has started this process, until its standard input ends.

        Standard output belongs to the protocol meanwhile: what is printed goes to standard error.
        """
        from .stdio import serve_stdio

        await serve_stdio(self.server)

    def serve_http(
        self, url: str, *, keyring: "Keyring | None" = None, strangers: bool = True
    ) -> AbstractAsyncContextManager[Sequence[str]]:
        """Serve at a URL ("streamable HTTP") while the block runs, on asyncio; gives the URLs.

        Args:
            url: `http://HOST:PORT/path` with the options that it has elsewhere; see HTTP.
            keyring: says whose bearer tokens those are that requests bring, and what they may do.
            strangers: whether who has proved nothing may do what needs no permission.

        Raises:
            InvalidUrl: it makes no sense.
            BindFailed: it cannot be bound.
            UsageError: the scheme is another one, or this is not asyncio.
        """
        from .web import serve_http

        return serve_http(self.server, url, self._dispatcher, keyring, strangers=strangers)


@asynccontextmanager
async def mcp_server(
    where: Where | Sequence[str] | Mapping[str, Where | Sequence[str]],
    *,
    allow: Iterable[str] = (),
    timeout: float = CALL_SECONDS,
) -> AsyncIterator[Assistant]:
    """Make devices the tools of an assistant while the block runs.

    Methods are tools. Those may be called that say `effect="read"`, and those that `allow` opens.
    Notifications are resources, each with the latest of its name.

    Args:
        where: a device, or several of its URLs; or devices by name; or a dispatcher of this
            program, such as a `Gateway` that runs, whose methods keep their names.
        allow: names of methods, and beginnings of names as in `lamp.*`, that may be called as well,
            with the device's name before them or without. What is a danger (`effect="danger"`) is
            opened by its whole name alone.
        timeout: seconds that a call may take.

    Raises:
        MissingExtra: the extra `mcp` is not installed.
        InvalidUrl: a URL makes no sense.
        UsageError: a name can be no device's, or there are no devices.
    """
    require_extra("mcp_server", "MCP needs", "mcp", "mcp")
    from .service import Service

    async with AsyncExitStack() as stack:
        if isinstance(where, Dispatcher):
            dispatcher = where
        else:
            named = where if isinstance(where, Mapping) else {_ONLY: where}
            dispatcher = await stack.enter_async_context(_gateway(named, timeout))
        only = None if isinstance(where, Mapping | Dispatcher) else _ONLY
        tasks = await stack.enter_async_context(task_group())
        service = Service(dispatcher, tasks, allow, timeout, partial(_devices, dispatcher), only)
        stack.callback(dispatcher.on_emit(service.events.hear))
        yield Assistant(service.server, dispatcher)
        tasks.cancel_scope.cancel()


def _devices(dispatcher: Dispatcher) -> set[str]:
    return (
        {each.name for each in dispatcher.devices()} if isinstance(dispatcher, Gateway) else set()
    )


def _gateway(named: Mapping[str, Where | Sequence[str]], timeout: float) -> Gateway:
    if not named:
        raise UsageError("an assistant needs a device")
    gateway = Gateway()
    for name, where in named.items():
        try:
            gateway.add(name, where, timeout=timeout)
        except UsageError:
            raise
        except ValueError as error:  # it is that of a method
            raise UsageError(str(error)) from None
    return gateway
