"""The MessagePack codec: any bytes give a message, a batch or a refusal; encoded ones come back."""

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import UNSET, Raw

from jsonrpc_iot import (
    Context,
    Dispatcher,
    InvalidRequest,
    Limits,
    ParseError,
    RpcError,
    Unencodable,
)
from jsonrpc_iot.channel.info import ChannelInfo
from jsonrpc_iot.protocol.codec.codec import Codec
from jsonrpc_iot.protocol.codec.json import JsonCodec
from jsonrpc_iot.protocol.codec.msgpack import MsgpackCodec
from jsonrpc_iot.protocol.messages import ABSENT, Invalid, Message, Request

from .msgpack_bytes import (
    all_values,
    array,
    bad,
    extension,
    forms,
    good_values,
    has_twins,
    is_message_pack,
    mapping,
    numbers,
    strings,
    text,
)

LEVELS = 6
NAN = b"\xcb\x7f\xf8\0\0\0\0\0\0"
TIMESTAMP = b"\xd6\xff\0\0\0\1"

codec = MsgpackCodec(Limits(nesting=LEVELS))
encode = msgspec.msgpack.encode
decode = msgspec.msgpack.decode

names = st.sampled_from(
    ["id", "method", "params", "jsonrpc", "result", "error", "timeout", "stream", "retry", "x"]
).map(lambda name: text(name.encode()))
methods = st.sampled_from(["echo", "later", "fail", "rpc.ping"]).map(
    lambda name: text(name.encode())
)
members = (
    st.tuples(names, good_values)
    | st.tuples(st.just(text(b"method")), methods)
    | st.tuples(st.just(text(b"id")), numbers | strings)
    | st.tuples(st.just(text(b"params")), good_values.map(lambda value: array([value])))
    | st.tuples(all_values, all_values)
)
envelopes = st.builds(mapping, st.lists(members, max_size=6), forms)
documents = (
    envelopes | st.builds(array, st.lists(envelopes | all_values, max_size=4), forms) | all_values
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A document with a piece replaced by garbage, or cut short."""
    document = draw(documents)
    at = draw(st.integers(0, len(document)))
    gone = draw(st.integers(0, 4) | st.just(len(document)))
    return document[:at] + draw(st.binary(max_size=4) | bad) + document[at + gone :]


any_bytes = st.binary(max_size=40) | documents | damaged()


@settings(max_examples=1000)
@given(any_bytes)
@example(b"")
@example(b"\xc1")
@example(b"\xdd\xff\xff\xff\xff")
@example(b"\x91" * 5000)
@example(b"\x81" * 5000)
@example(b"\x81\x01" * 5000)
@example(mapping([(array([array([])]), b"\1")]))
def test_any_bytes_give_a_message_a_batch_or_a_refusal(data: bytes) -> None:
    decoded = codec.decode(data)
    if isinstance(decoded, list):
        assert all(isinstance(entry, Raw) for entry in decoded)
    elif isinstance(decoded, Invalid):
        assert isinstance(decoded.error, ParseError | InvalidRequest)
    else:
        assert isinstance(decoded, Message)
    refused = isinstance(decoded, Invalid) and isinstance(decoded.error, ParseError)
    if has_twins(data):  # NaN and depth in what a later member replaces are not seen
        assert not (refused and is_message_pack(data, LEVELS))
    else:
        assert refused == (not is_message_pack(data, LEVELS))


@pytest.mark.parametrize(
    "message",
    [
        {"id": 1, "method": "echo", "params": {"value": [1.5, b"\xff", "ä", None, {"a": -1}]}},
        {"jsonrpc": "2.0", "id": "x", "result": [2**64 - 1, -(2**63)]},
        {"id": None, "error": {"code": -32700, "message": "Parse error", "data": {}}},
        [{"method": "echo"}, {"method": "echo"}],
    ],
)
def test_every_cut_of_a_message_is_unreadable(message: object) -> None:
    whole = encode(message)
    assert not isinstance(codec.decode(whole), Invalid)
    for length in range(len(whole)):
        assert _is_parse_error(codec.decode(whole[:length]))
    assert _is_parse_error(codec.decode(whole + b"\0"))


def _is_parse_error(decoded: object) -> bool:
    return (
        isinstance(decoded, Invalid)
        and isinstance(decoded.error, ParseError)
        and (decoded.id, decoded.jsonrpc, decoded.silent) == (None, "2.0", False)
    )


def device() -> Dispatcher:
    dispatcher = Dispatcher(limits=Limits(nesting=LEVELS, batch=3))

    @dispatcher.method
    def echo(value: Any = None) -> Any:
        return value

    @dispatcher.method
    def count(values: dict[str, int], factor: float = 1) -> int:
        return len(values)

    @dispatcher.method
    async def later(value: float = 0) -> float:
        return value

    @dispatcher.method
    def fail() -> None:
        raise RpcError(7, "failed")

    return dispatcher


DEVICE = device().responder("msgpack")


@settings(max_examples=1000)
@given(any_bytes)
@example(mapping([(text(b"method"), text(b"echo")), (text(b"id"), b"\1"), (b"\x91\x80", b"\0")]))
def test_any_bytes_are_answered_with_nothing_or_with_responses(data: bytes) -> None:
    reply = DEVICE.dispatch_sync(data)
    if reply is None:
        return
    assert is_message_pack(reply, 100)
    answer = decode(reply)
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


PARTS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "params": lambda value: {"params": [value]},
    "named-params": lambda value: {"params": {"value": value}},
    "ignored-member": lambda value: {"params": [1], "x": value},
    "key": lambda value: {"params": [1], "x": {value: 1}},
}


@pytest.mark.parametrize("place", PARTS)
@pytest.mark.parametrize(
    "broken",
    [NAN, b"\xca\x7f\x80\0\0", text(b"\xff"), text(b"\xed\xa0\x80"), b"\xc1", extension(255, b"1")],
)
def test_what_is_broken_anywhere_is_a_parse_error(place: str, broken: bytes) -> None:
    request = encode({"id": 1, "method": "echo", **PARTS[place]("here")})
    assert decode(DEVICE.dispatch_sync(request) or b"")["id"] == 1
    reply = DEVICE.dispatch_sync(request.replace(encode("here"), broken))
    assert reply is not None
    assert decode(reply) == {
        "jsonrpc": "2.0",
        "id": None,
        "error": {"code": -32700, "message": "Parse error"},
    }


@pytest.mark.parametrize(
    "key", [b"\1", b"\xc0", b"\xc3", NAN[:1] + bytes(8), b"\xc4\1x", TIMESTAMP]
)
def test_keys_that_are_no_strings_are_params_like_any_and_ignored_in_the_envelope(
    key: bytes,
) -> None:
    value = mapping([(key, b"\7")])
    request = mapping(
        [
            (text(b"id"), b"\1"),
            (key, b"\2"),
            (text(b"method"), text(b"echo")),
            (text(b"params"), array([value])),
        ]
    )
    reply = DEVICE.dispatch_sync(request)
    assert reply is not None
    assert decode(reply) == {"id": 1, "result": decode(value)}


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("id", b"\2"),
        ("id", b"\x90"),
        ("method", text(b"fail")),
        ("method", b"\5"),
        ("params", b"\5"),
        ("params", array([b"\1", b"\2"])),
        ("x", b"\1"),
    ],
)
def test_of_members_given_twice_the_last_counts(name: str, first: bytes) -> None:
    members = {"x": b"\0", "id": b"\1", "method": text(b"echo"), "params": array([b"\7"])}
    pairs = [(name, first), *members.items()]
    reply = DEVICE.dispatch_sync(mapping([(text(key.encode()), value) for key, value in pairs]))
    assert reply is not None
    assert decode(reply) == {"id": 1, "result": 7}


def test_a_name_in_bytes_is_no_parameter() -> None:
    request = encode({"id": 1, "method": "echo", "params": {b"value": 1}})
    assert decode(DEVICE.dispatch_sync(request) or b"")["error"]["code"] == -32602


@pytest.mark.parametrize("value", [extension(5, b"abc"), TIMESTAMP, b"\xc4\3\0\xff\x80"])
def test_values_that_json_lacks_travel_as_they_are(value: bytes) -> None:
    request = mapping(
        [
            (text(b"id"), b"\1"),
            (text(b"method"), text(b"echo")),
            (text(b"params"), array([array([value])])),
        ]
    )
    reply = DEVICE.dispatch_sync(request)
    assert reply == mapping([(text(b"id"), b"\1"), (text(b"result"), array([_shortest(value)]))])


def _shortest(value: bytes) -> bytes:
    return encode(decode(value))


@pytest.mark.parametrize("member", ["id", "method", "params", "jsonrpc", "timeout", "stream"])
@pytest.mark.parametrize("value", [extension(5, b"abc"), TIMESTAMP, b"\xc4\1x"])
def test_members_of_types_that_json_lacks_are_invalid(member: str, value: bytes) -> None:
    members = {"id": b"\1", "method": text(b"echo"), member: value}
    reply = DEVICE.dispatch_sync(mapping([(text(k.encode()), v) for k, v in members.items()]))
    assert reply is not None
    answer = decode(reply)
    assert answer["error"]["code"] == -32600
    assert answer["id"] == (None if member == "id" else 1)


@pytest.mark.parametrize(
    "scalar", [b"\0", b"\x7f", b"\xc0", b"\xc3", text(b"x"), b"\xc4\0", TIMESTAMP]
)
def test_a_scalar_is_one_invalid_request(scalar: bytes) -> None:
    reply = DEVICE.dispatch_sync(scalar)
    assert reply is not None
    assert decode(reply) == {
        "jsonrpc": "2.0",
        "id": None,
        "error": {"code": -32600, "message": "Invalid Request"},
    }


@given(st.integers(1, 8), st.integers(0, 10), st.sampled_from(["list", "map", "key"]))
def test_depth_is_counted_in_values_and_in_keys(limit: int, depth: int, kind: str) -> None:
    value = b"\1"
    for _ in range(depth):
        value = mapping([(b"\1", value)]) if kind == "map" else array([value])
    pair = (value, b"\1") if kind == "key" else (b"\1", value)
    decoded = MsgpackCodec(Limits(nesting=limit)).decode(mapping([pair]))
    assert _is_parse_error(decoded) == (depth + 1 > limit)


def test_64_levels_are_taken_and_65_are_not() -> None:
    inner = b"\x91" * 62 + b"\1"
    for levels, value in ((64, inner), (65, array([inner]))):
        request = mapping(
            [
                (text(b"id"), b"\1"),
                (text(b"method"), text(b"m")),
                (text(b"params"), array([value])),
            ]
        )
        assert _is_parse_error(MsgpackCodec().decode(request)) == (levels > 64)


@pytest.mark.parametrize(
    "good", [b"\x80", b"\x90", array([b"\1"]), encode({"x": b"\xff", "y": 1.5})]
)
def test_check_lets_pass_what_is_in_order(good: bytes) -> None:
    MsgpackCodec().check(good)


@pytest.mark.parametrize(
    "broken", [b"", b"\xc1", b"\x91", b"\1\1", array([NAN]), b"\x91" * 65 + b"\0"]
)
def test_check_refuses_what_is_not(broken: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        MsgpackCodec().check(broken)
    with pytest.raises((UnicodeDecodeError, msgspec.DecodeError), match=r"(?i)utf-8"):
        MsgpackCodec().check(array([text(b"\xff")]))


small = st.integers(-(2**63), 2**64 - 1)
scalars = st.none() | st.booleans() | small | st.text(max_size=5) | st.binary(max_size=5)
finite = st.floats(allow_nan=False, allow_infinity=False)
objects = st.recursive(
    scalars | finite,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(scalars, inner, max_size=3),
    max_leaves=10,
)
containers = st.lists(objects, max_size=3) | st.dictionaries(st.text(), objects, max_size=3)
dialects = st.sampled_from(["2.0", UNSET])


@given(
    method=st.text(max_size=40),
    id=st.integers(1, 2**63) | st.just(UNSET),
    params=containers | st.just(UNSET),
    jsonrpc=dialects,
    timeout=st.floats(min_value=1e-300, allow_infinity=False) | st.just(UNSET),
    flags=st.tuples(st.booleans(), st.booleans()),
)
def test_requests_come_back(
    method: str, id: Any, params: Any, jsonrpc: Any, timeout: Any, flags: tuple[bool, bool]
) -> None:
    stream, retry = flags
    data = MsgpackCodec().encode_request(
        Request(method, jsonrpc, id, params, timeout, stream=stream, retry=retry)
    )
    message = MsgpackCodec().decode(data)
    assert isinstance(message, Message)
    assert (message.method, message.id, message.jsonrpc) == (method, id, jsonrpc)
    assert (message.timeout, message.stream, message.retry) == (timeout, stream, retry)
    assert (message.result, message.error) == (ABSENT, ABSENT)
    if params is UNSET:
        assert message.params is ABSENT
    else:
        assert decode(message.params) == params


@given(id=st.none() | small | finite | st.text(), result=objects, jsonrpc=dialects)
def test_results_come_back(id: Any, result: object, jsonrpc: Any) -> None:
    data = MsgpackCodec().encode_result(id, result, jsonrpc)
    message = MsgpackCodec().decode(data)
    assert isinstance(message, Message)
    assert (message.id, message.jsonrpc) == (id, jsonrpc)
    assert type(message.id) is type(id)
    assert (message.method, message.error) == (UNSET, ABSENT)
    assert decode(message.result) == result


@given(code=small, message=st.text(), data=objects, limit=st.none() | st.integers(0, 150))
def test_errors_come_back_as_whole_as_the_limit_allows(
    code: int, message: str, data: object, limit: int | None
) -> None:
    forms = [
        encode({"id": 1, "error": error})
        for error in (
            {"code": code, "message": message} | ({} if data is None else {"data": data}),
            {"code": code, "message": message},
            {"code": code, "message": ""},
        )
    ]
    encoded = MsgpackCodec().encode_error(1, RpcError(code, message, data), UNSET, limit)
    assert encoded == next((form for form in forms if limit is None or len(form) <= limit), None)
    if encoded == forms[0]:
        decoded = MsgpackCodec().decode(encoded)
        assert isinstance(decoded, Message)
        error = MsgpackCodec().decode_error(decoded.error)
        assert error is not None
        assert (error.code, error.message, error.data) == (code, message, data)


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        [math.inf],
        {"a": -math.inf},
        {b"a": math.nan, "YQ==": 1.5},
        {math.nan: 1},
        object(),
        chr(0xD800),
        2**64,
        -(2**63) - 1,
    ],
)
def test_what_has_no_form_is_refused(value: object) -> None:
    with pytest.raises(Unencodable):
        MsgpackCodec().encode_request(Request("m", params=[value]))
    with pytest.raises(Unencodable):
        MsgpackCodec().encode_result(1, value, UNSET)
    encoded = MsgpackCodec().encode_error(1, RpcError(5, "m", value), UNSET)
    assert encoded == encode({"id": 1, "error": {"code": 5, "message": "m"}})


@pytest.mark.parametrize("value", [math.nan, math.inf, 2**64])
def test_such_a_result_is_an_internal_error_with_the_calls_id(value: object) -> None:
    dispatcher = Dispatcher()
    dispatcher.method("typed")(_typed(value))
    dispatcher.method("untyped")(lambda: value)
    for method in ("typed", "untyped"):
        reply = dispatcher.responder("msgpack").dispatch_sync(encode({"id": 9, "method": method}))
        assert reply is not None
        answer = decode(reply)
        assert (answer["id"], answer["error"]["code"]) == (9, -32603)


def _typed(value: Any) -> Any:
    def typed() -> int:
        return value  # type: ignore[no-any-return]

    def with_float() -> float:
        return value  # type: ignore[no-any-return]

    return typed if isinstance(value, int) else with_float


@given(st.none() | small | finite | st.text())
@example(-0.0)
@example(1.5)
def test_the_id_to_echo_is_equal_and_of_the_same_type(id: Any) -> None:
    data = encode({"method": "echo", "id": id})
    decoded = MsgpackCodec().decode(data)
    assert isinstance(decoded, Message)
    assert decoded.id is not UNSET
    assert encode(MsgpackCodec().wire_id(data, decoded.id)) == encode(id)


@pytest.mark.parametrize("count", [0, 1, 2, 15, 16, 17, 255, 256, 65_535, 65_536])
def test_joined_messages_are_a_batch_within_its_announced_size(count: int) -> None:
    messages = [encode({"id": number % 7}) for number in range(count)]
    batch = MsgpackCodec().join(messages)
    entries = MsgpackCodec().decode(batch)
    assert isinstance(entries, list)
    assert [bytes(entry) for entry in entries] == messages
    assert MsgpackCodec().is_batch(batch)
    own, each = MsgpackCodec.batch_bytes
    assert len(batch) <= own + sum(len(message) + each for message in messages)


@pytest.mark.parametrize(
    ("data", "is_batch"),
    [
        (b"", False),
        (b"\x80", False),
        (b"\x90", True),
        (b"\x9f", True),
        (b"\xa0", False),
        (b"\xdc\x00\x00", True),
        (b"\xdd\x00\x00\x00\x00", True),
        (b"\xde\x00\x00", False),
        (b"[]", False),
    ],
)
def test_arrays_are_batches(data: bytes, is_batch: bool) -> None:
    assert MsgpackCodec().is_batch(data) == is_batch


def test_a_request_marked_as_a_retry_is_the_same_with_one_more_member() -> None:
    choices: list[list[Any]] = [
        ["m", "m" * 300],
        ["2.0", UNSET],
        [UNSET, [], {"a": [1.5]}, list(range(70_000))],
        [UNSET, 2.5],
        [True, False],
    ]
    made = [
        Request(method, jsonrpc, 5, params, timeout, stream=stream)
        for method, jsonrpc, params, timeout, stream in product(*choices)
    ]
    assert len(made) == 64
    for request in made:
        data = MsgpackCodec().encode_request(request)
        marked = MsgpackCodec().mark_retry(data)
        assert decode(marked) == decode(data) | {"retry": True}
        late = MsgpackCodec().mark_retry(data, late=True)
        assert decode(late) == decode(data) | {"timeout": 1e-9, "retry": True}
        assert data in MsgpackCodec().unmarked(late)
        message = MsgpackCodec().decode(marked)
        assert isinstance(message, Message)
        assert message.retry


LIMITS = st.integers(1, 400)


@given(sizes=st.lists(st.integers(0, 200), min_size=1, max_size=20), limit=LIMITS)
def test_a_batch_of_replies_never_exceeds_the_limit(sizes: list[int], limit: int) -> None:
    dispatcher = Dispatcher()
    dispatcher.method("text")(_text)
    batch = [{"id": id, "method": "text", "params": [size]} for id, size in enumerate(sizes)]
    info = ChannelInfo(transport="t", local="t", peer="t", max_message=limit, codec="msgpack")
    reply = dispatcher.responder("msgpack").dispatch_sync(encode(batch), Context(info=info))
    assert reply is None or len(reply) <= limit
    if limit >= 5 + len(sizes) * 100:  # room for an error each
        assert reply is not None
        answers = {each["id"]: each for each in decode(reply)}
        assert answers.keys() == set(range(len(sizes)))
        for id, answer in answers.items():
            if "error" in answer:
                assert answer["error"]["code"] == -32001
                size = len(encode({"id": id, "result": "x" * sizes[id]}))
                assert answer["error"]["data"] == {"size": size, "limit": limit}
            else:
                assert answer["result"] == "x" * sizes[id]


def _text(size: int) -> str:
    return "x" * size


@pytest.mark.parametrize(
    "raw",
    [
        5,
        None,
        [],
        {},
        {"code": 1},
        {"message": "m"},
        {"code": "1", "message": "m"},
        {"code": 1.5, "message": "m"},
        {"code": True, "message": "m"},
        {"code": 1, "message": b"m"},
    ],
)
def test_a_malformed_error_is_none(raw: object) -> None:
    assert MsgpackCodec().decode_error(Raw(encode(raw))) is None


@pytest.mark.parametrize(
    ("reads", "writes"), [(JsonCodec(), MsgpackCodec()), (MsgpackCodec(), JsonCodec())]
)
@pytest.mark.parametrize("error", [ParseError(), InvalidRequest()])
def test_what_is_in_the_other_format_is_refused_but_its_refusal_is_not_answered(
    reads: Codec, writes: Codec, error: RpcError
) -> None:
    """Else two ends that do not agree would exchange errors for ever."""
    request = reads.decode(writes.encode_request(Request("echo", id=1)))
    assert isinstance(request, Invalid)
    assert (type(request.error), request.silent) == (ParseError, False)

    complaint = writes.encode_error(None, error, "2.0")
    assert complaint is not None
    refused = reads.decode(complaint)
    assert isinstance(refused, Invalid)
    assert (type(refused.error), refused.silent) == (ParseError, True)
