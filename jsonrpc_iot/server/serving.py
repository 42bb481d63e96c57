"""`serve`: a dispatcher at all its URLs, from the first bound address to the last goodbye."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from os import PathLike
from typing import TYPE_CHECKING

from ..channel.contract import Authenticate, Channel, Listener, Trace, Transport
from ..channel.door import Door
from ..channel.recorder import recording
from ..channel.tasks import task_group
from ..channel.web import WebListener
from ..dispatch.dispatcher import Dispatcher
from ..errors import UsageError
from ..peer.watch import watch
from ..protocol.budget import Budget
from ..protocol.limits import Limits
from ..transports import open_listener
from .announcer import Announcer
from .exposed import everybody_at, has_key, warn_if_open, warn_if_shut
from .forwards import keep_forwards
from .house import House
from .metrics import mount_metrics
from .server import Server
from .statistics import counting

if TYPE_CHECKING:
    from ..asgi.console.session import OneTimeKey
    from ..trust.keyring import Keyring
    from ..trust.pairing import Pairing


@asynccontextmanager
async def serve(
    dispatcher: Dispatcher,
    *where: str | Channel,
    authenticate: Authenticate | None = None,
    keyring: "Keyring | None" = None,
    strangers: bool = True,
    pairing: "Pairing | None" = None,
    limits: Limits | None = None,
    grace: float = 5.0,
    trace: Trace | None = None,
    announce: str | None = None,
    record: str | PathLike[str] | None = None,
    console: "bool | OneTimeKey" = False,
    stats: bool = False,
    metrics: bool = False,
    transports: Mapping[str, Transport] | None = None,
) -> AsyncIterator[Server]:
    """Serve a dispatcher at all URLs and channels while the `async with` block runs.

    Args:
        dispatcher: answers; it may be served several times.
        where: URLs to listen at, where port 0 takes a free port, and open channels, each to one
            peer, which are closed in the end.
        authenticate: says who a peer is or what it may do, from its channel's facts, and has the
            last word on that; see `Authenticate`.
        keyring: says what keys, tokens, client certificates and users of pipes may do. While the
            server runs it is read again when it changes: permissions hold at once, and who has no
            valid key any more has to go. Without it and `authenticate`, methods with `requires` are
            refused to everybody.
        strangers: whether who has proved nothing may call what needs no permission, and hear what
            needs none. Else it can do no more than prove who it is.
        pairing: gives a key to who knows a code, a stranger, while its window is open; its keyring
            counts where no other is given.
        limits: bounds on what a peer may cost; the dispatcher's by default.
        grace: seconds that running calls have to finish when the block ends.
        trace: is called with each message that arrives or leaves, and the frames; see `Trace`.
        announce: a name by which the server is found with `discover`, and called at `mdns://NAME`:
            its first URL over UDP, and the first over TCP. A name that is taken gets a number;
            `Server.announced` is the one that it has got.
        record: a new file for all messages, with secrets masked; see `Recorder`.
        console: a browser that opens an `http://` or `https://` URL gets a page by which people use
            the device; programs get what they get without it. It may be a `OneTimeKey`, by which
            `authenticate` knows the one page that it lets in.
        stats: count calls, errors, times and bytes: see `Server.stats`. Who has the permission
            `stats` gets it all by `rpc.stats`.
        metrics: count, and answer `GET /metrics` at each address of HTTP, as Prometheus reads it.
            Where there are permissions, one needs `stats`.
        transports: what carries a URL of those above, in place of what its scheme names, such as
            `share_port` of `services.improv` gives.

    Raises:
        InvalidUrl: a URL makes no sense.
        BindFailed: a URL cannot be bound; the text names it. None is served then.
        ChannelClosed: `authenticate` failed for a channel.
        MissingExtra: a server is to be announced, and zeroconf is not installed.
        UsageError: no URL can be announced, or not by that name, or this is not asyncio; or
            `record` is there already, or cannot be written; or a console or metrics have no
            URL of HTTP; or `transports` has a URL that is not served.
    """
    if not where:
        raise ValueError("serve needs at least one URL, such as tcp://127.0.0.1:8805")
    if transports and not set(transports).issubset(each for each in where if isinstance(each, str)):
        raise UsageError(f"transports are for the URLs that are served, and not {[*transports]}")
    limits = limits or dispatcher.limits
    announcer = Announcer(announce)
    keyring = _keyring(dispatcher, keyring, pairing)
    async with AsyncExitStack() as stack:
        recorder = stack.enter_context(recording(record))
        tracing, statistics = counting(dispatcher, trace, recorder, is_wanted=stats or metrics)
        channels = [each for each in where if not isinstance(each, str)]
        for channel in channels:
            await stack.enter_async_context(channel)
        listeners = await _bind(stack, where, limits, keyring, transports or {}, console=console)
        door = Door(
            authenticate,
            keyring,
            strangers=strangers,
            pairing=pairing,
            everybody=everybody_at(where, dispatcher),
            limits=limits,
        )
        budget = Budget(limits.remembered, limits.remembered_bytes)
        house = House(door, limits, tracing, budget, console, statistics)
        await stack.enter_async_context(keep_forwards(dispatcher))
        warn_if_open(where, listeners, door)
        if not has_key(where):
            warn_if_shut(dispatcher, door)
        pages = mount_metrics(listeners, house) if metrics else ()
        async with task_group() as peers:
            server = Server(dispatcher, listeners, peers, house, keyring)
            stack.callback(dispatcher.on_emit(server.broadcast))
            announcer.add(where, listeners, strangers=strangers)
            try:
                async with _accepting(server, (*listeners, *pages), channels, announcer):
                    yield server
            finally:
                for listener in (*listeners, *pages):
                    if not listener.is_shared:
                        await listener.aclose()
                await server._end(grace)
            peers.cancel_scope.cancel()


@asynccontextmanager
async def _accepting(
    server: Server,
    listeners: Iterable[Listener],
    channels: Iterable[Channel],
    announcer: Announcer,
) -> AsyncIterator[None]:
    """Serve what comes to listeners, and open channels, while the block runs."""
    async with task_group() as accepting:
        for listener in listeners:
            accepting.start_soon(listener.serve, server._serve, server._tasks)
        accepting.start_soon(watch, server.all_peers, server._limits)
        accepting.start_soon(announcer.run, server)
        if server._keyring is not None:
            accepting.start_soon(server._keyring.watch, server._renew)
        for channel in channels:
            await server.add(channel)
        async with server._dispatcher.while_served(server):
            yield
        accepting.cancel_scope.cancel()


def _keyring(
    dispatcher: Dispatcher, keyring: "Keyring | None", pairing: "Pairing | None"
) -> "Keyring | None":
    if pairing is None:
        return keyring
    dispatcher.offer_pairing()
    return keyring or pairing.keyring


async def _bind(
    stack: AsyncExitStack,
    where: Iterable[object],
    limits: Limits,
    keyring: "Keyring | None",
    transports: Mapping[str, Transport],
    *,
    console: object,
) -> list[Listener]:
    """Bind all URLs, in their order, of which one is to have a console; the stack closes them."""
    keys = None if keyring is None else keyring.by_key_id
    listeners: list[Listener] = []
    for url in [each for each in where if isinstance(each, str)]:
        listener = await open_listener(url, limits, listeners, keys, transports.get(url))
        listeners.append(await stack.enter_async_context(listener))
    if console and not any(isinstance(each, WebListener) for each in listeners):
        raise UsageError("a console needs an http:// or https:// URL among the addresses")
    return listeners
