"""Protocols that say without async what a service's class declares, held against that class."""

import inspect
from collections import abc
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, get_args, get_origin, get_type_hints

from ..dispatch.declare.event import declared_events
from ..dispatch.declare.service import Declaration, declarations
from ..dispatch.declare.signature import plain_function
from ..dispatch.declare.signature import signature as signature_of
from ._proxy import BlockingEvent
from ._streams import BlockingStream

_ITEMS = (BlockingStream, abc.Iterator, abc.Iterable)


@lru_cache(256)
def check_interface(interface: type, service: type) -> None:
    """Refuse a class that promises what a blocking proxy of a service does not hold.

    Args:
        interface: has plain functions and `BlockingEvent`s; it may leave some of them out.
        service: the class with the declarations.

    Raises:
        TypeError: something is not declared, or declared otherwise; the text says how.
    """
    declared = {each.attribute: each for each in declarations(service)}
    for name, function in _functions(interface):
        if name not in declared:
            raise TypeError(f"{interface.__name__}.{name}: {service.__name__} has no such method")
        promised, held = _promise(function), _without_async(declared[name], service)
        if promised != held:
            raise TypeError(
                f"{interface.__name__}.{name}{promised} is not what "
                f"{service.__name__}.{name} declares: {held}"
            )
    events = dict(declared_events(service))
    for name, kind in get_type_hints(interface).items():
        if name not in events:
            raise TypeError(f"{interface.__name__}.{name}: {service.__name__} has no such event")
        if (get_origin(kind), get_args(kind)) != (BlockingEvent, (events[name].kind,)):
            raise TypeError(
                f"{interface.__name__}.{name} is not what {service.__name__}.{name} declares: "
                f"BlockingEvent[{inspect.formatannotation(events[name].kind)}]"
            )


def _functions(interface: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name, value in inspect.getmembers(interface, inspect.isfunction):
        if not name.startswith("_"):
            yield name, value


def _promise(function: Callable[..., Any]) -> inspect.Signature:
    _, *parameters = inspect.signature(function).parameters.values()  # without `self`
    hints = get_type_hints(function)
    result = hints.get("return", Any)
    streams = (get_origin(result) or result) in _ITEMS
    items = (*get_args(result), Any)[0] if streams else result
    return _bare(parameters, hints, items, streams=streams)


def _without_async(declaration: Declaration, service: type) -> inspect.Signature:
    """What the method of a blocking proxy takes and gives."""
    function = declaration.function.__get__(object(), service)
    parameters, _, streams = signature_of(function, declaration.mark.name)
    hints = get_type_hints(plain_function(function))
    result = hints.get("return", Any)
    items = (*get_args(result), Any)[0] if streams else result
    return _bare(parameters, hints, items, streams=streams)


def _bare(
    parameters: list[inspect.Parameter], hints: dict[str, Any], result: Any, *, streams: bool
) -> inspect.Signature:
    """A signature with what counts for a caller: names, types, and what may be left out."""
    return inspect.Signature(
        [
            each.replace(
                annotation=hints.get(each.name, Any),
                default=each.empty if each.default is each.empty else ...,
            )
            for each in parameters
        ],
        return_annotation=BlockingStream[result] if streams else result,
    )
