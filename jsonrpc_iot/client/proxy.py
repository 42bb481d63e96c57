"""Proxies: a service class from the caller's side, with the types of its declarations.

A class is compiled once: each method becomes a Struct of its params, whose constructor binds the
arguments in C and which leaves out what was not given. Making the calls is the client's business.
"""

import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache, partial
from typing import Any, TypeVar, cast

import msgspec
from msgspec import UNSET, Raw, Struct

from ..dispatch.declare.context import Timeout
from ..dispatch.declare.event import BoundEvent, Event, declared_events
from ..dispatch.declare.options import Options, error_class
from ..dispatch.declare.service import Declaration, declarations
from ..dispatch.declare.signature import signature as signature_of
from ..dispatch.declare.stream import Stream
from ..dispatch.declare.types import check_decodable
from ..errors import RpcError
from ..peer.remote import Remote
from ..peer.stream import RemoteStream
from ..protocol.about import about
from ..protocol.codec.codec import DECODE_ERRORS, Codec
from .notifications import Notifications

S = TypeVar("S")

_SPARE_SECONDS = 1.0
_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

logger = logging.getLogger("jsonrpc_iot.client")


class _Method(Struct, frozen=True):
    """A compiled declaration.

    Args:
        attribute: the name that it has in Python.
        name: the name that it has for the device, with the service's prefix.
        options: of which `timeout` and `idempotent` count for callers.
        errors: the classes of its declared errors, by code.
        notification: there is no result.
        result: the type of the result, or of its items.
        streams: the result comes item by item.
        bind: makes params of arguments, `None` of none where none are declared.
        signature: the declared one, without a Context.
        doc: what the declaration says of itself.
    """

    attribute: str
    name: str
    options: Options
    errors: Mapping[int, type[RpcError]]
    notification: bool
    result: Any
    streams: bool
    bind: Callable[..., Struct | None]
    signature: inspect.Signature
    doc: str | None


class _EventPlan(Struct, frozen=True):
    """A compiled event: its attribute, its name with the service's prefix, and its type."""

    attribute: str
    name: str
    kind: Any


class _Plan(Struct, frozen=True):
    """A compiled service class."""

    methods: tuple[_Method, ...]
    events: tuple[_EventPlan, ...]


class Proxy:
    """What has the methods and events of a service class, and nothing else.

    Args:
        about: says which service of which device it is.
        service: the class's name.
        members: functions and events by attribute.
    """

    def __init__(self, about: str, service: str, members: dict[str, Any]) -> None:
        vars(self).update(members, _Proxy__about=about, _Proxy__service=service)

    def __repr__(self) -> str:
        about: str = vars(self)["_Proxy__about"]
        return about

    def __getattr__(self, attribute: str) -> Any:
        raise AttributeError(self.__missing(attribute), name=attribute, obj=self)

    def __setattr__(self, attribute: str, value: object) -> None:
        raise AttributeError(f"{self!r} has nothing that can be set", name=attribute, obj=self)

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not name.startswith("_Proxy__")]

    def __missing(self, attribute: str) -> str:
        service = vars(self).get("_Proxy__service", "the service")
        return f"{service} declares no such method or event: {attribute!r}"


class RemoteEvent(BoundEvent[Any]):
    """An event of a device.

    Args:
        name: the notification's full name.
        kind: the type of its values.
        notifications: where the notifications come from.
    """

    def __init__(self, name: str, kind: Any, notifications: Notifications) -> None:
        super().__init__(name, kind)
        self._notifications = notifications
        self._unlisten: Callable[[], None] | None = None

    def __repr__(self) -> str:
        return f"<event {self.name!r} of a device>"

    def emit(self, value: Any) -> None:
        """Refuse: the device emits.

        Raises:
            TypeError: always.
        """
        raise TypeError(f"{self.name!r} is emitted by the device, not by its proxy")

    def subscribe(self, subscriber: Callable[[Any], object]) -> Callable[[], None]:
        """Have a callback called with each value; the client is listened to meanwhile."""
        leave = super().subscribe(subscriber)
        if self._unlisten is None:
            self._unlisten = self._notifications.listen(self.name, self._receive, self._end)

        def leave_and_rest() -> None:
            leave()
            if not len(self._callbacks) and self._unlisten is not None:
                self._unlisten()
                self._unlisten = None

        return leave_and_rest

    def _receive(self, codec: Codec, params: Raw) -> None:
        try:
            value = codec.decode_params(bytes(params) or codec.encode(None), self.kind)
        except DECODE_ERRORS as error:
            self.malformed += 1
            logger.warning(
                "%s: dropped a notification: %s", self.name, error, extra=about(method=self.name)
            )
            return
        self._callbacks.tell(value)

    def _end(self) -> None:
        for stream in self._streams:
            stream.close()


def new_proxy(
    device: str,
    caller: Remote,
    notifications: Notifications,
    service: Callable[..., S],
    prefix: str,
    timeout: Timeout,
    usual: float | None,
) -> S:
    """Make a proxy; see `Client.proxy`.

    Args:
        device: where it is, to be shown.
        caller: makes the calls.
        notifications: brings the notifications.
        service: the class.
        prefix: goes before the service's own.
        timeout: seconds for each call, `UNSET` to let the method decide.
        usual: seconds for a method that does not say.

    Raises:
        TypeError: `service` is no such class, or one of its types cannot travel.
    """
    if not isinstance(service, type) or not isinstance(_prefix(service), str):
        hint = f": give the class, {type(service).__name__}" if _prefix(type(service)) else ""
        raise TypeError(f"{service!r} is no class decorated with @service(prefix){hint}")
    plan = _plan(service)
    members: dict[str, Any] = {}
    for method in plan.methods:
        seconds = _seconds(method.options.timeout, usual) if timeout is UNSET else timeout
        function = _function(caller, method, _join(prefix, method.name), seconds)
        function.__qualname__ = f"{service.__qualname__}.{method.attribute}"
        members[method.attribute] = function
    for event in plan.events:
        members[event.attribute] = RemoteEvent(_join(prefix, event.name), event.kind, notifications)
    about = f"<proxy of {service.__qualname__} at {device}>"
    return cast(S, Proxy(about, service.__qualname__, members))


def _seconds(own: float | None, usual: float | None) -> float | None:
    """How long to wait for a method that may take its own time: the device shall end it, not we."""
    return usual if own is None or usual is None else max(usual, own + _SPARE_SECONDS)


def _function(caller: Remote, method: _Method, name: str, timeout: Timeout) -> Callable[..., Any]:
    """What a proxy has in place of a declaration; `name` is the full one."""
    bind, signature = method.bind, method.signature
    act: Callable[[Struct | None], Any]
    if method.notification:
        act = partial(caller.notify, name)
    elif method.streams:
        act = partial(_stream, caller, name, method, timeout)
    else:
        idempotent = method.options.idempotent
        act = partial(
            caller.call, name, result=method.result, timeout=timeout, idempotent=idempotent
        )
        if method.errors:
            act = partial(_call, act, method.errors)

    def function(*args: Any, **kwargs: Any) -> Any:
        try:
            params = bind(*args, **kwargs)
        except TypeError:
            raise TypeError(f"{name}: {_misfit(signature, args, kwargs)}") from None
        return act(params)

    function.__name__ = method.attribute
    function.__doc__ = method.doc
    function.__signature__ = signature  # type: ignore[attr-defined]
    return function


async def _call(
    call: Callable[[Struct | None], Awaitable[Any]],
    errors: Mapping[int, type[RpcError]],
    params: Struct | None,
) -> Any:
    """Call, and raise the errors of the declaration as it names them."""
    try:
        return await call(params)
    except RpcError as error:
        raise error.as_declared(errors) from None


def _stream(
    caller: Remote, name: str, method: _Method, timeout: Timeout, params: Struct | None
) -> Stream[Any]:
    stream = caller.stream(name, params, item=method.result, timeout=timeout)
    assert isinstance(stream, RemoteStream)
    return stream.raise_as(method.errors)


def _misfit(signature: inspect.Signature, args: Any, kwargs: Any) -> TypeError | None:
    """Why arguments do not fit a signature."""
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        return error
    return None


@lru_cache(256)
def _plan(service: type) -> _Plan:
    """Compile a service class.

    Raises:
        TypeError: one of its types cannot travel.
    """
    return _Plan(
        tuple(_method(service, each) for each in declarations(service)),
        tuple(_event(service, attribute, event) for attribute, event in declared_events(service)),
    )


def _method(service: type, declaration: Declaration) -> _Method:
    mark = declaration.mark
    name = _join(_prefix(service), mark.name)
    function = declaration.function.__get__(object(), service)  # without `self`
    parameters, result, streams = signature_of(function, name, mark.options.names)
    if not mark.notification:
        check_decodable(result, f"method {name!r}, result")
    signature = inspect.Signature(parameters)
    return _Method(
        attribute=declaration.attribute,
        name=name,
        options=mark.options,
        errors={error.code: error_class(error) for error in mark.options.errors},
        notification=mark.notification,
        result=result,
        streams=streams,
        bind=_binder(name, signature, mark.options.names),
        signature=signature,
        doc=inspect.getdoc(function),
    )


def _event(service: type, attribute: str, event: Event[Any]) -> _EventPlan:
    assert event.name is not None
    name = _join(_prefix(service), event.name)
    check_decodable(event.kind, f"event {name!r}")
    return _EventPlan(attribute, name, event.kind)


def _binder(
    name: str, signature: inspect.Signature, names: Mapping[str, str]
) -> Callable[..., Struct | None]:
    """What makes params of arguments; what was not given is left to the device's own defaults."""
    parameters = signature.parameters.values()
    if not parameters:

        def bind_nothing() -> None:
            return None

        return bind_nothing
    # Types are left to the device, which has the last word on them anyway.
    by_position = [_field(p) for p in parameters if p.kind in _BY_POSITION]
    by_name = [_field(p) for p in parameters if p.kind not in _BY_POSITION]
    params = msgspec.defstruct(f"Arguments of {name}", by_position, rename=names)
    if by_name:
        bases = (params,)
        params = msgspec.defstruct(
            params.__name__, by_name, bases=bases, kw_only=True, rename=names
        )
    if all(p.kind is not p.POSITIONAL_ONLY for p in parameters):
        return params

    def bind(*args: Any, **kwargs: Any) -> Struct:
        return params(**signature.bind(*args, **kwargs).arguments)

    return bind


def _field(parameter: inspect.Parameter) -> Any:
    needed = parameter.default is parameter.empty
    return (parameter.name, Any) if needed else (parameter.name, Any, UNSET)


def _prefix(service: type) -> Any:
    return getattr(service, "__rpc_prefix__", None)


def _join(*names: str) -> str:
    return ".".join(filter(None, names))
