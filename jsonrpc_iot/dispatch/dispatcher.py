"""Methods by name: register them once, then answer messages from any transport."""

import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from ..channel.url import Url
from ..protocol.codec.codec import Codec
from ..protocol.codec.json import JsonCodec
from ..protocol.codec.msgpack import MsgpackCodec
from ..protocol.limits import DEFAULT_LIMITS, Limits
from ..protocol.messages import CodecName
from ..trust.principal import Principal
from .declare.callbacks import Audience
from .declare.context import Context
from .declare.event import BoundEvent, events
from .declare.options import MethodOptions, NotificationOptions, Options
from .declare.service import Mark, declared, decorator, service_prefix
from .declare.target import CALL_SECONDS, Target
from .handler import Handler
from .pair import NAME as PAIR
from .pair import pairing
from .responder import Responder
from .rpc_methods import About, Builtin, protocol_places
from .run.middleware import Middleware
from .table import Entries, HandlerTable, Place

if TYPE_CHECKING:
    from .forward import Forward

logger = logging.getLogger("jsonrpc_iot.dispatcher")

_CODECS: dict[CodecName, type[JsonCodec | MsgpackCodec]] = {
    codec.name: codec for codec in (JsonCodec, MsgpackCodec)
}

F = TypeVar("F", bound=Callable[..., Any])
Emit = Callable[..., object]
Places = list[tuple[Entries, Place]]  # each with the part of the table that it belongs to

_RESERVED = "rpc"


class Registry:
    """Handlers by name, and the middleware around them; a `Dispatcher` is made of it.

    Args:
        about: what it is, to be described.

    Attributes:
        forwarded: the prefixes that it forwards, how, and where to; for who keeps the connections.
    """

    def __init__(self, about: About) -> None:
        self._table = HandlerTable()
        self._audience = Audience()
        self.forwarded: list[tuple[str, Forward, str | Target]] = []
        self._builtin = builtin = Builtin(about, self._table)
        self._table.add(self._places_of_service(builtin, _RESERVED))
        self._table.add((self._entries_of(mark), place) for mark, place in protocol_places())

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
            effect: what a call does: `"read"`, `"change"`, or `"danger"` where it cannot be undone.
            errors: what it raises for its callers: children of `RpcError`, or instances of it.
            tags: words to group methods by.
            deprecated: callers should do without it.
            examples: calls that show its use.
            entity: what it is in a smart home: `Switch(…)` of `jsonrpc_iot.gateway.homeassistant`.
            button: it is a button there.
            options: those above.

        Raises:
            ValueError: the name is empty, is taken, or starts with `rpc.`; the timeout is not more
                than 0; there is no such effect; two errors have one code; or an example does not
                fit the signature.
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

        The options are `method`'s, but for `idempotent`, `effect`, `errors`, `entity` and
        `button`.
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
            TypeError: `other` is neither, or a class itself, a method of a service does not fit its
                declaration, or an event's type is a scalar in JSON, which params cannot be.
        """
        if other is self:
            raise ValueError("a dispatcher cannot include itself")
        emitting: tuple[BoundEvent[Any], ...] = ()
        if isinstance(other, Registry):
            if other._table.forwards:
                raise ValueError("a dispatcher that forwards cannot be included: forward from here")
            places = self._places_of_dispatcher(other, prefix)
        else:
            prefix = _join(prefix, service_prefix(other))
            places = self._places_of_service(other, prefix)
            emitting = tuple(events(other))
            if not places and not emitting:
                logger.warning("%r has nothing marked with @method, @notification or Event", other)
        for _, (name, _, _) in places:
            _refuse_reserved(name)
        self._table.add(places)
        if isinstance(other, Registry):
            for name, kind in other._table.events.items():
                self._table.declare(_join(prefix, name), kind, other._table.requires.get(name))
            other.on_emit(
                lambda method, params, requires=None: self.emit(
                    _join(prefix, method), params, requires=requires
                )
            )
        for event in emitting:
            name = _join(prefix, event.name)
            self._table.declare(name, event.kind, event.requires)
            event.subscribe(partial(self.emit, name))

    def forward(
        self,
        prefix: str,
        where: str | Target,
        *,
        requires: str | None = None,
        timeout: float | None = CALL_SECONDS,
    ) -> None:
        """Have a device answer all names that begin with a prefix and a dot.

        What it emits is emitted here under the prefix, while this dispatcher is served. Its
        results, errors and streams are passed on as they are; a `Gateway` does more.

        Args:
            prefix: the name of the device here, without a dot.
            where: the device's URL, where this dispatcher is connected as long as it is served; or
                an open client.
            requires: the permission that a caller needs for anything there.
            timeout: seconds that the device may take for a call whose caller does not say; `None`
                for any time.

        Raises:
            ValueError: a name that begins so is taken, or the prefix is none.
            InvalidUrl: the URL makes no sense.
        """
        if not prefix or "." in prefix:
            raise ValueError(f"{prefix!r}: a prefix is a name without a dot")
        _refuse_reserved(prefix)
        if isinstance(where, str):
            Url.parse(where)
        from .forward import Forward  # most dispatchers need none of it

        target = None if isinstance(where, str) else where
        forward = Forward(target, requires=requires, timeout=timeout)
        self._forward(prefix, forward)
        self.forwarded.append((prefix, forward, where))

    def _forward(self, prefix: str, forward: "Forward") -> None:
        from .forward_about import ForwardAbout

        is_first = not self._table.forwards
        self._table.forward(prefix, forward)
        if is_first:
            self._table.replace(ForwardAbout(self._builtin, self._table).places())

    def offer_pairing(self) -> None:
        """Have `rpc.pair`, for those of its servers that pair."""
        if PAIR not in self._table.methods:
            self._table.add([(self._table.methods, pairing())])

    def offer_stats(self) -> None:
        """Have `rpc.stats`, for those of its servers that count."""
        from .counted.method import NAME, telling  # most count nothing

        if NAME not in self._table.methods:
            self._table.add([(self._table.methods, telling())])

    def middleware(self, layer: Middleware) -> Middleware:
        """Put code around each call; the layer registered first is the outermost."""
        self._table.add_layer(layer)
        return layer

    def emit(self, method: str, params: Any = None, *, requires: str | None = None) -> None:
        """Send a notification to every peer of every server of this dispatcher; wait for none.

        Args:
            method: the notification's name.
            params: an object (dict, Struct, dataclass) or an array (list, tuple) of params.
            requires: the permission that a peer needs to hear it; the event's of that name by
                default.

        Params that are neither, or have no form in JSON, go to the log, with the event's name.
        """
        requires = requires or self._table.requires.get(method)
        if not len(self._audience) and isinstance(params, str | bytes | int | float):
            kind = type(params).__name__
            logger.error(
                "%s cannot be sent: its params are an object or array, not %s", method, kind
            )
        # Who does not know of permissions fails, and hears nothing that needs one.
        self._audience.tell(method, params, **({"requires": requires} if requires else {}))

    @property
    def received(self) -> list[str]:
        """The names of the notifications that have a receiver."""
        return [name for name in self._table.notifications if not name.startswith(f"{_RESERVED}.")]

    @property
    def restricted(self) -> list[str]:
        """The names of the methods that need a permission, but for the protocol's own."""
        methods = self._table.methods.items()
        needing = (name for name, each in methods if each.handler.options.requires is not None)
        return [name for name in needing if not name.startswith(f"{_RESERVED}.")]

    def on_emit(self, send: Emit) -> Callable[[], None]:
        """Have a callback called with the name and params of all that is emitted.

        And with `requires=` where a peer needs a permission to hear it.

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
            places.append((self._entries_of(item.mark), (name, handler, ())))
        return places

    def _entries_of(self, mark: Mark) -> Entries:
        return self._table.notifications if mark.notification else self._table.methods

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


class Dispatcher(Registry):
    """The methods and notifications that a device answers.

    Args:
        debug: tell callers the text and traceback of unforeseen exceptions, and refuse results that
            are not of the declared type.
        limits: bounds on the messages that it takes.
        title: what its description calls it.
        version: that of its software, for its description; this package's own by default.
        description: more about it.

    Attributes:
        everybody: who a caller is where `serve` is told neither of a keyring nor of a hook, and
            lets strangers in: for a dispatcher of which nothing is of use without permissions.
            `None` for a stranger.
    """

    def __init__(
        self,
        *,
        debug: bool = False,
        limits: Limits = DEFAULT_LIMITS,
        title: str = "JSON-RPC",
        version: str | None = None,
        description: str | None = None,
    ) -> None:
        super().__init__(About(title, version, description))
        self.limits = limits
        self.everybody: Principal | None = None
        self._debug = debug
        self._responders: dict[CodecName, Responder] = {}
        self._json = self.responder("json")
        # What the method below says, with a call less, which is a tenth of the time.
        self.dispatch_sync = self._json.dispatch_sync  # type: ignore[method-assign]

    def responder(self, codec: CodecName) -> Responder:
        """What answers messages in that codec."""
        if codec not in self._responders:
            made: Codec = _CODECS[codec](self.limits)
            self._responders[codec] = Responder(self._table, made, self.limits, debug=self._debug)
        return self._responders[codec]

    @asynccontextmanager
    async def while_served(self, server: Any) -> AsyncIterator[None]:
        """Wrap the time that a server serves it; a child of the class may do something meanwhile.

        Args:
            server: accepts traffic already.
        """
        yield

    def dispatch(
        self, data: bytes, context: Context | None = None
    ) -> Coroutine[Any, Any, bytes | None]:
        """Answer one message in JSON, a batch included; to be awaited.

        Args:
            data: the message.
            context: where it comes from and what its sender may do; nobody and nothing by default.

        Returns:
            The response, `None` where there is nothing to say.
        """
        return self._json.dispatch(data, context)  # a coroutine less is faster

    def dispatch_sync(self, data: bytes, context: Context | None = None) -> bytes | None:
        """Answer one message in JSON where there is no event loop; see `dispatch`.

        A handler that has to wait for something is answered with an internal error.
        """
        return self._json.dispatch_sync(data, context)


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix and name else prefix or name


def _refuse_reserved(name: str) -> None:
    if name == _RESERVED or name.startswith(f"{_RESERVED}."):
        raise ValueError(f"{name!r}: names that start with 'rpc.' belong to the protocol")
