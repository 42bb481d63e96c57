"""An asynchronous client, kept open in the event loop's thread, and what threads ask of it."""

import logging
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from contextvars import Context, copy_context
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import anyio
from anyio.abc import TaskGroup

from ..client.client import Client
from ..errors import ChannelClosed
from ..protocol.about import about
from ._outcome import Outcome, wait_for
from ._thread import LoopThread

T = TypeVar("T")

logger = logging.getLogger("jsonrpc_iot.blocking")

_CLEAN_UP_SECONDS = 1.0


class Job(Outcome[T], Generic[T]):
    """A function that runs in the event loop while a thread waits for its outcome.

    Args:
        function: what runs.
        thread: runs it.
    """

    __slots__ = ("_function", "_scope")

    def __init__(self, function: Callable[[], Awaitable[T]], thread: LoopThread) -> None:
        super().__init__(thread)
        self._function = function
        self._scope: anyio.CancelScope | None = None

    async def run(self) -> None:
        """Run it, unless it is cancelled already."""
        if self.is_there:
            return
        with anyio.CancelScope() as self._scope:
            try:
                self.succeed(await self._function())
            except Exception as error:  # noqa: BLE001  # it is the waiting thread's
                self.fail(error)

    def cancel(self) -> None:
        """Stop it: nobody waits any more."""
        if not self.is_there:
            self._arrive()
        if self._scope is not None:
            self._scope.cancel()


class Resource(Protocol):
    """Something that is open in the event loop."""

    async def aclose(self) -> None:
        """Close it."""


class Link:
    """One open client.

    Args:
        name: where the device is, to be shown.
        connecting: what `connect` returned.

    Attributes:
        name: where the device is.
        client: used in the event loop's thread only.
        is_closed: nothing can be asked any more.
        carries_context: what runs sees the context variables of who asked for it.
        resources: what must be closed when the client has; for the event loop's thread.
    """

    client: Client

    def __init__(self, name: str, connecting: AbstractAsyncContextManager[Client]) -> None:
        self.name = name
        self.is_closed = False
        self.carries_context = False
        self.resources: set[Resource] = set()
        self._connecting = connecting
        self._thread = LoopThread.lease()
        self._opened: Outcome[Client] = Outcome(self._thread)
        self._is_open = False
        self._ended = threading.Event()
        self._jobs: set[Job[Any]] = set()
        self._tasks: TaskGroup | None = None

    def open(self) -> None:
        """Connect, and wait for it; raises what `connect` raises."""
        try:
            self._thread.house(self)
            self.client = self._opened.wait()
        except BaseException:
            self.end_soon()
            raise

    def close(self) -> None:
        """Disconnect, and wait for it, except in the event loop's own thread."""
        self.end_soon()
        if not self._thread.is_current():
            wait_for(self._ended)
            self._thread.finish()

    def end_soon(self) -> None:
        """Disconnect without waiting; any thread may call it at any moment."""
        self._thread.call_soon(self.end)

    def run(self, function: Callable[[], Awaitable[T]]) -> T:
        """Run a coroutine function in the event loop and wait for its outcome.

        A thread that stops waiting, by Ctrl-C for example, cancels it.

        Raises:
            ChannelClosed: the client is closed, or is closed meanwhile.
            RuntimeError: the caller is the event loop's own thread.
        """
        if self._thread.is_current():
            raise RuntimeError(
                "a blocking client was used in the thread of its own event loop, which would wait "
                "for itself: register plain functions with thread=True, or await the asynchronous "
                "client there"
            )
        if self.carries_context:
            function = _in_context(copy_context(), function)
        job = Job(function, self._thread)
        self._jobs.add(job)
        try:
            if self.is_closed or not self._thread.call_soon(partial(self._start, job)):
                job.fail(self._closed())
            return job.wait()
        finally:
            self._jobs.discard(job)
            if not job.is_there:
                self._thread.call_soon(job.cancel)

    def run_sync(self, function: Callable[[], T]) -> T:
        """Run a plain function in the event loop; as `run`."""

        async def call() -> T:
            return function()

        return self.run(call)

    def run_soon(self, function: Callable[[], Awaitable[object]]) -> None:
        """Run a coroutine function in the event loop without waiting; any thread may call it."""
        self._thread.call_soon(partial(self._start, Job(function, self._thread)))

    def _start(self, job: Job[Any]) -> None:
        if self.is_closed or self._tasks is None:
            job.fail(self._closed())
        else:
            self._tasks.start_soon(job.run)

    async def live(self) -> None:
        """Keep the client open until `end`."""
        self._over = anyio.Event()
        try:
            async with anyio.create_task_group() as self._tasks:
                if self.is_closed:
                    return
                await self._hold()
                self.is_closed = True
                self._tasks.cancel_scope.cancel()
        finally:
            self.is_closed = True
            with anyio.move_on_after(_CLEAN_UP_SECONDS, shield=True):
                for resource in tuple(self.resources):
                    await resource.aclose()

    def over(self) -> None:
        """Tell those who wait; called when nothing runs any more."""
        self.is_closed = True
        for job in (self._opened, *self._jobs):
            job.fail(self._closed())
        self._ended.set()

    def end(self) -> None:
        """Begin to close; called in the event loop's thread."""
        self.is_closed = True
        if self._is_open:
            self._over.set()
        elif self._tasks is not None:
            self._tasks.cancel_scope.cancel()

    async def _hold(self) -> None:
        try:
            async with self._connecting as client:
                self._is_open = True
                self._opened.succeed(client)
                await self._over.wait()
        except Exception as error:
            if self._is_open:
                logger.exception("%s: the client failed", self.name, extra=about(self.name))
            self._opened.fail(error)

    def _closed(self) -> ChannelClosed:
        return ChannelClosed(f"{self.name}: the client is closed")


def _in_context(
    context: Context, function: Callable[[], Awaitable[T]]
) -> Callable[[], Awaitable[T]]:
    """A function that sees what a context has beyond that in which it is called."""

    async def call() -> T:
        here = copy_context()
        for variable, value in context.items():
            if variable not in here:
                variable.set(value)
        return await function()

    return call
