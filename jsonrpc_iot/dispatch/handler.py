"""Handlers made ready to run: a function, its options, and what params it takes.

The types of the signature are the validation; nothing is inspected when a call comes in.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import asdict, fields

from ..errors import InvalidParams
from ..protocol.codec.codec import Codec
from ..protocol.codec.floats import has_nan
from ..protocol.codec.json import JsonCodec
from .declare.context import Context
from .declare.options import Example, Options
from .shape import shape_of

_JSON = JsonCodec()
_FIELD = re.compile(r"Object (?:missing required|contains unknown) field `(?P<name>[^`]*)`")


class Begun(Protocol):
    """What has begun, and ends later without a task."""

    def cancel(self) -> None:
        """Have it not end."""


class Later(Struct, frozen=True):
    """What such a call is settled with that takes a task after all.

    Args:
        run: gives the result.
    """

    run: Callable[[], Awaitable[Any]]


Begin: TypeAlias = Callable[[Any, Context, Callable[[Any], object]], Begun | None]
"""Begins a call; gets its params, its context, and what is told the result, an error or `Later`.

Gives `None`, and has done nothing, where a task is needed after all.
"""


class Handler:
    """A function that answers a method or receives a notification.

    One that waits for another end alone may have `begin`, which needs no task.

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

    begin: Begin | None = None

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        options: Options,
        declaration: Callable[..., Any] | None = None,
    ) -> None:
        shape = shape_of(name, function, declaration, options.names)
        self.options = options
        self.is_coroutine = shape.is_coroutine
        self.is_generator = shape.is_generator
        self.params = shape.params
        self.params_optional = shape.params_optional
        self._by_position = shape.by_position
        self.by_name = shape.by_position is None
        self.positions = shape.positions
        self.may_hold_nan = shape.may_hold_nan
        self.result_type = shape.result_type
        self.doc = shape.doc
        self.wants_context = shape.wants_context
        self.call, self.respond = shape.bind(function)
        if options.thread and (self.is_coroutine or self.is_generator):
            raise TypeError(f"method {name!r}: thread=True is for plain functions")
        self.waits = self.is_coroutine or self.is_generator or options.thread or options.serial
        if options.timeout is not None and not self.waits:
            raise TypeError(
                f"method {name!r}: a plain function cannot be timed out; thread=True can"
            )
        self.plain = not (self.waits or self.wants_context)
        for example in options.examples:
            self._check_example(example, f"method {name!r}, example {example.name!r}")

    async def kinds_in_query(self, *, may_call: bool, only_reads: bool) -> Mapping[str, Any] | None:
        """The types of the params by name, where they may come in the query of a URL.

        `None` where they may not, since the method is not idempotent, or says that it changes
        something.

        Args:
            may_call: the caller has the permission to call it; nobody is asked for others.
            only_reads: the method has to say that it only reads.

        Raises:
            DeviceOffline: who could say is away.
        """
        if not (self.options.idempotent and is_for_query(self.options.effect, only_reads)):
            return None
        return {field.encode_name: field.type for field in fields(self.params)}

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


def is_for_query(effect: object, only_reads: bool) -> bool:
    """Whether an idempotent method may be called by a URL, which pages and caches may repeat.

    Args:
        effect: what it says a call does; it may come from another end.
        only_reads: it has to say that it only reads.
    """
    return effect == "read" or (effect is None and not only_reads)


def _explain(text: str) -> dict[str, str]:
    """msgspec's error as data: the path of what is wrong, and what was expected there."""
    message, mark, where = text.rpartition(" - at `")
    if not mark or not where.endswith("`"):
        message, where = text, ""
    path = "$" + where.removesuffix("`").removeprefix("key` in `").removeprefix("$")
    if field := _FIELD.match(message):
        path = f"{path}.{field['name']}"
    return {"path": path, "message": message}
