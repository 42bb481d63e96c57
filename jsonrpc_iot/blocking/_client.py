"""Call a device at any URL, and wait for it."""

import weakref
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from inspect import iscoroutinefunction
from os import PathLike
from typing import Any, Self, TypedDict, TypeVar, Unpack, overload

from msgspec import UNSET

from ..channel.contract import Trace
from ..channel.info import ChannelInfo
from ..channel.url import mask
from ..client.batch import BatchedCall, CallBatch
from ..client.connecting import connect
from ..client.notifications import Notification
from ..dispatch.declare.context import Timeout
from ..dispatch.dispatcher import Dispatcher
from ..errors import UsageError
from ..peer.spans import Spans
from ..protocol.items import FIRST_CREDIT
from ..protocol.limits import Limits
from ..protocol.messages import Dialect
from ._interface import check_interface
from ._link import Link
from ._proxy import BlockingProxy
from ._streams import BlockingFeed, BlockingStream

T = TypeVar("T")
S = TypeVar("S")
F = TypeVar("F", bound=Callable[..., Any])


class BlockingBatch:
    """Calls and notifications that travel as one message; `BlockingClient.batch` makes one.

    Args:
        link: runs it.
        timeout: seconds to wait for all answers, `None` for ever; the client's by default.
    """

    def __init__(self, link: Link, timeout: Timeout) -> None:
        self._link = link
        self._timeout = timeout
        self._opened: AbstractAsyncContextManager[CallBatch] | None = None
        self._batch: CallBatch | None = None

    def __enter__(self) -> Self:
        self._opened = self._link.client.batch(self._timeout)
        self._batch = self._link.run(self._opened.__aenter__)
        return self

    def __exit__(self, *failure: Any) -> None:
        assert self._opened is not None
        self._link.run(partial(self._opened.__aexit__, *failure))

    @overload
    def call(self, method: str, params: Any = None) -> BatchedCall[Any]: ...
    @overload
    def call(self, method: str, params: Any = None, *, result: type[T]) -> BatchedCall[T]: ...
    def call(self, method: str, params: Any = None, *, result: Any = Any) -> BatchedCall[Any]:
        """Add a call; see `BlockingClient.call`."""
        return self._link.run_sync(partial(self._entered().call, method, params, result=result))

    def notify(self, method: str, params: Any = None) -> None:
        """Add a notification."""
        self._link.run_sync(partial(self._entered().notify, method, params))

    def _entered(self) -> CallBatch:
        if self._batch is None:
            raise RuntimeError("a batch is filled in its block: with client.batch() as batch")
        return self._batch


class BlockingClient:
    """A device at the other end of a channel; `connect_sync` makes one.

    Any number of threads may use it at once. Close it with `close`, or use it as a context manager.

    Args:
        link: the client that does the work.
        dispatcher: receives the device's notifications.
    """

    def __init__(self, link: Link, dispatcher: Dispatcher) -> None:
        self._link = link
        self._client = link.client
        self._dispatcher = dispatcher
        weakref.finalize(self, link.end_soon).atexit = False

    def __repr__(self) -> str:
        return f"<BlockingClient {self._link.name}{' closed' if self._link.is_closed else ''}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect; what waits for the device gets `ChannelClosed`. Doing so again is no harm."""
        self._link.close()

    @property
    def url(self) -> str:
        """Where the device is, without secrets; of several URLs the one that is used."""
        return self._client.url

    @property
    def info(self) -> ChannelInfo:
        """The facts about the present channel.

        Raises:
            ChannelClosed: there is none at the moment.
        """
        return self._client.info

    def _note_calls(self, spans: Spans) -> None:
        """Have something take note of all calls from now on; see `instrument`."""
        self._client._note_calls(spans)
        self._link.carries_context = True

    @property
    def missed(self) -> int:
        """How many notifications came while 256 others waited in a `notifications` feed."""
        return self._client.missed

    @overload
    def call(
        self, method: str, params: Any = None, *, timeout: Timeout = UNSET, idempotent: bool = ...
    ) -> Any: ...
    @overload
    def call(
        self,
        method: str,
        params: Any = None,
        *,
        result: type[T],
        timeout: Timeout = UNSET,
        idempotent: bool = ...,
    ) -> T: ...
    def call(
        self,
        method: str,
        params: Any = None,
        *,
        result: Any = Any,
        timeout: Timeout = UNSET,
        idempotent: bool = False,
    ) -> Any:
        """Call a method and wait for its result. Ctrl-C cancels the call.

        The parameters and errors are those of `Client.call`.

        Raises:
            RuntimeError: the caller is the event loop's own thread.
        """
        call = self._client.call
        return self._link.run(
            lambda: call(method, params, result=result, timeout=timeout, idempotent=idempotent)
        )

    def run(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any, **named: Any) -> T:
        """Run a coroutine function that takes a client, such as `put` and `get` of `files`.

        It runs in the event loop of this client, in a thread of its own. Ctrl-C cancels it.

        Args:
            function: gets the async `Client` in front.
            *args: what else it gets.
            **named: as above, by name.

        Returns:
            What it returns.

        Raises:
            Exception: whatever it raises.
            RuntimeError: the caller is the event loop's own thread.
        """
        return self._link.run(partial(function, self._client, *args, **named))

    def notify(self, method: str, params: Any = None) -> None:
        """Send a notification; raises what `Client.notify` raises."""
        self._link.run(partial(self._client.notify, method, params))

    def batch(self, timeout: Timeout = UNSET) -> BlockingBatch:
        """Collect calls and notifications, and send them as one message when the block ends.

        The block raises what that of `Client.batch` raises.

        Args:
            timeout: seconds to wait for all answers, `None` for ever; the client's by default.
        """
        return BlockingBatch(self._link, timeout)

    @overload
    def stream(
        self, method: str, params: Any = None, *, timeout: Timeout = UNSET, window: int = ...
    ) -> BlockingStream[Any]: ...
    @overload
    def stream(
        self,
        method: str,
        params: Any = None,
        *,
        item: type[T],
        timeout: Timeout = UNSET,
        window: int = ...,
    ) -> BlockingStream[T]: ...
    def stream(
        self,
        method: str,
        params: Any = None,
        *,
        item: Any = Any,
        timeout: Timeout = UNSET,
        window: int = FIRST_CREDIT,
    ) -> BlockingStream[Any]:
        """Call a method whose result is a list, and get the items as they come.

        The parameters are those of `Client.stream`.
        """
        stream = self._client.stream
        return BlockingStream(
            self,
            self._link,
            lambda: stream(method, params, item=item, timeout=timeout, window=window),
        )

    def on(self, method: str) -> Callable[[F], F]:
        """Register a function for a notification of the device; its signature is the validation.

        Plain functions run in a worker thread, one at a time and in order, so they may wait and
        call the device. Coroutine functions run in the event loop, where this client cannot wait.
        """

        def decorate(function: F) -> F:
            waits = not iscoroutinefunction(function)
            return self._dispatcher.notification(method, thread=waits, serial=waits)(function)

        return decorate

    def notifications(
        self, *patterns: str, timeout: float | None = None
    ) -> BlockingFeed[Notification]:
        """The notifications that come from this moment on.

        Args:
            patterns: names, and beginnings of names as in `door.*`; all notifications by default.
            timeout: seconds without any after which a loop over them ends, `None` for never.
        """
        make = partial(self._client.notifications, *patterns)
        return BlockingFeed(self, self._link, make, timeout)

    @overload
    def proxy(self, service: type, *, prefix: str = "", timeout: Timeout = UNSET) -> Any: ...
    @overload
    def proxy(
        self,
        service: type,
        interface: Callable[..., S],
        *,
        prefix: str = "",
        timeout: Timeout = UNSET,
    ) -> S: ...
    def proxy(
        self, service: type, interface: Any = None, *, prefix: str = "", timeout: Timeout = UNSET
    ) -> Any:
        """The methods and events of a service of the device.

        Its methods wait and return the value. Python's types have no word for "the same methods
        without await", so a type checker sees `Any`, unless a second class says it.

        Args:
            service: the class that declares the service.
            interface: what a type checker is to see: a `Protocol` with the same methods as plain
                functions, streams as `BlockingStream`, and events as `BlockingEvent`.
            prefix: as in `Client.proxy`.
            timeout: as in `Client.proxy`.

        Raises:
            TypeError: `interface` says something else than `service`; or as in `Client.proxy`.
        """
        if interface is not None:
            check_interface(interface, service)
        proxy = self._client.proxy(service, prefix=prefix, timeout=timeout)
        return BlockingProxy(self, self._link, proxy)


class ConnectOptions(TypedDict, total=False):
    """What `connect` takes beside the URL, and tells the meaning of."""

    timeout: float | None
    connect_timeout: float | None
    reconnect: bool
    dialect: Dialect
    extensions: bool | None
    dispatcher: Dispatcher | None
    limits: Limits | None
    trace: Trace | None
    record: str | PathLike[str] | None


def connect_sync(where: str | Sequence[str], **options: Unpack[ConnectOptions]) -> BlockingClient:
    """Connect to a device, without async.

    It connects at once, so it works with and without `with`. The event loop is asyncio's, in a
    thread of its own; `trace`, and the dispatcher's functions without `thread=True`, run there.

    Args:
        where: the device's URL, or several as for `connect`; not `memory://`, whose both ends are
            in one event loop.
        **options: those of `connect`: timeout, connect_timeout, reconnect, dialect, extensions,
            dispatcher, limits, trace and record.

    Raises:
        InvalidUrl: the URL makes no sense.
        ConnectFailed: nobody answers there; `ConnectTimeout` if that took too long to find out.
        UsageError: a `memory://` URL, or none.
    """
    urls = [where] if isinstance(where, str) else list(where)
    for url in urls:
        if url.startswith("memory:"):
            raise UsageError(
                f"{url}: connect_sync has an event loop of its own, and memory:// stays within one"
            )
    dispatcher = options["dispatcher"] = options.get("dispatcher") or Dispatcher()
    link = Link(", ".join(map(mask, urls)), connect(where, **options))
    link.open()
    return BlockingClient(link, dispatcher)
