"""What the pytest plugin does: serves a device over a link, connects to it, keeps the messages."""

from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    ExitStack,
    asynccontextmanager,
    contextmanager,
)
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, Protocol

import anyio
from anyio.from_thread import start_blocking_portal
from msgspec import structs

from ..blocking import BlockingClient, connect_sync
from ..channel.contract import Channel, Trace
from ..client.client import Client
from ..client.connecting import connect
from ..dispatch.dispatcher import Dispatcher
from ..server.server import Server
from ..server.serving import serve
from .links import Faults, LinkCounts, LossyLink

_KEPT_MESSAGES = 50
_SHOWN_BYTES = 300

_URLS = {
    "memory": "memory://rpc-{rig:x}-{number}",
    "pipe": "pipe://device-{number}?dir={folder}",
    "tcp": "tcp://127.0.0.1:0",
    "udp": "udp://127.0.0.1:0",
    "unix": "unix://{folder}/device-{number}.sock",
}


class Lossy(NamedTuple):
    """A link with faults; see `LossyLink` for the options."""

    faults: Faults
    options: Mapping[str, Any]

    def __str__(self) -> str:
        values = {**_differing(self.faults, Faults()), **self.options}
        shown = (
            f"{name}={value if isinstance(value, str) else format(value, 'g')}"
            for name, value in values.items()
        )
        return ",".join(shown) or "lossy"

    def link(self, number: int) -> LossyLink:
        """A link for one client; each has other faults, and the same in each run."""
        options = {**self.options, "seed": self.options.get("seed", 0) + number}
        return LossyLink(self.faults, **options)


Where = str | Faults | Lossy
"""Where a device is served: the short name of a transport, a URL, or on a lossy link."""


class Connect(Protocol):
    """Opens a client of the device; the options are those of `connect`."""

    def __call__(self, **options: Any) -> AbstractAsyncContextManager[Client]:
        """Connect while the `async with` block runs."""


def read_marker(*where: object, faults: Faults | None = None, **options: Any) -> list[Where]:
    """What the arguments of `@pytest.mark.rpc_link` mean.

    Raises:
        TypeError: a keyword is none of `LossyLink`, or a link is nothing of the kind.
        ValueError: a link has an unknown name, or keywords have no lossy link to hold for.
    """
    if faults is not None:
        where += (faults,)
    elif not where:
        where = (Faults(),)
    LossyLink(**options)
    links = [_check(each) for each in where]
    if options and not any(isinstance(each, Faults) for each in links):
        raise ValueError(f"{', '.join(options)} is for lossy links: add Faults(…)")
    return [Lossy(each, options) if isinstance(each, Faults) else each for each in links]


def _check(where: object) -> Where:
    if isinstance(where, Faults | Lossy):
        return where
    if not isinstance(where, str):
        raise TypeError(f"{where!r} is no link: give a name, a URL or Faults(…)")
    if where not in _URLS and "://" not in where:
        raise ValueError(f"{where!r} is no link: there are {', '.join(_URLS)}, URLs and Faults(…)")
    return where


def show(where: object) -> str:
    """A link in the name of a test."""
    return str(Lossy(where, {}) if isinstance(where, Faults) else where)


def _differing(struct: Faults | LinkCounts, plain: Faults | LinkCounts) -> dict[str, float]:
    standard = structs.asdict(plain)
    return {key: value for key, value in structs.asdict(struct).items() if value != standard[key]}


class Story:
    """The last messages of all clients, to be read when a test has failed.

    Args:
        where: the link, to be shown.
    """

    def __init__(self, where: Where) -> None:
        self._where = where
        self._kept: deque[tuple[float, int, str, bytes, int]] = deque(maxlen=_KEPT_MESSAGES)
        self._count = 0
        self._clients = 0
        self._began = 0.0
        self.links: list[LossyLink] = []

    def trace(self, also: Trace | None = None) -> Trace:
        """What notes the messages of one more client, and calls `also`."""
        self._clients += 1
        client = self._clients

        def note(direction: str, message: bytes) -> None:
            now = anyio.current_time()
            if not self._count:
                self._began = now
            self._count += 1
            shown = bytes(message[:_SHOWN_BYTES])
            self._kept.append((now - self._began, client, direction, shown, len(message)))
            if also is not None:
                also(direction, message)

        return note

    def text(self) -> str:
        """The messages, one a line, with nothing in them that steers a terminal."""
        if not self._kept:
            return ""
        return "\n".join((*self._heading(), *map(self._line, self._kept)))

    def _heading(self) -> Iterator[str]:
        where = f"a lossy link ({self._where})" if self.links else self._where
        last = f", the last {len(self._kept)} of {self._count}"
        yield f"over {where}, as the client sees it{last if self._count > len(self._kept) else ''}:"
        for number, link in enumerate(self.links):
            which = f"link {number + 1}: " if len(self.links) > 1 else ""
            for name, way in (("device", link.to_server), ("client", link.to_client)):
                counts = _differing(way.counts, LinkCounts())
                told = ", ".join(f"{count} {what}" for what, count in counts.items())
                yield f"{which}to the {name}: {told or 'nothing'}"

    def _line(self, kept: tuple[float, int, str, bytes, int]) -> str:
        seconds, client, direction, shown, size = kept
        who = f" client {client}" if self._clients > 1 else ""
        text = shown.decode("utf-8", "backslashreplace")
        if not text.isprintable():
            text = "".join(each if each.isprintable() else _escaped(each) for each in text)
        cut = f"... ({size} bytes)" if size > len(shown) else ""
        return f"{seconds:8.3f}{who} {direction} {text}{cut}"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


class Rig:
    """A device under test, and the link to it.

    Args:
        device: a dispatcher, or an instance of a service.
        where: the link.
        options: those of `serve`.

    Attributes:
        where: the link.
        link: the first client's, where it is a lossy one.
        story: the last messages.

    Raises:
        TypeError: the device or the link is nothing of the kind.
        ValueError: the link has an unknown name.
    """

    def __init__(self, device: object, where: Where, options: Mapping[str, Any]) -> None:
        self._dispatcher = _dispatcher(device)
        where = _check(where)
        self.where = Lossy(where, {}) if isinstance(where, Faults) else where
        self.story = Story(self.where)
        self.link = self._add_link(self.where) if isinstance(self.where, Lossy) else None
        self._unused = [self.link] if self.link else []
        self._options = {"grace": 0, **options}
        self._served = 0
        self._folders = ExitStack()

    def close(self) -> None:
        """Remove the folders of what was served."""
        self._folders.close()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[Server]:
        """Serve the device while the block runs."""
        if not isinstance(self.where, Lossy):
            async with serve(self._dispatcher, self._url(self.where), **self._options) as server:
                yield server
            return
        if not self._unused:
            self._unused.append(self._add_link(self.where))
        channel = self._unused[-1].server  # the server's first client takes the other end
        async with serve(self._dispatcher, channel, **self._options) as server:
            yield server

    def connect_to(self, server: Server) -> Connect:
        """What opens clients of a server."""

        @asynccontextmanager
        async def connect_to(trace: Trace | None = None, **options: Any) -> AsyncIterator[Client]:
            where = await self._client_end(server)
            async with connect(where, trace=self.story.trace(trace), **options) as client:
                yield client

        return connect_to

    @asynccontextmanager
    async def open(self, **options: Any) -> AsyncIterator[Client]:
        """Serve the device and connect to it while the block runs."""
        async with self.serve() as server, self.connect_to(server)(**options) as client:
            yield client

    def cut(self) -> None:
        """Cut all lossy links, so that no client waits for what is still owed to it."""
        for link in self.story.links:
            link.cut()

    def open_sync(self) -> AbstractContextManager[BlockingClient]:
        """Serve the device in a thread, and connect to it without async, while the block runs.

        Raises:
            ValueError: the link does not lead from thread to thread.
        """
        if isinstance(self.where, Lossy) or self.where.startswith("memory"):
            raise ValueError(f"a test without async cannot run over {self.where}: take tcp or udp")
        return self._run_in_thread()

    @contextmanager
    def _run_in_thread(self) -> Iterator[BlockingClient]:
        with (
            start_blocking_portal() as portal,
            portal.wrap_async_context_manager(self.serve()) as server,
            connect_sync(server.urls[0], trace=self.story.trace()) as client,
        ):
            yield client

    async def _client_end(self, server: Server) -> str | Channel:
        if not isinstance(self.where, Lossy):
            return server.urls[0]
        if self._unused:
            return self._unused.pop().client
        link = self._add_link(self.where)
        await server.add(link.server)
        return link.client

    def _add_link(self, lossy: Lossy) -> LossyLink:
        link = lossy.link(len(self.story.links))
        self.story.links.append(link)
        return link

    def _url(self, where: str) -> str:
        if where not in _URLS:
            return where
        self._served += 1
        folder = ""
        if "{folder}" in _URLS[where]:  # not pytest's, which is too long for a socket
            folder = self._folders.enter_context(TemporaryDirectory(prefix="rpc-"))
        return _URLS[where].format(rig=id(self), folder=folder, number=self._served)


def _dispatcher(device: object) -> Dispatcher:
    if isinstance(device, Dispatcher):
        return device
    dispatcher = Dispatcher()
    dispatcher.include(device)
    return dispatcher
