"""Marks that make a class a service: its prefix, its methods and the events that it emits.

A service class can be an interface: subclasses override its methods without marks of their own,
and the declaration gives the name, the types and the options.
"""

import logging
from collections.abc import Callable, Iterator
from typing import Any, ForwardRef, Generic, TypeVar, Unpack, get_args, overload

from msgspec import Struct

from .options import MethodOptions, NotificationOptions, Options

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=type)
T = TypeVar("T")

logger = logging.getLogger("jsonrpc_iot.dispatcher")


class Mark(Struct, frozen=True):
    """What a decorator notes on a function of a service class."""

    name: str
    notification: bool
    options: Options


def service(prefix: str) -> Callable[[C], C]:
    """Make a class a service whose names are `prefix.name`, or plain names for an empty prefix."""

    def decorate(cls: C) -> C:
        cls.__rpc_prefix__ = prefix  # type: ignore[attr-defined]
        return cls

    return decorate


@overload
def method(name: F, /) -> F: ...
@overload
def method(name: str | None = None, /, **options: Unpack[MethodOptions]) -> Callable[[F], F]: ...
def method(
    name: F | str | None = None, /, **options: Unpack[MethodOptions]
) -> F | Callable[[F], F]:
    """Mark a function of a service class as a method, under its own or another name.

    The options are those of `Options`.
    """
    return _mark(name, notification=False, options=Options(**options))


@overload
def notification(name: F, /) -> F: ...
@overload
def notification(
    name: str | None = None, /, **options: Unpack[NotificationOptions]
) -> Callable[[F], F]: ...
def notification(
    name: F | str | None = None, /, **options: Unpack[NotificationOptions]
) -> F | Callable[[F], F]:
    """Mark a function of a service class as the receiver of a notification."""
    return _mark(name, notification=True, options=Options(**options))


def _mark(name: F | str | None, *, notification: bool, options: Options) -> F | Callable[[F], F]:
    def mark(function: F, chosen: str) -> F:
        plain = _unwrapped(function)
        if not hasattr(plain, "__get__"):
            raise TypeError(f"{function!r} is no function, and cannot be a method of a class")
        plain.__rpc__ = Mark(chosen, notification, options)
        return function

    return decorator(name, mark)


def decorator(name: F | str | None, apply: Callable[[F, str], F]) -> F | Callable[[F], F]:
    """Make `@method`, `@method()` and `@method("name")` of one function.

    Args:
        name: what the decorator was given.
        apply: takes the decorated function and its name.

    Raises:
        ValueError: the name is empty.
        TypeError: the name is no text, or there is none.
    """
    if name == "":
        raise ValueError("the name of a method is not empty")
    if isinstance(name, str):
        return lambda function: apply(function, name)
    if name is None:
        return lambda function: apply(function, _own_name(function))
    if callable(name) or isinstance(name, classmethod):
        return apply(name, _own_name(name))
    raise TypeError(f"the name of a method is a text, not {name!r}")


def _own_name(function: Callable[..., Any]) -> str:
    name = getattr(_unwrapped(function), "__name__", None)
    if not isinstance(name, str):
        raise TypeError(f"{function!r} has no name of its own: give one, as in method('name')")
    return name


def _unwrapped(function: Any) -> Any:
    """The function in a static or class method, which carries the mark in any order."""
    return function.__func__ if isinstance(function, staticmethod | classmethod) else function


class Declared(Struct, frozen=True):
    """One marked function of a service.

    Args:
        mark: name and options.
        declaration: the function that carries the mark, whose types count, bound as well.
        function: the bound function that runs.
    """

    mark: Mark
    declaration: Callable[..., Any]
    function: Callable[..., Any]


def declared(instance: object) -> Iterator[Declared]:
    """The marked functions of a service and of the interfaces that it derives from."""
    seen: set[str] = set()
    for cls in type(instance).__mro__:
        for attribute, value in vars(cls).items():
            mark = getattr(_unwrapped(value), "__rpc__", None)
            if isinstance(mark, Mark) and attribute not in seen:
                seen.add(attribute)
                function = getattr(instance, attribute)
                if function is not None:  # with which a subclass removes it
                    yield Declared(mark, value.__get__(instance, type(instance)), function)


def events(instance: object) -> "Iterator[BoundEvent[Any]]":
    """The events that a service declares, without those that a subclass put `None` in place of."""
    seen: set[str] = set()
    for cls in type(instance).__mro__:
        for attribute, value in vars(cls).items():
            if isinstance(value, Event) and attribute not in seen:
                seen.add(attribute)
                event = getattr(instance, attribute)
                if isinstance(event, BoundEvent):
                    yield event


def service_prefix(instance: object) -> str:
    """The prefix of a service.

    Raises:
        TypeError: the object is no service.
    """
    prefix = getattr(instance, "__rpc_prefix__", None)
    if not isinstance(prefix, str):
        raise TypeError(
            f"{type(instance).__name__} is no service: decorate its class with @service(prefix)"
        )
    return prefix


class Listeners:
    """Callbacks that are told the same, in the order in which they came."""

    def __init__(self) -> None:
        self._callbacks: dict[object, Callable[..., object]] = {}

    def add(self, callback: Callable[..., object]) -> Callable[[], None]:
        """Have a callback called from now on.

        Returns:
            A function that ends this; to call it again does nothing.
        """
        key = object()
        self._callbacks[key] = callback

        def leave() -> None:
            self._callbacks.pop(key, None)

        return leave

    def tell(self, *values: object) -> None:
        """Call all callbacks; one that fails is logged, and the others are called all the same."""
        for callback in tuple(self._callbacks.values()):
            try:
                callback(*values)
            except Exception:
                logger.exception("a listener failed: %r", callback)


class Event(Generic[T]):
    """A notification that a service emits, declared in its class: `changed = Event[Status]()`.

    Args:
        name: the notification's name without the service's prefix; the attribute's by default.
    """

    def __init__(self, name: str | None = None) -> None:
        self.name = name

    def __set_name__(self, owner: type, attribute: str) -> None:
        self._attribute = attribute
        self.name = self.name or attribute

    @property
    def kind(self) -> Any:
        """The type of its values, the `T` of `Event[T]`; `Any` where that says nothing."""
        (kind,) = get_args(getattr(self, "__orig_class__", Event[Any]))
        return Any if isinstance(kind, TypeVar | ForwardRef) else kind

    @overload
    def __get__(self, instance: None, owner: type) -> "Event[T]": ...
    @overload
    def __get__(self, instance: object, owner: type) -> "BoundEvent[T]": ...
    def __get__(self, instance: object | None, owner: type) -> "Event[T] | BoundEvent[T]":
        if instance is None:
            return self
        assert self.name is not None
        fresh: BoundEvent[T] = BoundEvent(self.name, self.kind)
        bound: BoundEvent[T] = instance.__dict__.setdefault(self._attribute, fresh)
        return bound


class BoundEvent(Generic[T]):
    """The event of one service object.

    Args:
        name: the notification's name without the service's prefix.
        kind: the type of its values.
    """

    def __init__(self, name: str, kind: Any = Any) -> None:
        self.name = name
        self.kind = kind
        self._listeners = Listeners()

    def emit(self, value: T) -> None:
        """Hand a value to all subscribers; never waits."""
        self._listeners.tell(value)

    def subscribe(self, subscriber: Callable[[T], object]) -> Callable[[], None]:
        """Have a callback called with each value.

        Returns:
            A function that ends the subscription.
        """
        return self._listeners.add(subscriber)
