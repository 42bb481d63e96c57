"""Connecting to a device: the first time, and for as long as a block runs."""

import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from os import PathLike
from typing import TypeAlias

import anyio

from ..channel.contract import Channel, Trace, read_url
from ..channel.recorder import recording
from ..channel.tasks import task_group
from ..channel.tracing import Tracing
from ..channel.url import Url, mask
from ..dispatch.declare.target import CALL_SECONDS
from ..dispatch.dispatcher import Dispatcher
from ..errors import ConnectFailed, ConnectTimeout, TransportError
from ..peer.watch import watch
from ..protocol.about import about
from ..protocol.limits import Limits
from ..protocol.messages import Dialect
from ..protocol.seal.packets import INSTANCE_BYTES
from ..transports import find_transport, open_channel
from .client import Client
from .ways import Way, Ways

logger = logging.getLogger("jsonrpc_iot.client")

_GRACE_SECONDS = 1.0

Where: TypeAlias = str | Sequence[str] | Channel
"""A URL of a device, or several, or an open channel to it."""


async def open_in_time(
    url: str, limits: Limits, seconds: float | None, instance: bytes | None = None
) -> Channel:
    """Open a channel within a time.

    Args:
        url: of the device.
        limits: bounds on what it may cost.
        seconds: to connect within, `None` for no limit.
        instance: as in `open_channel`.

    Raises:
        ConnectTimeout: it took longer.
    """
    try:
        with anyio.fail_after(seconds):
            return await open_channel(url, limits, instance)
    except ConnectFailed:
        raise
    except TimeoutError:
        raise ConnectTimeout(f"{mask(url)}: no connection within {seconds:g} s") from None


@asynccontextmanager
async def connect(
    where: Where,
    *,
    timeout: float | None = 10.0,
    connect_timeout: float | None = 10.0,
    reconnect: bool = False,
    dialect: Dialect = "iot",
    extensions: bool | None = None,
    dispatcher: Dispatcher | None = None,
    limits: Limits | None = None,
    trace: Trace | None = None,
    record: str | PathLike[str] | None = None,
) -> AsyncIterator[Client]:
    """Connect to a device while the `async with` block runs.

    Args:
        where: the device's URL; or several that lead to it, the best one first; or an open channel
            to it, which is closed in the end. Of several the first is used on which the device
            answers an `rpc.ping`. When its connection ends the next one is found as with
            `reconnect`. Every 60 s it is looked whether a better one is back; new calls go that way
            then, and those that are open end where they are.
        timeout: seconds that a call waits unless it says otherwise, `None` for ever.
        connect_timeout: seconds to connect within, `None` for no limit.
        reconnect: open a new channel when the old one ends, after a random pause that grows. Open
            calls fail all the same, since nobody knows whether they ran. The device may be off at
            first: calls wait for it, within their time.
        dialect: `iot` or `jsonrpc2`, until the device has spoken.
        extensions: whether the device understands `timeout`, `rpc.cancel` and the like; by default
            it is asked.
        dispatcher: answers what the device calls; an empty one by default.
        limits: bounds on what the device may cost.
        trace: is called with each message that arrives or leaves, and the frames; see `Trace`.
        record: a new file for all messages, one JSON object a line, with secrets masked.

    Raises:
        InvalidUrl: the URL makes no sense.
        ConnectFailed: nobody answers there; `ConnectTimeout` if that took too long to find out. Of
            several URLs each is named, and why.
        UsageError: there is no URL; or `record` is there already, or cannot be written.
        ValueError: a channel that is open already shall reconnect.
    """
    if reconnect and isinstance(where, Channel):
        raise ValueError("an open channel cannot be opened again: reconnect needs a URL")
    dispatcher = dispatcher or Dispatcher()
    limits = limits or dispatcher.limits

    async with AsyncExitStack() as stack:
        tracing = Tracing(None, stack.enter_context(recording(record)))
        instance = secrets.token_bytes(INSTANCE_BYTES)

        async def open_url(url: str) -> Channel:
            channel = await open_in_time(url, limits, connect_timeout, instance)
            return tracing.watch(channel, mask(url))

        async def open() -> Channel:
            if isinstance(where, Channel):
                return tracing.watch(where)
            return await open_url(where if isinstance(where, str) else where[0])

        ways = None if isinstance(where, str | Channel) else Ways(url_ways(where, open_url))
        client = Client(
            _shown(where),
            dispatcher,
            timeout=timeout,
            limits=limits,
            dialect=dialect,
            extensions=extensions,
            trace=trace,
            reconnects=reconnect or ways is not None,
            was_here=not isinstance(where, Channel),
        )
        if ways is None:
            running = _running(client, open, limits, must_open=not reconnect)
            await stack.enter_async_context(running)
        else:
            await stack.enter_async_context(_running_on(ways, client, limits))
            await _first(ways, client, must_open=not reconnect)
        yield client


def keep_connected(ways: Ways, dispatcher: Dispatcher) -> AbstractAsyncContextManager[Client]:
    """Keep a client connected while the block runs, at whose begin nothing has been tried yet.

    Args:
        ways: lead to the device.
        dispatcher: answers what the device calls.
    """
    limits = dispatcher.limits
    client = Client(
        "",
        dispatcher,
        timeout=CALL_SECONDS,
        limits=limits,
        dialect="iot",
        extensions=None,
        trace=None,
        reconnects=True,
        was_here=True,
    )
    return _running_on(ways, client, limits)


def url_ways(urls: Sequence[str], open: Callable[[str], Awaitable[Channel]]) -> list[Way]:
    """Ways to a device by URLs.

    Args:
        urls: of the device.
        open: opens a channel.

    Raises:
        InvalidUrl: a URL makes no sense.
    """

    @asynccontextmanager
    async def opened(url: str) -> AsyncIterator[Channel]:
        yield await open(url)

    for url in urls:
        parsed = Url.parse(url)
        read_url(find_transport(parsed), parsed)
    return [Way(mask(url), partial(opened, url)) for url in urls]


def _shown(where: Where) -> str:
    if isinstance(where, Channel):
        return where.info.peer
    return mask(where if isinstance(where, str) else where[0])


@asynccontextmanager
async def _running(
    client: Client, open: Callable[[], Awaitable[Channel]], limits: Limits, *, must_open: bool
) -> AsyncIterator[None]:
    """Run a client while the block runs."""
    channel: Channel | None = None
    try:
        channel = await open()
    except (TransportError, OSError) as error:
        if must_open:
            raise
        logger.warning("%s; trying again", error, extra=about(client.url))
    async with task_group() as tasks:
        tasks.start_soon(client._run, channel, open)
        if channel is not None:
            await client._connected.wait()
        tasks.start_soon(watch, client._peers, limits)
        try:
            yield
        finally:
            await client._leave(_GRACE_SECONDS)
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def _running_on(ways: Ways, client: Client, limits: Limits) -> AsyncIterator[Client]:
    """Run a client on one of several ways while the block runs."""
    async with task_group() as tasks:
        tasks.start_soon(ways.run, client, tasks)
        tasks.start_soon(watch, client._peers, limits)
        try:
            yield client
        finally:
            await client._leave(_GRACE_SECONDS)
        tasks.cancel_scope.cancel()


async def _first(ways: Ways, client: Client, *, must_open: bool) -> None:
    """Wait until the device has answered, or nowhere."""
    await ways.first()
    if client.state != "connected":
        if must_open:
            raise ways.failure()
        logger.warning("%s; trying again", ways.failure(), extra=about(client.url))
