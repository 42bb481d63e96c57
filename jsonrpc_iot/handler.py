"""Handlers made ready to run: the signature becomes two msgspec Structs, once.

One Struct takes params by name and one by position. The types of the signature are the
validation; nothing is inspected when a call comes in.
"""

import inspect
import re
import types
from collections import abc
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from .context import Context
from .errors import InvalidParams
from .options import Example, Options
from .protocol.codec import Codec
from .protocol.floats import has_nan, may_hold_float
from .protocol.jsoncodec import JsonCodec

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_GENERATORS = (abc.AsyncGenerator, abc.AsyncIterator, abc.AsyncIterable)
_IMMUTABLE = (type(None), bool, int, float, str, bytes)
_WHERE = re.compile(r"(?P<message>.*?)(?: - at (?:`key` in )?`\$?(?P<path>[^`]*)`)?", re.DOTALL)
_JSON = JsonCodec()
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
        params_optional: a call without params is in order.
        call: runs the function with the Struct's values, and a Context where it wants one.
        plain: it needs neither a task nor a Context, and its result holds no float.
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
        plain = _plain(function)
        self.is_coroutine = inspect.iscoroutinefunction(plain)
        self.is_generator = inspect.isasyncgenfunction(plain)
        hints = _hints(declaration or function, name)
        parameters = _parameters(declaration or function, name)
        if declaration is not None:
            _check_override(function, parameters, name)
        wants_context = {p.name for p in parameters if _is_context(hints.get(p.name))}
        taken = [p for p in parameters if p.name not in wants_context]
        positional = [p for p in taken if p.kind in _POSITIONAL]
        self.params = _struct(name, taken, hints, array_like=False)
        self.params_optional = all(p.default is not p.empty for p in taken)
        self._by_position: type[Struct] | None = None
        if all(p in positional or p.default is not p.empty for p in taken):
            self._by_position = _struct(name, positional, hints, array_like=True)
        self.by_name = self._by_position is None
        self.call = _compile_call(function, parameters, wants_context)
        self.may_hold_nan = may_hold_float(_result_type(hints))
        result: Any = _result_type(hints)
        self.result_type: Any = types.GenericAlias(list, result) if self.is_generator else result
        self.doc = inspect.getdoc(_plain(declaration or function)) or ""
        if options.thread and (self.is_coroutine or self.is_generator):
            raise TypeError(f"method {name!r}: thread=True is for plain functions")
        self.waits = self.is_coroutine or self.is_generator or options.thread or options.serial
        if options.timeout is not None and not self.waits:
            raise TypeError(
                f"method {name!r}: a plain function cannot be timed out; thread=True can"
            )
        self.plain = not (self.waits or wants_context or self.may_hold_nan)
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


def signature(function: Callable[..., Any], name: str) -> Signature:
    """Read the signature of a method's declaration.

    Raises:
        TypeError: as for a `Handler` of that name.
    """
    plain = _plain(function)
    hints = _hints(function, name)
    taken = [p for p in _parameters(function, name) if not _is_context(hints.get(p.name))]
    _struct(name, taken, hints, array_like=False)
    result = hints.get("return", Any)
    streams = inspect.isasyncgenfunction(plain) or (
        not inspect.iscoroutinefunction(plain) and (get_origin(result) or result) in _GENERATORS
    )
    return Signature(taken, _result_type(hints) if streams else result, streams)


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function whose annotations count: that of a partial or of a callable object."""
    while isinstance(function, partial):
        function = function.func
    if inspect.isroutine(function):
        return function
    plain: Callable[..., Any] = type(function).__call__
    return plain


def _hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    try:
        return get_type_hints(_plain(function), include_extras=True)
    except Exception as error:  # whatever the text of an annotation raises
        raise TypeError(f"method {name!r}: an annotation has no meaning: {error}") from error


def _is_context(annotation: Any) -> bool:
    kinds = (annotation, *get_args(annotation))
    return any(isinstance(kind, type) and issubclass(kind, Context) for kind in kinds)


def _check_override(
    function: Callable[..., Any], parameters: list[inspect.Parameter], name: str
) -> None:
    """Refuse a function that cannot be called as its declaration says."""
    positional = [p.name for p in parameters if p.kind in _POSITIONAL]
    by_name = {p.name: p for p in parameters if p.kind not in _POSITIONAL}
    try:
        inspect.signature(function).bind(*positional, **by_name)
    except TypeError as error:
        raise TypeError(f"method {name!r} does not fit its declaration: {error}") from None


def _parameters(function: Callable[..., Any], name: str) -> list[inspect.Parameter]:
    parameters = list(inspect.signature(function).parameters.values())
    for parameter in parameters:
        if parameter.kind in _VARIADIC:
            raise TypeError(
                f"method {name!r}: parameter {str(parameter)!r} says nothing about the params; "
                "name each of them, or take one list or dict"
            )
    return parameters


def _compile_call(
    function: Callable[..., Any], parameters: list[inspect.Parameter], wants_context: set[str]
) -> Callable[[Struct, Context | None], Any]:
    """Compile `function(params.a, context, b=params.b)`, which is faster than any loop over names.

    The names are those of Python parameters, so they are identifiers.
    """
    arguments = []
    for parameter in parameters:
        name = parameter.name
        value = "context" if name in wants_context else f"params.{name}"
        arguments.append(value if parameter.kind in _POSITIONAL else f"{name}={value}")
    source = f"lambda params, context: function({', '.join(arguments)})"
    call: Callable[[Struct, Context | None], Any] = eval(source, {"function": function})
    return call


def _result_type(hints: dict[str, Any]) -> Any:
    result = hints.get("return", Any)
    if (get_origin(result) or result) not in _GENERATORS:
        return result
    return get_args(result)[0] if get_args(result) else Any


def _struct(
    name: str, parameters: list[inspect.Parameter], hints: dict[str, Any], *, array_like: bool
) -> type[Struct]:
    fields: list[Any] = []
    for parameter in parameters:
        annotation = hints.get(parameter.name, Any)
        try:
            msgspec.json.Decoder(annotation)
        except TypeError as error:
            raise TypeError(f"method {name!r}, parameter {parameter.name!r}: {error}") from None
        default = parameter.default
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
        forbid_unknown_fields=True,
        kw_only=not array_like,
        gc=False,  # what JSON holds has no cycles
    )


def _factory(default: Any) -> Callable[[], Any]:
    """Gives each call its own copy of a default that calls could change."""
    try:
        hash(default)
    except TypeError:
        return partial(deepcopy, default)
    return lambda: default


def _explain(text: str) -> dict[str, str]:
    """msgspec's error as data: the path of what is wrong, and what was expected there."""
    match = _WHERE.fullmatch(text)
    assert match is not None
    message = match["message"]
    path = "$" + (match["path"] or "")
    if field := _FIELD.match(message):
        path = f"{path}.{field['name']}"
    return {"path": path, "message": message}
