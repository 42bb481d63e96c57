"""Marks that make a class a service: its prefix, its methods and notifications.

A service class can be an interface: subclasses override its methods without marks of their own,
and the declaration gives the name, the types and the options.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar, Unpack, overload

from msgspec import Struct

from .options import MethodOptions, NotificationOptions, Options

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=type)


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


class Declaration(Struct, frozen=True):
    """A marked function in a service class.

    Args:
        attribute: the name that it has in Python.
        mark: name and options.
        function: as the class holds it, which may be a static or class method.
    """

    attribute: str
    mark: Mark
    function: Any


def declarations(cls: type) -> Iterator[Declaration]:
    """The marked functions of a class and its bases, without what is `None` in a subclass."""
    seen: set[str] = set()
    for base in cls.__mro__:
        for attribute, value in vars(base).items():
            mark = getattr(_unwrapped(value), "__rpc__", None)
            if isinstance(mark, Mark) and attribute not in seen:
                seen.add(attribute)
                if getattr(cls, attribute) is not None:
                    yield Declaration(attribute, mark, value)


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
    for each in declarations(type(instance)):
        function = getattr(instance, each.attribute)
        if function is not None:  # an instance may remove it too
            bound = each.function.__get__(instance, type(instance))
            yield Declared(each.mark, bound, function)


def service_prefix(instance: object) -> str:
    """The prefix of a service.

    Raises:
        TypeError: the object is no service, or a class instead of an object.
    """
    if isinstance(instance, type):
        name = instance.__name__
        raise TypeError(
            f"{name} is a class, not an object of one decorated with @service: include({name}())"
        )
    prefix = getattr(instance, "__rpc_prefix__", None)
    if not isinstance(prefix, str):
        raise TypeError(
            f"{type(instance).__name__} is no service: decorate its class with @service(prefix)"
        )
    return prefix
