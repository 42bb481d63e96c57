"""Handlers by name, and the middleware around them: what a registry fills and responders read."""

import threading
from collections.abc import Callable, Iterable
from typing import Any

from .handler import Handler
from .middleware import Chain, Middleware

Handlers = Iterable[tuple[dict[str, Handler], Handler]]


class HandlerTable:
    """The handlers of one dispatcher.

    Attributes:
        methods: those of methods, by name.
        notifications: those of notifications, by name.
        events: the types of what is emitted, by name.
        chain: the middleware around them.
        lock: is held while anything changes, since other threads may dispatch all the while.
    """

    def __init__(self) -> None:
        self.methods: dict[str, Handler] = {}
        self.notifications: dict[str, Handler] = {}
        self.events: dict[str, Any] = {}
        self.chain = Chain()
        self.lock = threading.Lock()
        self._on_change: list[Callable[[], None]] = []

    def on_change(self, callback: Callable[[], None]) -> None:
        """Have a callback called whenever something was added, while the lock is held."""
        self._on_change.append(callback)

    def add(self, handlers: Handlers) -> None:
        """Add all of these handlers, or none.

        Args:
            handlers: each with `methods` or `notifications`, where it belongs.

        Raises:
            ValueError: a name is taken.
        """
        handlers = list(handlers)
        with self.lock:
            seen: set[tuple[int, str]] = set()
            for names, handler in handlers:
                key = id(names), handler.name
                if handler.name in names or key in seen:
                    raise ValueError(f"{handler.name!r} is registered already")
                seen.add(key)
            for names, handler in handlers:
                names[handler.name] = handler
            self._tell()

    def add_layer(self, layer: Middleware) -> None:
        """Put middleware around each call, inside that which is there already."""
        with self.lock:
            self.chain = Chain((*self.chain.middleware, layer))
            self._tell()

    def unguarded(self) -> list[Handler]:
        """The handlers of methods that everybody may call and that have nothing around them."""
        if self.chain.middleware:
            return []
        return [each for each in self.methods.values() if each.options.requires is None]

    def declare(self, kinds: dict[str, Any]) -> None:
        """Note the types of events; one that several services emit is described by the first."""
        with self.lock:
            for name, kind in kinds.items():
                self.events.setdefault(name, kind)
            self._tell()

    def _tell(self) -> None:
        for callback in self._on_change:
            callback()
