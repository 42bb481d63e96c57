"""Which methods, notifications and events there are: what decorators and `include` fill in."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, Unpack, overload

from .builtin import About, Builtin
from .event import BoundEvent, Listeners, events
from .handler import Handler
from .middleware import Middleware
from .options import MethodOptions, NotificationOptions, Options
from .service import declared, decorator, service_prefix
from .table import Entries, HandlerTable, Place

F = TypeVar("F", bound=Callable[..., Any])
Emit = Callable[[str, Any], object]
Places = list[tuple[Entries, Place]]  # each with the part of the table that it belongs to

_RESERVED = "rpc"


class Registry:
    """Handlers by name, and the middleware around them; a `Dispatcher` is made of it.

    Args:
        about: what it is, to be described.
    """

    def __init__(self, about: About) -> None:
        self._table = HandlerTable()
        self._audience = Listeners()
        self._table.add(self._places_of_service(Builtin(about, self._table), _RESERVED))

    @overload
    def method(self, name: F, /) -> F: ...
    @overload
    def method(
        self, name: str | None = None, /, **options: Unpack[MethodOptions]
    ) -> Callable[[F], F]: ...
    def method(
        self, name: F | str | None = None, /, **options: Unpack[MethodOptions]
    ) -> F | Callable[[F], F]:
        """Register a function as a method, under its own or another name.

        Args:
            name: the name that callers use.
            thread: run it in a worker thread, for code that blocks.
            serial: run it one call at a time per peer, in order of arrival.
            timeout: seconds until it is cancelled and answered with -32002.
            requires: the permission that a caller needs.
            idempotent: calling it twice is no different from calling it once.
            errors: what it raises for its callers: children of `RpcError`, or instances of it.
            tags: words to group methods by.
            deprecated: callers should do without it.
            examples: calls that show its use.
            options: those above.

        Raises:
            ValueError: the name is empty, is taken, or starts with `rpc.`; the timeout is not more
                than 0; two errors have one code; or an example does not fit the signature.
            TypeError: the function has no name, and none is given; the signature cannot be
                validated, and the text names the parameter; or an option is something else.
        """
        return self._decorate(name, self._table.methods, Options(**options))

    @overload
    def notification(self, name: F, /) -> F: ...
    @overload
    def notification(
        self, name: str | None = None, /, **options: Unpack[NotificationOptions]
    ) -> Callable[[F], F]: ...
    def notification(
        self, name: F | str | None = None, /, **options: Unpack[NotificationOptions]
    ) -> F | Callable[[F], F]:
        """Register a function as the receiver of a notification.

        The options are `method`'s, but for `idempotent` and `errors`: there is no answer.
        """
        return self._decorate(name, self._table.notifications, Options(**options))

    def include(self, other: "Registry | object", prefix: str = "") -> None:
        """Take over the methods, notifications and events of a dispatcher or a service.

        A dispatcher's middleware stays around its methods. What `other` registers later is not
        taken over.

        Args:
            other: a dispatcher, or an instance of a class decorated with `@service`.
            prefix: put before each name, with a dot.

        Raises:
            ValueError: a name is taken, or starts with `rpc.`, or `other` is this dispatcher; then
                nothing is taken over.
            TypeError: `other` is neither, a method of a service does not fit its declaration, or an
                event's type is a scalar in JSON, which params cannot be.
        """
        if other is self:
            raise ValueError("a dispatcher cannot include itself")
        emitting: tuple[BoundEvent[Any], ...] = ()
        if isinstance(other, Registry):
            places = self._places_of_dispatcher(other, prefix)
        else:
            prefix = _join(prefix, service_prefix(other))
            places = self._places_of_service(other, prefix)
            emitting = tuple(events(other))
        for _, (name, _, _) in places:
            _refuse_reserved(name)
        self._table.add(places)
        if isinstance(other, Registry):
            self._table.declare(
                {_join(prefix, name): kind for name, kind in other._table.events.items()}
            )
            other.on_emit(lambda method, params: self.emit(_join(prefix, method), params))
        for event in emitting:
            name = _join(prefix, event.name)
            self._table.declare({name: event.kind})
            event.subscribe(partial(self.emit, name))

    def middleware(self, layer: Middleware) -> Middleware:
        """Put code around each call; the layer registered first is the outermost."""
        self._table.add_layer(layer)
        return layer

    def emit(self, method: str, params: Any = None) -> None:
        """Send a notification to every peer of every server of this dispatcher; wait for none."""
        self._audience.tell(method, params)

    def on_emit(self, send: Emit) -> Callable[[], None]:
        """Have a callback called with the name and params of all that is emitted.

        Returns:
            A function that ends the subscription.
        """
        return self._audience.add(send)

    def _decorate(
        self, name: F | str | None, entries: Entries, options: Options
    ) -> F | Callable[[F], F]:
        def register(function: F, chosen: str) -> F:
            _refuse_reserved(chosen)
            self._table.add([(entries, (chosen, Handler(chosen, function, options), ()))])
            return function

        return decorator(name, register)

    def _places_of_service(self, instance: object, prefix: str) -> Places:
        places: Places = []
        for item in declared(instance):
            name = _join(prefix, item.mark.name)
            handler = Handler(name, item.function, item.mark.options, item.declaration)
            is_notification = item.mark.notification
            entries = self._table.notifications if is_notification else self._table.methods
            places.append((entries, (name, handler, ())))
        return places

    def _places_of_dispatcher(self, other: "Registry", prefix: str) -> Places:
        layers = other._table.chain.middleware
        return [
            (mine, (_join(prefix, name), entry.handler, (*layers, *entry.layers)))
            for theirs, mine in (
                (other._table.methods, self._table.methods),
                (other._table.notifications, self._table.notifications),
            )
            for name, entry in theirs.items()
            if not name.startswith(f"{_RESERVED}.")
        ]


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix and name else prefix or name


def _refuse_reserved(name: str) -> None:
    if name == _RESERVED or name.startswith(f"{_RESERVED}."):
        raise ValueError(f"{name!r}: names that start with 'rpc.' belong to the protocol")
