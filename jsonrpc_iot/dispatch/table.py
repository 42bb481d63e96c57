"""Handlers by name, and the middleware around them: what a registry fills and responders read."""

import threading
from collections.abc import Callable, Iterable
from typing import Any

from .handler import Handler
from .run.middleware import Chain, Middleware

Place = tuple[str, Handler, tuple[Middleware, ...]]
"""A name, its handler, and the middleware that included dispatchers put around it."""


class Entry:
    """A handler's place in a table.

    Args:
        name: the full name that peers use.
        handler: what answers.
        layers: middleware of included dispatchers around it, outermost first.
        chain: all middleware around it.

    Attributes:
        plain: the handler needs nothing but its params, and nothing is around it.
        awaited: all there is to do with the handler is to await it.
    """

    __slots__ = ("awaited", "chain", "handler", "layers", "name", "plain")

    def __init__(
        self, name: str, handler: Handler, layers: tuple[Middleware, ...], chain: Chain
    ) -> None:
        self.name = name
        self.handler = handler
        self.layers = layers
        self.put_inside(chain)

    def put_inside(self, outer: Chain) -> None:
        """Have middleware around it, and around that of its own."""
        self.chain = Chain((*outer.middleware, *self.layers)) if self.layers else outer
        handler = self.handler
        self.plain = handler.plain and not self.chain.middleware
        has_limits = handler.options.serial or handler.options.timeout is not None
        self.awaited = handler.is_coroutine and not has_limits and not self.chain.middleware


Entries = dict[str, Entry]


class HandlerTable:
    """The handlers of one dispatcher.

    Attributes:
        methods: the entries of methods, by name.
        notifications: the entries of notifications, by name.
        events: the types of what is emitted, by name.
        requires: the permissions that are needed to hear of events, by name.
        chain: the middleware around all of them.
        near: what strangers may have meant by a name, as far as that has been looked for.
        lock: is held while anything changes, since other threads may dispatch all the while.
    """

    def __init__(self) -> None:
        self.methods: Entries = {}
        self.notifications: Entries = {}
        self.events: dict[str, Any] = {}
        self.requires: dict[str, str] = {}
        self.chain = Chain()
        self.near: dict[str, str | None] = {}
        self.lock = threading.Lock()
        self._on_change: list[Callable[[], None]] = []

    def on_change(self, callback: Callable[[], None]) -> None:
        """Have a callback called whenever something was added, while the lock is held."""
        self._on_change.append(callback)

    def add(self, places: Iterable[tuple[Entries, Place]]) -> None:
        """Add all of these handlers, or none.

        Args:
            places: each with `methods` or `notifications`, where it belongs.

        Raises:
            ValueError: a name is taken.
        """
        places = list(places)
        with self.lock:
            seen: set[tuple[int, str]] = set()
            for entries, (name, _, _) in places:
                key = id(entries), name
                if name in entries or key in seen:
                    raise ValueError(f"{name!r} is registered already")
                seen.add(key)
            for entries, (name, handler, layers) in places:
                entries[name] = Entry(name, handler, layers, self.chain)
            self._tell()

    def add_layer(self, layer: Middleware) -> None:
        """Put middleware around each call, inside that which is there already."""
        with self.lock:
            self.chain = Chain((*self.chain.middleware, layer))
            for entry in (*self.methods.values(), *self.notifications.values()):
                entry.put_inside(self.chain)
            self._tell()

    def unguarded(self) -> tuple[Entries, Entries]:
        """The methods and notifications that everybody may use."""
        return _unguarded(self.methods), _unguarded(self.notifications)

    def declare(self, name: str, kind: Any, requires: str | None) -> None:
        """Note the type of an event; one that several services emit is described by the first."""
        with self.lock:
            self.events.setdefault(name, kind)
            if requires is not None:
                self.requires.setdefault(name, requires)
            self._tell()

    def _tell(self) -> None:
        self.near = {}
        for callback in self._on_change:
            callback()


def _unguarded(entries: Entries) -> Entries:
    return {name: each for name, each in entries.items() if each.handler.options.requires is None}
