"""The methods and events that a table of DataPoints stands for, with their types."""

import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

from msgspec import UNSET, Struct, UnsetType, defstruct

from .points import Point

Function = Callable[..., Any]
Get = Callable[[], dict[str, Any]]
Set = Callable[..., Awaitable[dict[str, Any]]]


def methods_of(points: Iterable[Point], get: Get, put: Set) -> Iterator[tuple[str, Function]]:
    """The methods by name.

    Args:
        points: of the device.
        get: gives the values that are known.
        put: has the device take values, and gives what it has then.
    """
    points = list(points)
    every = values_of("Values", points)

    def get_all() -> Any:
        return every(**get())

    yield "get", _typed(get_all, "Give the values that are known.", (), every)
    takes = [point for point in points if not point.read_only]
    if takes:
        some = values_of("Taken", takes)

        async def set_some(**values: Any) -> Any:
            return some(**await put(**values))

        doc = "Have the device take values, all at once; gives what it reports then."
        yield "set", _typed(set_some, doc, takes, some)
    for point in points:
        yield point.name, _method_of(point, get, put)


def event_of(point: Point) -> tuple[str, type[Struct]]:
    """The name of the event of a DataPoint, and the type of its params."""
    return f"{point.name}.changed", defstruct(f"{point.name}_changed", [(point.name, point.type)])


def values_of(name: str, points: Iterable[Point]) -> type[Struct]:
    """The type of an object with some of the values of DataPoints."""
    fields = [(point.name, point.type | UnsetType, UNSET) for point in points]
    return defstruct(name, fields, kw_only=True)


def _method_of(point: Point, get: Get, put: Set) -> Function:
    name = point.name

    def read() -> Any:
        return get().get(name)

    async def read_or_set(**values: Any) -> Any:
        return (await put(**values))[name] if values else read()

    result = point.type | None
    if point.read_only:
        return _typed(read, f"Give {name}, null where the device has not told it.", (), result)
    doc = f"Set {name}, and give what the device reports then; without a value only give it."
    return _typed(read_or_set, doc, (point,), result)


def _typed(function: Function, doc: str, points: Iterable[Point], result: Any) -> Function:
    """A function with the signature that the points stand for; what was not given is left out."""
    names = {point.name: point.type | UnsetType for point in points}
    parameters = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=UNSET)
        for name in names
    ]

    def synchronous(*values: Any) -> Any:
        return function()

    async def asynchronous(*values: Any) -> Any:
        given = zip(names, values, strict=False)
        return await function(**{name: value for name, value in given if value is not UNSET})

    typed: Any = asynchronous if inspect.iscoroutinefunction(function) else synchronous
    typed.__signature__ = inspect.Signature(parameters)
    typed.__annotations__ = {**names, "return": result}
    typed.__doc__ = doc
    return typed  # type: ignore[no-any-return]
