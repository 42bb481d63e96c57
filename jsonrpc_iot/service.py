"""Marks that make a class a service: its prefix, its methods and the events that it emits.

A service class can be an interface: subclasses override its methods without marks of their own,
and the declaration gives the name, the types and the options.
"""

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar, overload

from msgspec import Struct

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=type)
T = TypeVar("T")


class Options(Struct, frozen=True, kw_only=True):
    """How a handler is run.

    Args:
        thread: run it in a worker thread, for code that blocks.
        serial: run it one call at a time per peer, in order of arrival.
        timeout: seconds until it is cancelled and answered with -32002.
        requires: the permission that a caller needs.
        idempotent: calling it twice is no different from calling it once.
    """

    thread: bool = False
    serial: bool = False
    timeout: float | None = None
    requires: str | None = None
    idempotent: bool = False


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
def method(
    name: str | None = None,
    /,
    *,
    thread: bool = False,
    serial: bool = False,
    timeout: float | None = None,
    requires: str | None = None,
    idempotent: bool = False,
) -> Callable[[F], F]: ...
def method(name: F | str | None = None, /, **options: Any) -> F | Callable[[F], F]:
    """Mark a function of a service class as a method, under its own or another name.

    The options are those of `Options`.
    """
    return _mark(name, notification=False, options=Options(**options))


@overload
def notification(name: F, /) -> F: ...
@overload
def notification(
    name: str | None = None,
    /,
    *,
    thread: bool = False,
    serial: bool = False,
    timeout: float | None = None,
    requires: str | None = None,
) -> Callable[[F], F]: ...
def notification(name: F | str | None = None, /, **options: Any) -> F | Callable[[F], F]:
    """Mark a function of a service class as the receiver of a notification."""
    return _mark(name, notification=True, options=Options(**options))


def _mark(name: F | str | None, *, notification: bool, options: Options) -> F | Callable[[F], F]:
    def decorate(function: F) -> F:
        chosen = name if isinstance(name, str) else function.__name__
        function.__rpc__ = Mark(chosen, notification, options)  # type: ignore[attr-defined]
        return function

    return decorate(name) if callable(name) else decorate


class Declared(Struct, frozen=True):
    """One marked function of a service.

    Args:
        mark: name and options.
        declaration: the function that carries the mark, whose types count.
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
            mark = getattr(value, "__rpc__", None)
            if isinstance(mark, Mark) and attribute not in seen:
                seen.add(attribute)
                yield Declared(mark, value, getattr(instance, attribute))


def events(instance: object) -> "Iterator[BoundEvent[Any]]":
    """The events that a service declares."""
    seen: set[str] = set()
    for cls in type(instance).__mro__:
        for attribute, value in vars(cls).items():
            if isinstance(value, Event) and attribute not in seen:
                seen.add(attribute)
                yield getattr(instance, attribute)


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

    @overload
    def __get__(self, instance: None, owner: type) -> "Event[T]": ...
    @overload
    def __get__(self, instance: object, owner: type) -> "BoundEvent[T]": ...
    def __get__(self, instance: object | None, owner: type) -> "Event[T] | BoundEvent[T]":
        if instance is None:
            return self
        assert self.name is not None
        bound: BoundEvent[T] = instance.__dict__.setdefault(self._attribute, BoundEvent(self.name))
        return bound


class BoundEvent(Generic[T]):
    """The event of one service object.

    Args:
        name: the notification's name without the service's prefix.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._subscribers: list[Callable[[T], object]] = []

    def emit(self, value: T) -> None:
        """Hand a value to all subscribers; never waits."""
        for subscriber in tuple(self._subscribers):
            subscriber(value)

    def subscribe(self, subscriber: Callable[[T], object]) -> Callable[[], None]:
        """Have a callback called with each value.

        Returns:
            A function that ends the subscription.
        """
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)
