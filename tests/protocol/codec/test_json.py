"""The JSON codec: any bytes give a message, a batch or a refusal; what is encoded comes back."""

import dataclasses
import json
import math
import re
import time
from typing import Any, NoReturn

import msgspec
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from msgspec import UNSET, Raw

from jsonrpc_iot import (
    Dispatcher,
    InvalidRequest,
    Limits,
    ParseError,
    RpcError,
    Unencodable,
    UsageError,
)
from jsonrpc_iot.protocol.codec.json import JsonCodec
from jsonrpc_iot.protocol.codec.msgpack import MsgpackCodec
from jsonrpc_iot.protocol.messages import ABSENT, Invalid, Message, Request
from jsonrpc_iot.testing.conformance.replies import same, strict_json

LEVELS = 6
DIGITS = 4300
STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)

text = st.text(st.characters(codec="utf-8") | st.sampled_from('{}[]"\\\n-0'), max_size=8)
integers = st.integers() | st.sampled_from([2**63, 2**64, 10**30, -(10**30)])
floats = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | integers | floats | text
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=12,
)
containers = st.lists(values, max_size=3) | st.dictionaries(text, values, max_size=3)

MEMBERS: dict[str, st.SearchStrategy[object]] = {
    "id": scalars | containers,
    "method": text | st.sampled_from(["rpc.ping", "echo", "later", "fail"]) | scalars,
    "params": containers | scalars,
    "jsonrpc": st.just("2.0") | scalars,
    "result": values,
    "error": st.fixed_dictionaries({"code": integers, "message": text}) | values,
    "timeout": floats | scalars,
    "stream": st.booleans() | scalars,
    "retry": st.booleans() | scalars,
    "x": values,
}
envelopes = st.fixed_dictionaries({}, optional=MEMBERS)
documents = (envelopes | st.lists(envelopes | values, max_size=4) | values).map(
    lambda value: json.dumps(value).encode()
)

# What the grammar of JSON speaks of, dense enough to make the interesting mixtures.
tokens = st.sampled_from(
    [bytes([byte]) for byte in b'{}[]:,"\\-.e019 \t\n\xff']
    + [rb"\u00e9", rb"\ud800", b"null", b"true", b"NaN", b"1e400", b"-0", b"\xef\xbb\xbf"]
    + [b'"id":1,', b'"method":"echo"', b'"params":', b'"x"', b"[[[[[[", b"]]]]]]", b"1" * 4301]
)
garbage = st.lists(tokens | st.binary(max_size=3), max_size=20).map(b"".join)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A document with a piece replaced by garbage."""
    document = draw(documents)
    at = draw(st.integers(0, len(document)))
    gone = draw(st.integers(0, 6))
    return document[:at] + draw(garbage) + document[at + gone :]


PIECES = [b"\xff", b"\xed\xa0\x80", b"\xc0\xaf", rb"\ud800", rb"\u00e9", b"\n", rb"\x", b"\xc3\xa9"]


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """A document with something strange at the edge of a string."""
    parts = draw(envelopes.map(json.dumps)).encode().split(b'"')
    at = draw(st.integers(1, max(1, len(parts) - 1)))
    return b'"'.join((*parts[:at], draw(st.sampled_from(PIECES)) + b'"'.join(parts[at:])))


any_bytes = garbage | documents | damaged() | spoiled()

codec = JsonCodec(Limits(nesting=LEVELS))


def is_json(data: bytes) -> bool:
    """Whether the bytes are what the protocol takes for JSON, said without thought of speed."""
    try:
        string = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
        json.loads(string, parse_int=_integer, parse_constant=_refuse)
        for each in STRING.findall(string):
            json.loads(each).encode("utf-8")  # fails for a lone surrogate
    except (ValueError, RecursionError):
        return False
    return depth(STRING.sub("", string)) <= LEVELS


def depth(structure: str) -> int:
    deepest = level = 0
    for character in structure:
        level += (character in "[{") - (character in "]}")
        deepest = max(deepest, level)
    return deepest


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > DIGITS:
        raise ValueError("too many digits")
    return 0


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


@settings(max_examples=500)
@given(any_bytes)
@example(b"")
@example(b"\xef\xbb\xbf")
@example(b"\xef\xbb\xbf\xef\xbb\xbf1")
@example(b'{"id":1,"method":"x","params":"\\' + b'"')
@example(b'"\\u' + b"d" * 5000)
def test_any_bytes_give_a_message_a_batch_or_a_refusal(data: bytes) -> None:
    decoded = codec.decode(data)
    if isinstance(decoded, list):
        assert all(isinstance(entry, Raw) for entry in decoded)
    elif isinstance(decoded, Invalid):
        assert isinstance(decoded.error, ParseError | InvalidRequest)
    else:
        assert isinstance(decoded, Message)
    refused = isinstance(decoded, Invalid) and isinstance(decoded.error, ParseError)
    assert refused == (not is_json(data))


def device() -> Dispatcher:
    dispatcher = Dispatcher(limits=Limits(nesting=LEVELS, batch=3))

    @dispatcher.method
    def echo(value: Any = None) -> Any:
        return value

    @dispatcher.method
    async def later(value: float = 0) -> float:
        return value

    @dispatcher.method
    def fail() -> None:
        raise RpcError(7, "failed")

    return dispatcher


DEVICE = device()


@settings(max_examples=500)
@given(any_bytes)
def test_any_bytes_are_answered_with_nothing_or_with_responses(data: bytes) -> None:
    reply = DEVICE.dispatch_sync(data)
    if reply is None:
        return
    answer = strict_json(reply)
    responses = answer if isinstance(answer, list) else [answer]
    assert responses
    for response in responses:
        assert isinstance(response, dict)
        assert response.keys() - {"jsonrpc"} in ({"id", "result"}, {"id", "error"})
        assert response.get("jsonrpc", "2.0") == "2.0"
        if "error" in response:
            error = response["error"]
            assert {"code", "message"} <= error.keys() <= {"code", "message", "data"}
            assert type(error["code"]) is int
            assert type(error["message"]) is str


@given(st.integers(1, 12), containers)
def test_depth_is_counted_whatever_is_in_the_strings(limit: int, value: object) -> None:
    document = json.dumps({"id": 1, "x": value}, ensure_ascii=False)
    document += " " * 2 * limit  # long enough to be looked at
    decoded = JsonCodec(Limits(nesting=limit)).decode(document.encode())
    refused = isinstance(decoded, Invalid) and isinstance(decoded.error, ParseError)
    assert refused == (depth(STRING.sub("", document)) > limit)


NUMBERS = [
    "%s",
    "-%s",
    "0.%s",
    "-1.%s",
    "%s.5",
    "%se0",
    "%sE-1",
    "1e+%s",
    '"%s"',
    '"-%s"',
    '"\\"%s"',
    '"\\\\",%s',
    '"\\\\\\"%s"',
    '{"%s":1}',
    "[%s]",
]


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(st.sampled_from(NUMBERS), st.sampled_from([1, 4298, 4299, 4300, 4301, 4302])),
        min_size=1,
        max_size=3,
    ),
    st.integers(0, 4302),
    st.sampled_from("01"),
)
def test_long_integers_are_refused_and_nothing_else(
    numbers: list[tuple[str, int]], spaces: int, digit: str
) -> None:
    filled = [form % ("1" + digit * (length - 1)) for form, length in numbers]
    document = '{"id":1,' + " " * spaces + '"method":"m","x":[' + ",".join(filled) + "]}"
    too_long = any(
        length > DIGITS and form in ("%s", "-%s", "[%s]", '"\\\\",%s') for form, length in numbers
    )
    decoded = codec.decode(document.encode())
    assert isinstance(decoded, Invalid) == too_long


@given(
    method=text,
    id=st.integers(min_value=1) | st.just(UNSET),
    params=containers | st.just(UNSET),
    jsonrpc=st.sampled_from(["2.0", UNSET]),
    timeout=st.floats(min_value=1e-300, allow_infinity=False) | st.just(UNSET),
    flags=st.tuples(st.booleans(), st.booleans()),
)
def test_requests_come_back(
    method: str, id: Any, params: Any, jsonrpc: Any, timeout: Any, flags: tuple[bool, bool]
) -> None:
    stream, retry = flags
    data = JsonCodec().encode_request(
        Request(method, jsonrpc, id, params, timeout, stream=stream, retry=retry)
    )
    message = JsonCodec().decode(data)
    assert isinstance(message, Message)
    assert (message.method, message.id, message.jsonrpc) == (method, id, jsonrpc)
    assert (message.timeout, message.stream, message.retry) == (timeout, stream, retry)
    assert (message.result, message.error) == (ABSENT, ABSENT)
    if params is UNSET:
        assert message.params is ABSENT
    else:
        assert same(strict_json(bytes(message.params)), params)


ids = st.none() | integers | text | floats
dialects = st.sampled_from(["2.0", UNSET])


@given(id=ids, result=values, jsonrpc=dialects)
def test_results_come_back(id: Any, result: object, jsonrpc: Any) -> None:
    data = JsonCodec().encode_result(id, result, jsonrpc)
    message = JsonCodec().decode(data)
    assert isinstance(message, Message)
    assert (message.id, message.jsonrpc) == (id, jsonrpc)
    assert message.method is UNSET
    assert message.error is ABSENT
    assert same(strict_json(bytes(message.result)), result)


@given(id=ids, code=st.integers(-(2**63), 2**63), message=text, data=values, jsonrpc=dialects)
def test_errors_come_back(id: Any, code: int, message: str, data: object, jsonrpc: Any) -> None:
    encoded = JsonCodec().encode_error(id, RpcError(code, message, data), jsonrpc)
    assert encoded is not None
    decoded = JsonCodec().decode(encoded)
    assert isinstance(decoded, Message)
    assert (decoded.id, decoded.jsonrpc) == (id, jsonrpc)
    assert decoded.result is ABSENT
    error = JsonCodec().decode_error(decoded.error)
    assert error is not None
    assert (error.code, error.message) == (code, message)
    assert same(error.data, data)


@given(message=text, data=values, limit=st.integers(0, 150))
def test_an_error_is_as_whole_as_the_limit_allows(message: str, data: object, limit: int) -> None:
    forms = [
        msgspec.json.encode({"id": 1, "error": error})
        for error in (
            {"code": 5, "message": message} | ({} if data is None else {"data": data}),
            {"code": 5, "message": message},
            {"code": 5, "message": ""},
        )
    ]
    encoded = JsonCodec().encode_error(1, RpcError(5, message, data), UNSET, limit)
    assert encoded == next((form for form in forms if len(form) <= limit), None)


@given(documents, st.sampled_from(["-0", "1.50", "1E2", "-0.0", "7", "9" * 40, '"\\u0041"']))
def test_the_id_to_echo_is_equal_and_keeps_its_spelling(document: bytes, id: str) -> None:
    data = b'{"x":%s,"method":"-0","id":%s}' % (document, id.encode())
    decoded = JsonCodec().decode(data)
    assume(isinstance(decoded, Message))
    assert isinstance(decoded, Message)
    assert decoded.id is not UNSET
    echoed = msgspec.json.encode(JsonCodec().wire_id(data, decoded.id)).decode()
    assert echoed == (id if id[0] != '"' else '"A"')


@pytest.mark.parametrize("value", [math.nan, [math.inf], {"a": -math.inf}, object(), "\ud800"])
def test_what_has_no_json_form_is_refused(value: object) -> None:
    with pytest.raises(Unencodable):
        JsonCodec().encode_request(Request("m", params=[value]))
    with pytest.raises(Unencodable):
        JsonCodec().encode_result(1, value, UNSET)
    encoded = JsonCodec().encode_error(1, RpcError(5, "m", value), UNSET)
    assert encoded == b'{"id":1,"error":{"code":5,"message":"m"}}'


@pytest.mark.parametrize(
    "raw",
    [
        b"5",
        b"null",
        b"[]",
        b"{}",
        b'{"code":1}',
        b'{"message":"m"}',
        b'{"code":"1","message":"m"}',
        b'{"code":1.5,"message":"m"}',
        b'{"code":true,"message":"m"}',
        b'{"code":1,"message":null}',
        b'{"code":1,"message":"m"',
    ],
)
def test_a_malformed_error_is_none(raw: bytes) -> None:
    assert JsonCodec().decode_error(Raw(raw)) is None


@pytest.mark.parametrize("codec", [JsonCodec(), MsgpackCodec()], ids=["json", "msgpack"])
@pytest.mark.parametrize("params", [5, "text", True, 1.5, b"x", msgspec.Raw(b"5")], ids=type)
def test_params_that_are_no_object_or_array_are_refused(
    codec: JsonCodec | MsgpackCodec, params: object
) -> None:
    with pytest.raises(UsageError, match=f"an array, and {type(params).__name__} is neither"):
        codec.encode_request(Request("m", id=1, params=params))


@pytest.mark.parametrize("codec", [JsonCodec(), MsgpackCodec()], ids=["json", "msgpack"])
def test_whatever_becomes_an_object_or_array_is_params(codec: JsonCodec | MsgpackCodec) -> None:
    @dataclasses.dataclass
    class Point:
        x: int

    raw = Raw(codec.encode([1]))
    many: list[object] = [{}, [], (), {1}, frozenset[int](), Point(1), raw]
    for params in many:
        request = codec.encode_request(Request("m", id=1, params=params))
        assert isinstance(codec.decode(request), Message)


def test_the_depth_of_megabytes_is_found_soon() -> None:
    data = b"[" + b",".join([b"[" * 60 + b"]" * 60] * 135_000) + b"]"
    begin = time.process_time()
    JsonCodec().check(data)
    assert time.process_time() - begin < 0.8  # and twice that where each level takes a pass
