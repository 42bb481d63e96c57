"""Call a device at any URL, and wait for it."""

import weakref
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from inspect import iscoroutinefunction
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from msgspec import UNSET, UnsetType

from ..channel.contract import Trace
from ..channel.info import ChannelInfo
from ..channel.url import mask
from ..client.batch import BatchedCall, CallBatch
from ..client.client import connect
from ..client.notifications import Notification
from ..dispatch.dispatcher import Dispatcher
from ..errors import UsageError
from ..protocol.items import FIRST_CREDIT
from ..protocol.limits import Limits
from ..protocol.messages import Dialect
from ._link import Link
from ._proxy import BlockingProxy
from ._streams import BlockingFeed, BlockingStream

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class BlockingBatch:
    """Calls and notifications that travel as one message; `BlockingClient.batch` makes one.

    Args:
        link: runs it.
        timeout: seconds to wait for all answers, `None` for ever; the client's by default.
    """

    def __init__(self, link: Link, timeout: float | UnsetType | None) -> None:
        self._link = link
        self._timeout = timeout
        self._opened: AbstractAsyncContextManager[CallBatch] | None = None
        self._batch: CallBatch | None = None

    def __enter__(self) -> Self:
        opened = self._opened = self._link.client.batch(self._timeout)

        async def enter() -> CallBatch:
            return await opened.__aenter__()

        self._batch = self._link.run(enter)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        opened = self._opened
        assert opened is not None

        async def leave() -> None:
            await opened.__aexit__(kind, error, traceback)

        self._link.run(leave)

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
    def info(self) -> ChannelInfo:
        """The facts about the present channel.

        Raises:
            ChannelClosed: there is none at the moment.
        """
        return self._client.info

    @property
    def missed(self) -> int:
        """How many notifications came while 256 others waited in a `notifications` feed."""
        return self._client.missed

    @overload
    def call(
        self,
        method: str,
        params: Any = None,
        *,
        timeout: float | UnsetType | None = UNSET,
        idempotent: bool = False,
    ) -> Any: ...
    @overload
    def call(
        self,
        method: str,
        params: Any = None,
        *,
        result: type[T],
        timeout: float | UnsetType | None = UNSET,
        idempotent: bool = False,
    ) -> T: ...
    def call(
        self,
        method: str,
        params: Any = None,
        *,
        result: Any = Any,
        timeout: float | UnsetType | None = UNSET,
        idempotent: bool = False,
    ) -> Any:
        """Call a method and wait for its result. Ctrl-C cancels the call.

        Args:
            method: the name to call.
            params: an object (dict, Struct, dataclass) or an array (list, tuple) of params.
            result: the type that the result must have; it is decoded into it.
            timeout: seconds to wait, `None` for ever; the client's own by default.
            idempotent: calling twice does no harm, so the request may be sent again: to any peer
                that does not answer, and after a reconnect.

        Raises:
            RpcError: the device answered with an error; of the class of its code.
            CallTimeout: no answer came in time.
            ChannelClosed: the channel is closed, or closed before the answer came.
            MessageTooLarge: the request does not fit the channel; nothing was sent.
            MalformedResponse: the answer is no response, or its result is not of the type.
            Unencodable: the codec has no form for the params.
            TransportError: the channel leads only the other way.
            RuntimeError: the caller is the event loop's own thread.
        """
        return self._link.run(
            partial(
                self._client.call,
                method,
                params,
                result=result,
                timeout=timeout,
                idempotent=idempotent,
            )
        )

    def notify(self, method: str, params: Any = None) -> None:
        """Send a notification.

        Raises:
            CallTimeout: a client that reconnects is not connected again in time.
            ChannelClosed: the channel is closed.
            MessageTooLarge: the notification does not fit the channel.
            Unencodable: the codec has no form for the params.
        """
        self._link.run(partial(self._client.notify, method, params))

    def batch(self, timeout: float | UnsetType | None = UNSET) -> BlockingBatch:
        """Collect calls and notifications, and send them as one message when the block ends.

        Args:
            timeout: seconds to wait for all answers, `None` for ever; the client's by default.

        Raises:
            CallTimeout: a client that reconnects is not connected again in time.
            ChannelClosed: the channel is closed.
            UsageError: more entries than a batch may have.
            MessageTooLarge: the batch does not fit the channel; nothing was sent.
        """
        return BlockingBatch(self._link, timeout)

    @overload
    def stream(
        self,
        method: str,
        params: Any = None,
        *,
        timeout: float | UnsetType | None = UNSET,
        window: int = ...,
    ) -> BlockingStream[Any]: ...
    @overload
    def stream(
        self,
        method: str,
        params: Any = None,
        *,
        item: type[T],
        timeout: float | UnsetType | None = UNSET,
        window: int = ...,
    ) -> BlockingStream[T]: ...
    def stream(
        self,
        method: str,
        params: Any = None,
        *,
        item: Any = Any,
        timeout: float | UnsetType | None = UNSET,
        window: int = FIRST_CREDIT,
    ) -> BlockingStream[Any]:
        """Call a method whose result is a list, and get the items as they come.

        Args:
            method: the name to call.
            params: as in `call`.
            item: the type that each item must have; it is decoded into it.
            timeout: seconds to wait for each item, `None` for ever; the client's own by default.
            window: items that may be under way or wait here. More are faster over long ways.
        """
        make = partial(
            self._client.stream, method, params, item=item, timeout=timeout, window=window
        )
        return BlockingStream(self, self._link, make)

    def on(self, method: str) -> Callable[[F], F]:
        """Register a function for a notification of the device; its signature is the validation.

        Plain functions run in a worker thread, one at a time and in order, so they may wait and
        call the device. Coroutine functions run in the event loop, where this client cannot wait.
        """

        def decorate(function: F) -> F:
            waits = not iscoroutinefunction(function)
            return self._dispatcher.notification(method, thread=waits, serial=waits)(function)

        return decorate

    def notifications(self, timeout: float | None = None) -> BlockingFeed[Notification]:
        """All notifications that come from this moment on.

        Args:
            timeout: seconds without any after which a loop over them ends, `None` for never.
        """
        return BlockingFeed(self, self._link, self._client.notifications, timeout)

    def proxy(
        self,
        service: type,
        *,
        prefix: str = "",
        timeout: float | UnsetType | None = UNSET,
    ) -> Any:
        """The methods and events of a service of the device; see `Client.proxy`.

        Its methods wait and return the value. Python's types have no word for "the same methods
        without await", so a type checker sees `Any`.

        Args:
            service: the class that declares the service.
            prefix: as in `Client.proxy`.
            timeout: as in `Client.proxy`.

        Raises:
            TypeError: `service` is no service class, or one of its types cannot travel.
        """
        proxy = self._client.proxy(service, prefix=prefix, timeout=timeout)
        return BlockingProxy(self, self._link, proxy)


def connect_sync(
    where: str,
    *,
    timeout: float | None = 10.0,
    connect_timeout: float | None = 10.0,
    reconnect: bool = False,
    dialect: Dialect = "iot",
    extensions: bool | None = None,
    dispatcher: Dispatcher | None = None,
    limits: Limits | None = None,
    trace: Trace | None = None,
) -> BlockingClient:
    """Connect to a device, without async.

    It connects at once, so it works with and without `with`. The event loop is asyncio's, in a
    thread of its own; `trace`, and the dispatcher's functions without `thread=True`, run there.

    Args:
        where: the device's URL; not `memory://`, whose both ends are in one event loop.
        timeout: seconds that a call waits unless it says otherwise, `None` for ever.
        connect_timeout: seconds to connect within, `None` for no limit.
        reconnect: open a new channel when the old one ends, after a random pause that grows. Open
            calls fail all the same, since nobody knows whether they ran.
        dialect: `iot` or `jsonrpc2`, until the device has spoken.
        extensions: whether the device understands `timeout`, `rpc.cancel` and the like; by default
            it is asked.
        dispatcher: answers what the device calls; an empty one by default.
        limits: bounds on what the device may cost.
        trace: is called with each message that arrives or leaves, and the frames; see `Trace`.

    Raises:
        InvalidUrl: the URL makes no sense.
        ConnectFailed: nobody answers there; `ConnectTimeout` if that took too long to find out.
        UsageError: a `memory://` URL.
    """
    if where.startswith("memory:"):
        raise UsageError(
            f"{where}: connect_sync has an event loop of its own, and memory:// stays within one"
        )
    dispatcher = dispatcher or Dispatcher()
    connecting = connect(
        where,
        timeout=timeout,
        connect_timeout=connect_timeout,
        reconnect=reconnect,
        dialect=dialect,
        extensions=extensions,
        dispatcher=dispatcher,
        limits=limits,
        trace=trace,
    )
    link = Link(mask(where), connecting)
    link.open()
    return BlockingClient(link, dispatcher)
