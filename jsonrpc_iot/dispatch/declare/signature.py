"""The signature of a handler: its parameters as a msgspec Struct, and its result."""

import inspect
import re
from collections import Counter, abc, namedtuple
from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import partial
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from .context import Context
from .options import NO_NAMES
from .stream import Stream, gives_items
from .types import check_decodable, is_foreign

POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_GENERATORS = (abc.AsyncGenerator, abc.AsyncIterator, abc.AsyncIterable, Stream)
_UNFIT = re.compile(r'["\\\x00-\x1f]')
_IMMUTABLE = (type(None), bool, int, float, str, bytes)


class Signature(NamedTuple):
    """What a method looks like from the caller's side.

    Args:
        parameters: those that travel, so without a Context.
        result: the type of the result; where that comes item by item, of each item.
        streams: it comes item by item.
    """

    parameters: list[inspect.Parameter]
    result: Any
    streams: bool


def signature(
    function: Callable[..., Any], name: str, names: Mapping[str, str] = NO_NAMES
) -> Signature:
    """Read the signature of a method's declaration.

    Args:
        function: the declaration.
        name: what the method is called, for errors.
        names: what parameters are called by callers, where that differs.

    Raises:
        TypeError: as for a `Handler` of that name.
    """
    plain = plain_function(function)
    hints = hints_of(function, name)
    taken = [p for p in parameters_of(function, name) if not is_context(hints.get(p.name))]
    params_struct(name, taken, hints, names, array_like=False)
    result = hints.get("return", Any)
    streams = gives_items(plain) or (
        not inspect.iscoroutinefunction(plain) and (get_origin(result) or result) in _GENERATORS
    )
    return Signature(taken, result_type(hints) if streams else result, streams)


def plain_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function whose annotations count: that of a partial or of a callable object."""
    while isinstance(function, partial):
        function = function.func
    if inspect.isroutine(function):
        return function
    plain: Callable[..., Any] = type(function).__call__
    return plain


def hints_of(function: Callable[..., Any], name: str) -> dict[str, Any]:
    """The annotations of a function, resolved.

    Raises:
        TypeError: one has no meaning; the text names the method `name`.
    """
    try:
        return get_type_hints(plain_function(function), include_extras=True)
    except Exception as error:  # whatever the text of an annotation raises
        raise TypeError(f"method {name!r}: an annotation has no meaning: {error}") from error


def is_context(annotation: Any) -> bool:
    """Whether a parameter of that type gets the context instead of a param."""
    kinds = (annotation, *get_args(annotation))
    return any(isinstance(kind, type) and issubclass(kind, Context) for kind in kinds)


def check_override(
    function: Callable[..., Any], parameters: list[inspect.Parameter], name: str
) -> None:
    """Refuse a function that cannot be called as its declaration says."""
    positional = [p.name for p in parameters if p.kind in POSITIONAL]
    by_name = {p.name: p for p in parameters if p.kind not in POSITIONAL}
    try:
        inspect.signature(function).bind(*positional, **by_name)
    except TypeError as error:
        raise TypeError(f"method {name!r} does not fit its declaration: {error}") from None


def parameters_of(function: Callable[..., Any], name: str) -> list[inspect.Parameter]:
    """The parameters of a function.

    Raises:
        TypeError: it takes `*args` or `**kwargs`.
    """
    parameters = list(inspect.signature(function).parameters.values())
    for parameter in parameters:
        if parameter.kind in _VARIADIC:
            raise TypeError(
                f"method {name!r}: parameter {str(parameter)!r} says nothing about the params; "
                "name each of them, or take one list or dict"
            )
    return parameters


def result_type(hints: dict[str, Any]) -> Any:
    """The declared type of the result; of each item, where it comes item by item."""
    result = hints.get("return", Any)
    if (get_origin(result) or result) not in _GENERATORS:
        return result
    return get_args(result)[0] if get_args(result) else Any


def params_struct(
    name: str,
    parameters: list[inspect.Parameter],
    hints: dict[str, Any],
    names: Mapping[str, str],
    *,
    array_like: bool,
) -> type[Struct]:
    """Make the Struct that params are decoded into, by name or (`array_like`) by position.

    Raises:
        TypeError: msgspec cannot decode into the type of a parameter; `names` speaks of one that
            is not there, or gives two the same name.
    """
    check_names(name, parameters, names)
    fields: list[Any] = []
    for parameter in parameters:
        annotation = hints.get(parameter.name, Any)
        what = f"method {name!r}, parameter {parameter.name!r}"
        check_decodable(annotation, what)
        default = parameter.default
        if is_foreign(default):
            raise TypeError(f"{what}: the default {default!r} means nothing here")
        if default is parameter.empty:
            fields.append((parameter.name, annotation))
        elif isinstance(default, _IMMUTABLE):
            fields.append((parameter.name, annotation, default))
        else:
            factory = msgspec.field(default_factory=_factory(default))
            fields.append((parameter.name, annotation, factory))
    return msgspec.defstruct(
        f"Params of {name}",
        fields,
        array_like=array_like,
        rename=names,
        forbid_unknown_fields=True,
        kw_only=not array_like,
        gc=False,  # what JSON holds has no cycles
    )


def check_names(name: str, parameters: list[inspect.Parameter], names: Mapping[str, str]) -> None:
    """Refuse names that belong to no parameter, or to two, or that msgspec cannot find."""
    own = [p.name for p in parameters]
    for each, given in names.items():
        if each not in own:
            raise TypeError(f"method {name!r}: names speaks of {each!r}, which is no parameter")
        if _UNFIT.search(given):
            raise TypeError(
                f"method {name!r}: {given!r} is no name for a parameter, which has no quotes, "
                "backslashes or control characters"
            )
    counted = Counter(names.get(each, each) for each in own)
    for each, number in counted.items():
        if number > 1:
            raise TypeError(f"method {name!r}: {number} parameters are called {each!r}")


def params_tuple(parameters: list[inspect.Parameter], hints: dict[str, Any]) -> Any:
    """The type that params by position are decoded into in one pass, with an attribute for each.

    Returns:
        `None` where a tuple can have no such attributes, or would share a default among calls.
    """
    if not parameters:
        return tuple[()]
    defaults = [p.default for p in parameters if p.default is not p.empty]
    names = [p.name for p in parameters]
    if not all(isinstance(default, _IMMUTABLE) for default in defaults):
        return None
    if any(name.startswith("_") for name in names):
        return None
    kind = namedtuple("Params", names, defaults=defaults)  # type: ignore[misc]  # made at run time
    kind.__annotations__ = {name: hints.get(name, Any) for name in names}
    return kind


def _factory(default: Any) -> Callable[[], Any]:
    """Gives each call its own copy of a default that calls could change."""
    try:
        hash(default)
    except TypeError:
        return partial(deepcopy, default)
    return lambda: default
