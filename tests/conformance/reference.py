"""The rules of section 1 once more, as slow and plain as can be, to hold the dispatcher against.

It reads JSON with the standard library and knows four methods of the example device. Where the
protocol leaves the answer open, it has none.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

from jsonrpc_iot.testing.conformance.replies import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    NOT_AN_OBJECT,
    UNPARSED,
    Message,
    Reply,
    fail,
    ok,
)

NESTING = 64
BATCH = 256
DIGITS = 4300

SIGNATURES = {"echo": ("value",), "add": ("a", "b"), "void": (), "set_level": ("level",)}

LONG_EXPONENT = re.compile(rb"[eE][+-]?[0-9]{100}")
STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


class LeftOpen(Exception):
    """The protocol does not say what happens."""


def expected(data: bytes) -> tuple[Message, ...]:
    """The messages that answer this packet; raises `LeftOpen`."""
    if LONG_EXPONENT.search(data):
        raise LeftOpen
    try:
        value = _parse(data.removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError):
        return (UNPARSED,)
    if not isinstance(value, list):
        return tuple(_answer(value))
    if not 0 < len(value) <= BATCH:
        return (NOT_AN_OBJECT,)
    batch = tuple(reply for entry in value for reply in _answer(entry))
    return (batch,) if batch else ()


def _parse(data: bytes) -> Any:
    text = data.decode("utf-8")
    value = json.loads(text, parse_constant=_refuse, parse_int=_integer)
    for string in STRING.findall(text):
        json.loads(string).encode(
            "utf-8"
        )  # lone surrogates, also of members that count for nothing
    depth = 0
    for bracket in re.sub(r"[^][{}]", "", STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > NESTING:
            raise ValueError("nested too deeply")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _integer(text: str) -> int:
    if len(text.lstrip("-")) > DIGITS:
        raise ValueError("too many digits")
    return int(text)


def _answer(message: Any) -> Iterator[Reply]:
    """What one message, alone or in a batch, is answered: one reply or none."""
    if not isinstance(message, dict):
        yield NOT_AN_OBJECT
        return
    method, id, outcome = (
        message.get("method"),
        message.get("id"),
        {"result", "error"} & set(message),
    )
    if isinstance(method, str) and "id" not in message:
        return
    strange = "jsonrpc" in message and message["jsonrpc"] != "2.0"
    if "method" not in message and outcome:
        if "id" not in message or strange:
            raise LeftOpen
        return
    v2 = None if strange or not _readable(id) or "id" not in message else "jsonrpc" in message
    echoed = id if _readable(id) else None
    params = message.get("params")
    invalid = (
        not isinstance(method, str)
        or not _readable(id)
        or strange
        or bool(outcome)
        or not (params is None or isinstance(params, dict | list))
        or not _waits(message.get("timeout", 1))
    )
    if {"stream", "retry"} & set(message):
        raise LeftOpen
    if invalid:
        yield fail(echoed, INVALID_REQUEST, v2=v2)
    else:
        yield _call(str(method), params or [], id, v2)


def _readable(id: Any) -> bool:
    if isinstance(id, float):
        return math.isfinite(id)
    return id is None or (isinstance(id, int | str) and not isinstance(id, bool))


def _waits(timeout: Any) -> bool:
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        return False
    if timeout > 1e308:
        raise LeftOpen
    return timeout > 0


def _call(
    method: str, params: Mapping[str, Any] | Sequence[Any], id: Any, v2: bool | None
) -> Reply:
    names = SIGNATURES.get(method)
    if names is None:
        return fail(id, METHOD_NOT_FOUND, v2=v2)
    if not isinstance(params, Mapping):
        if len(params) != len(names):
            return fail(id, INVALID_PARAMS, v2=v2)
        params = dict(zip(names, params, strict=True))
    if "Infinity" in json.dumps(params):
        raise LeftOpen  # a param that no double holds
    if set(params) != set(names):
        return fail(id, INVALID_PARAMS, v2=v2)
    if method == "void":
        return ok(id, None, v2=v2)
    if method == "echo":
        return ok(id, params["value"], v2=v2)
    if any(isinstance(value, float) and value.is_integer() for value in params.values()):
        raise LeftOpen  # `5.0` for an integer
    if any(isinstance(value, bool) or not isinstance(value, int) for value in params.values()):
        return fail(id, INVALID_PARAMS, v2=v2)
    total = sum(params.values())
    if method == "set_level" and not 0 <= total <= 100:
        return fail(id, INVALID_PARAMS, v2=v2)
    return ok(id, total, v2=v2)
