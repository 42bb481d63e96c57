"""The thread whose event loop all blocking clients share, from the first to the last of them.

It is a daemon, so that a client that nobody closed does not keep the process alive. When the
process ends it closes the clients that are left, for a short time, and without a word. It does not
follow into a forked process: the clients there are closed, and new ones get a thread of their own.
"""

import atexit
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from typing import ClassVar, Protocol

import anyio

from ..dispatch.run.threads import call_soon

_EXIT_SECONDS = 2.0
_FORCED_EXIT_SECONDS = 1.0
_LAST_STEPS_SECONDS = 1.0


class Tenant(Protocol):
    """Something that lives in the thread."""

    async def live(self) -> None:
        """Run until it is over; raises nothing but cancellation."""

    def end(self) -> None:
        """Begin to end; called in the thread."""

    def over(self) -> None:
        """It is over, even if it never lived; may be called more than once."""


class LoopThread:
    """An event loop in a thread of its own.

    Attributes:
        is_exiting: the process ends.
    """

    _shared: ClassVar["LoopThread | None"] = None
    _sharing: ClassVar[threading.Lock] = threading.Lock()
    _waits_for_exit: ClassVar[bool] = False

    def __init__(self) -> None:
        self.is_exiting = False
        self._is_over = False
        self._leases = 0
        self._tenants: set[Tenant] = set()
        self._ready = threading.Event()
        self._soon: Callable[[Callable[[], None]], object] | None = None
        # A context of its own: the caller's may say that another event loop runs here.
        self._thread = threading.Thread(
            target=Context().run, args=(self._run,), name="jsonrpc-iot", daemon=True
        )

    @classmethod
    def lease(cls) -> "LoopThread":
        """The shared thread, which `house` must be called on once."""
        with cls._sharing:
            if not cls._waits_for_exit:
                cls._waits_for_exit = True
                atexit.register(cls._exit)
                if hasattr(os, "register_at_fork"):  # not on Windows
                    os.register_at_fork(after_in_child=cls._forked)
            shared = cls._shared
            if shared is None or shared._is_over:
                shared = cls()
                shared._thread.start()
                cls._shared = shared
            shared._leases += 1
        shared._ready.wait()
        return shared

    def house(self, tenant: Tenant) -> None:
        """Let a tenant live here; the thread ends with the last one."""
        self._tenants.add(tenant)
        self.call_soon(partial(self._move_in, tenant))
        if self._is_over:
            tenant.over()

    def call_soon(self, function: Callable[[], None]) -> bool:
        """Have a function called in the thread, without waiting for it.

        Returns:
            Whether the event loop still runs.
        """
        if self._soon is None:
            return False
        try:
            self._soon(partial(self._context.run, function))
        except RuntimeError:
            return False
        return True

    def is_current(self) -> bool:
        """Whether the caller runs in this thread."""
        return threading.get_ident() == self._thread.ident

    def finish(self) -> None:
        """Wait until the thread has ended, if it is about to."""
        if LoopThread._shared is not self:
            self._thread.join(_LAST_STEPS_SECONDS)

    def _run(self) -> None:
        try:
            anyio.run(self._live)
        except RuntimeError:
            if not self.is_exiting:  # when no thread can start any more, to clean up
                raise
        finally:
            self._retire()
            self._is_over = True
            for tenant in tuple(self._tenants):  # when it broke down
                tenant.over()
            self._ready.set()

    async def _live(self) -> None:
        self._soon = call_soon()
        self._context = copy_context()
        self._over = anyio.Event()
        async with anyio.create_task_group() as self._tasks:
            self._ready.set()
            await self._over.wait()

    def _move_in(self, tenant: Tenant) -> None:
        self._tasks.start_soon(self._shelter, tenant)

    async def _shelter(self, tenant: Tenant) -> None:
        try:
            await tenant.live()
        except BaseException:
            self._retire()  # the event loop breaks down
            raise
        finally:
            self._tenants.discard(tenant)
            self._give_back()
            tenant.over()  # last: whoever hears of it may want a thread at once

    def _give_back(self) -> None:
        with self._sharing:
            self._leases -= 1
            if self._leases:
                return
            if LoopThread._shared is self:
                LoopThread._shared = None
        self._over.set()

    def _retire(self) -> None:
        """Take no more tenants."""
        with self._sharing:
            if LoopThread._shared is self:
                LoopThread._shared = None

    @classmethod
    def _forked(cls) -> None:
        """Close what the parent process has open: nothing runs it here."""
        cls._sharing = threading.Lock()  # who held the old one is not here
        shared, cls._shared = cls._shared, None
        if shared is not None:
            shared._soon = None
            shared._is_over = True
            for tenant in tuple(shared._tenants):
                tenant.over()

    @classmethod
    def _exit(cls) -> None:
        shared = cls._shared
        if shared is not None:
            with suppress(KeyboardInterrupt):
                shared._evict()

    def _evict(self) -> None:
        self.is_exiting = True
        self.call_soon(self._end_tenants)
        self._thread.join(_EXIT_SECONDS)
        if self._thread.is_alive():
            self.call_soon(self._tasks.cancel_scope.cancel)
            self._thread.join(_FORCED_EXIT_SECONDS)

    def _end_tenants(self) -> None:
        self._over.set()
        for tenant in tuple(self._tenants):
            tenant.end()
