"""Watching many sockets in one task, on trio, where each would need one."""

import select
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING

import anyio

from ..channel.clock import asyncio_loop

if TYPE_CHECKING:
    from select import epoll

_AT_ONCE = 64


class Poller:
    """Calls functions when there is something to read, as an event loop of asyncio does.

    It is a set of descriptors that the system holds (epoll), which is readable when one of them is.
    """

    def __init__(self) -> None:
        self._ready: epoll = select.epoll()
        self._callbacks: dict[int, Callable[[], object]] = {}

    @classmethod
    def where_needed(cls) -> "Poller | None":
        """A poller on trio, if the system has epoll."""
        return cls() if asyncio_loop() is None and hasattr(select, "epoll") else None

    async def run(self) -> None:
        """Watch until cancelled, then never again."""
        try:
            while True:
                await anyio.wait_readable(self._ready.fileno())
                for descriptor, _ in self._ready.poll(0, _AT_ONCE):
                    if callback := self._callbacks.get(descriptor):
                        callback()
        finally:
            self._callbacks.clear()
            self._ready.close()

    def is_closed(self) -> bool:
        """Whether `run` is over."""
        return self._ready.closed

    def add_reader(self, descriptor: int, callback: Callable[[], object]) -> None:
        """Call a function whenever there is something to read, in the present context."""
        self._ready.register(descriptor, select.EPOLLIN)
        self._callbacks[descriptor] = partial(copy_context().run, callback)

    def remove_reader(self, descriptor: int) -> None:
        """Do that no longer."""
        if self._callbacks.pop(descriptor, None) is not None:
            self._ready.unregister(descriptor)
