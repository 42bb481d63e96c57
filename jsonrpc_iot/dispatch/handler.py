"""Handlers made ready to run: the signature becomes two msgspec Structs, once.

One Struct takes params by name and one by position. The types of the signature are the
validation; nothing is inspected when a call comes in.
"""

import inspect
import re
import types
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import asdict

from ..errors import InvalidParams
from ..protocol.codec.codec import Codec
from ..protocol.codec.floats import has_nan, may_hold_float
from ..protocol.codec.json import JsonCodec
from ..protocol.messages import Result, Result2
from .declare.context import Context
from .declare.options import Example, Options
from .declare.signature import (
    NO_NAMES,
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

_JSON = JsonCodec()
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
_FIELD = re.compile(r"Object (?:missing required|contains unknown) field `(?P<name>[^`]*)`")


class Handler:
    """A function that answers a method or receives a notification.

    Args:
        name: what the method is called where it is registered, for errors.
        function: what runs.
        options: how it runs.
        declaration: the function of a service class whose types count, bound to the service;
            `function` itself by default.

    Raises:
        TypeError: an annotation cannot be resolved, a parameter has a type that msgspec cannot
            handle, the function takes `*args` or `**kwargs`, which say nothing about the params,
            or it does not fit its declaration.
        ValueError: an example does not fit the signature.

    Attributes:
        params: the Struct of the params by name.
        by_name: the params of a call cannot come by position.
        positions: the tuple that params by position are decoded into in one pass, or `None`.
        params_optional: a call without params is in order.
        call: runs the function with the values of params, and a Context where it wants one.
        respond: runs it with the params of a plain request, without a Context; gives the response.
        wants_context: it takes a Context.
        plain: it needs neither a task nor a Context.
        waits: it takes a task: a coroutine, a generator, a thread, or a turn to wait for.
        may_hold_nan: its result may hold a float.
        result_type: the type of its result.
        doc: its docstring, `""` if it has none.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        options: Options,
        declaration: Callable[..., Any] | None = None,
    ) -> None:
        self.options = options
        plain = plain_function(function)
        self.is_coroutine = inspect.iscoroutinefunction(plain)
        self.is_generator = gives_items(plain)
        hints = hints_of(declaration or function, name)
        parameters = parameters_of(declaration or function, name)
        if declaration is not None:
            check_override(function, parameters, name)
        wants_context = {p.name for p in parameters if is_context(hints.get(p.name))}
        taken = [p for p in parameters if p.name not in wants_context]
        positional = [p for p in taken if p.kind in POSITIONAL]
        self.params = params_struct(name, taken, hints, options.names, array_like=False)
        self.params_optional = all(p.default is not p.empty for p in taken)
        self._by_position: type[Struct] | None = None
        if all(p in positional or p.default is not p.empty for p in taken):
            self._by_position = params_struct(name, positional, hints, NO_NAMES, array_like=True)
        self.by_name = self._by_position is None
        self.positions = params_tuple(taken, hints) if positional == taken else None
        self.call, self.respond = _compile(function, parameters, wants_context)
        self.may_hold_nan = may_hold_float(result_type(hints))
        result: Any = result_type(hints)
        self.result_type: Any = types.GenericAlias(list, result) if self.is_generator else result
        self.doc = inspect.getdoc(plain_function(declaration or function)) or ""
        if options.thread and (self.is_coroutine or self.is_generator):
            raise TypeError(f"method {name!r}: thread=True is for plain functions")
        self.waits = self.is_coroutine or self.is_generator or options.thread or options.serial
        if options.timeout is not None and not self.waits:
            raise TypeError(
                f"method {name!r}: a plain function cannot be timed out; thread=True can"
            )
        self.wants_context = bool(wants_context)
        self.plain = not (self.waits or wants_context)
        for example in options.examples:
            self._check_example(example, f"method {name!r}, example {example.name!r}")

    def parse(self, raw: bytes, codec: Codec) -> Struct:
        """Decode params by name or by position; absent ones and `null` are none by name.

        Args:
            raw: as they came, empty for absent ones.
            codec: of the message that they came in.

        Raises:
            InvalidParams: they do not fit the signature.
        """
        by_name = codec.as_map(raw)
        if by_name is None and self._by_position is None:
            raise InvalidParams(data={"path": "$", "message": "Expected params by name"})
        try:
            if by_name is not None:
                return codec.decode_params(by_name, self.params)
            assert self._by_position is not None
            return self.params(**asdict(codec.decode_params(raw, self._by_position)))
        except msgspec.ValidationError as error:
            raise InvalidParams(data=_explain(str(error))) from None

    def named(self, params: Struct | tuple[Any, ...]) -> Struct:
        """Params that were decoded in one pass as the Struct of those by name."""
        if not isinstance(params, tuple):
            return params
        return self.params(**dict(zip(self.params.__struct_fields__, params, strict=True)))

    def _check_example(self, example: Example, where: str) -> None:
        try:
            self.parse(msgspec.json.encode(example.params), _JSON)
            result = msgspec.json.encode(example.result)
        except InvalidParams as error:
            raise ValueError(f"{where}: {error.data['path']}: {error.data['message']}") from None
        except (TypeError, ValueError) as error:
            raise TypeError(f"{where} has no form in JSON: {error}") from error
        if has_nan([example.params, example.result]):
            raise ValueError(f"{where}: NaN and infinities have no form in JSON")
        try:
            decoder = msgspec.json.Decoder(self.result_type)
        except TypeError:  # no type of JSON, so nothing to check
            return
        try:
            decoder.decode(result)
        except msgspec.ValidationError as error:
            raise ValueError(f"{where}: the result: {error}") from None


def _compile(
    function: Callable[..., Any], parameters: list[inspect.Parameter], wants_context: set[str]
) -> tuple[Callable[[Any, Context | None], Any], Callable[[Any], Result | Result2]]:
    """Compile `call` and `respond` with `function(params.a, context, b=params.b)` written out.

    That is faster than any loop over names, and what Python learns of one request's type while it
    runs is not mixed with what it learns of others. The names are those of Python parameters, so
    they are identifiers.
    """
    arguments = []
    for parameter in parameters:
        name = parameter.name
        value = "context" if name in wants_context else f"params.{name}"
        arguments.append(value if parameter.kind in POSITIONAL else f"{name}={value}")
    names: dict[str, Any] = {
        "function": function,
        "UNSET": UNSET,
        "Result": Result,
        "Result2": Result2,
    }
    exec(_SOURCE.replace("ARGUMENTS", ", ".join(arguments)), names)
    return names["call"], names["respond"]


def _explain(text: str) -> dict[str, str]:
    """msgspec's error as data: the path of what is wrong, and what was expected there."""
    message, mark, where = text.rpartition(" - at `")
    if not mark or not where.endswith("`"):
        message, where = text, ""
    path = "$" + where.removesuffix("`").removeprefix("key` in `").removeprefix("$")
    if field := _FIELD.match(message):
        path = f"{path}.{field['name']}"
    return {"path": path, "message": message}
