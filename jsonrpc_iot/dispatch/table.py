"""Handlers by name, and the middleware around them: what a registry fills and responders read."""

import threading
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from .declare.options import Options
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


class Elsewhere(Protocol):
    """What answers all names that begin with a prefix.

    Attributes:
        options: how they run.
    """

    options: Options

    def offers(self, method: str) -> bool:
        """Whether there may be a method or notification of that name, without the prefix."""

    def handler(self, method: str) -> Handler:
        """What answers that name."""


class HandlerTable:
    """The handlers of one dispatcher.

    Attributes:
        methods: the entries of methods, by name.
        notifications: the entries of notifications, by name.
        forwards: the other ends that answer what is in neither, by the part of a name before its
            first dot; `""` for all names.
        events: the types of what is emitted, by name.
        requires: the permissions that are needed to hear of events, by name.
        chain: the middleware around all of them.
        near: what strangers may have meant by a name, as far as that has been looked for.
        lock: is held while anything changes, since other threads may dispatch all the while.
    """

    def __init__(self) -> None:
        self.methods: Entries = {}
        self.notifications: Entries = {}
        self.forwards: dict[str, Elsewhere] = {}
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
                if name.partition(".")[0] in self.forwards:
                    raise ValueError(f"{name!r}: names that begin so belong to a device")
                seen.add(key)
            for entries, (name, handler, layers) in places:
                entries[name] = Entry(name, handler, layers, self.chain)
            self._tell()

    def replace(self, places: Iterable[tuple[Entries, Place]]) -> None:
        """Put handlers in the place of those that have their names now."""
        with self.lock:
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

    def forward(self, prefix: str, forward: Elsewhere) -> None:
        """Have another end answer all names that begin with a prefix.

        Raises:
            ValueError: a name that begins so is taken.
        """
        with self.lock:
            for name in (*self.methods, *self.notifications, *self.forwards):
                if prefix and name.partition(".")[0] == prefix:
                    raise ValueError(f"{prefix!r}: {name!r} is registered already")
            self.forwards[prefix] = forward
            self._tell()

    def withdraw(self, prefix: str) -> None:
        """Have nobody answer the names that begin with a prefix any more."""
        with self.lock:
            del self.forwards[prefix]
            self._tell()

    def entry(self, name: str, *, is_request: bool = True) -> Entry | None:
        """What answers a request or takes a notification of that name, `None` if nothing does."""
        entry = self.methods.get(name)
        if not is_request:
            entry = self.notifications.get(name, entry)
        if entry is None and self.forwards:
            return self._forwarded(name)
        return entry

    def _forwarded(self, name: str) -> Entry | None:
        prefix, dot, method = name.partition(".")
        forward = self.forwards.get(prefix) if dot else None
        if forward is None and prefix != "rpc":
            forward, method = self.forwards.get(""), name
        if forward is None or not forward.offers(method):
            return None
        return Entry(name, forward.handler(method), (), self.chain)

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
