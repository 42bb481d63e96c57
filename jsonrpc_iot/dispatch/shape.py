"""What is known of a function from its signature, once: above all the Structs of its params.

One Struct takes params by name and one by position.
"""

import inspect
import types
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import CodeType
from typing import Any, NamedTuple

from msgspec import UNSET, Struct

from ..protocol.codec.floats import may_hold_float
from ..protocol.messages import Result, Result2
from .declare.context import Context
from .declare.options import NO_NAMES
from .declare.signature import (
    POSITIONAL,
    check_override,
    hints_of,
    is_context,
    parameters_of,
    params_struct,
    params_tuple,
    plain_function,
    result_type,
)
from .declare.stream import gives_items

_SOURCE = """
def call(params, context):
    return function(ARGUMENTS)

def respond(request, context=None):
    params = request.params
    value = function(ARGUMENTS)
    if request.jsonrpc is UNSET:
        return Result(request.id, value)
    return Result2("2.0", request.id, value)
"""
_KEPT = "__rpc_shapes__"

Call = Callable[[Any, Context | None], Any]
Respond = Callable[[Any], Result | Result2]


class Shape(NamedTuple):
    """A function as its handler needs it.

    Args:
        params: the Struct of the params by name.
        by_position: that of the params by position, `None` where they cannot come so.
        positions: the tuple that params by position are decoded into in one pass, or `None`.
        params_optional: a call without params is in order.
        wants_context: it takes a Context.
        is_coroutine: it has to be awaited.
        is_generator: it gives items, one by one.
        may_hold_nan: its result may hold a float.
        result_type: the type of its result.
        doc: its docstring, `""` if it has none.
        code: of the two functions that `bind` makes.
    """

    params: type[Struct]
    by_position: type[Struct] | None
    positions: Any
    params_optional: bool
    wants_context: bool
    is_coroutine: bool
    is_generator: bool
    may_hold_nan: bool
    result_type: Any
    doc: str
    code: CodeType

    def bind(self, function: Callable[..., Any]) -> tuple[Call, Respond]:
        """Make what runs a function of this shape.

        Returns:
            Two functions: one calls it with the values of params, and a Context where it wants
            one; the other with the params of a plain request, and gives the response.
        """
        names: dict[str, Any] = {
            "function": function,
            "UNSET": UNSET,
            "Result": Result,
            "Result2": Result2,
        }
        exec(self.code, names)
        return names["call"], names["respond"]


def shape_of(
    name: str,
    function: Callable[..., Any],
    declaration: Callable[..., Any] | None = None,
    names: Mapping[str, str] = NO_NAMES,
) -> Shape:
    """The shape of a function.

    A method of a class keeps it, since services are made again and again: each dispatcher has one
    of the protocol's own methods, and so does each client.

    Args:
        name: what the method is called where it is registered, for errors.
        function: what runs.
        declaration: the function whose types count; `function` itself by default.
        names: see `Options`; they have a hash.

    Raises:
        TypeError: see `Handler`.
    """
    declaring = declaration or function
    if not (inspect.ismethod(function) and inspect.ismethod(declaring)):
        return _shape(name, function, declaration, names)
    kept: dict[object, Shape] = vars(function.__func__).setdefault(_KEPT, {})
    key = name, declaring.__func__, names
    if key not in kept:
        kept[key] = _shape(name, function, declaration, names)
    return kept[key]


def _shape(
    name: str,
    function: Callable[..., Any],
    declaration: Callable[..., Any] | None,
    names: Mapping[str, str],
) -> Shape:
    declaring = declaration or function
    plain = plain_function(function)
    hints = hints_of(declaring, name)
    parameters = parameters_of(declaring, name)
    if declaration is not None:
        check_override(function, parameters, name)
    contexts = {p.name for p in parameters if is_context(hints.get(p.name))}
    taken = [p for p in parameters if p.name not in contexts]
    positional = [p for p in taken if p.kind in POSITIONAL]
    by_position: type[Struct] | None = None
    if all(p in positional or p.default is not p.empty for p in taken):
        by_position = params_struct(name, positional, hints, NO_NAMES, array_like=True)
    is_generator = gives_items(plain)
    result: Any = result_type(hints)
    return Shape(
        params=params_struct(name, taken, hints, names, array_like=False),
        by_position=by_position,
        positions=params_tuple(taken, hints) if positional == taken else None,
        params_optional=all(p.default is not p.empty for p in taken),
        wants_context=bool(contexts),
        is_coroutine=inspect.iscoroutinefunction(plain),
        is_generator=is_generator,
        may_hold_nan=may_hold_float(result),
        result_type=types.GenericAlias(list, result) if is_generator else result,
        doc=inspect.getdoc(plain_function(declaring)) or "",
        code=_code(_arguments(parameters, contexts)),
    )


def _arguments(parameters: list[inspect.Parameter], contexts: set[str]) -> str:
    """What a function is called with, written out: `params.a, context, b=params.b`.

    That is faster than any loop over names, and what Python learns of one request's type while it
    runs is not mixed with what it learns of others. The names are those of Python parameters, so
    they are identifiers.
    """
    arguments = []
    for parameter in parameters:
        name = parameter.name
        value = "context" if name in contexts else f"params.{name}"
        arguments.append(value if parameter.kind in POSITIONAL else f"{name}={value}")
    return ", ".join(arguments)


@lru_cache(1024)
def _code(arguments: str) -> CodeType:
    return compile(_SOURCE.replace("ARGUMENTS", arguments), __name__, "exec")
