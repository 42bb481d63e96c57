"""The judge itself: what it lets pass and what it does not."""

import pytest

from jsonrpc_iot.testing.conformance.replies import (
    UNPARSED,
    UNPARSED_AFTER_IOT,
    Message,
    fail,
    ok,
    same,
)

from .cases import CASES, PACKET_CASES
from .model import SECRET, Case
from .recoded import is_expressible

ONE = ok(1, "x")


@pytest.mark.parametrize(
    ("expect", "received"),
    [
        ((), [b'{"id":1,"result":"x"}']),
        ((ONE,), []),
        ((ONE,), [b'{"id":1,"result":"x"}', b'{"id":1,"result":"x"}']),
        ((ONE,), [b'{"id":1.0,"result":"x"}']),
        ((ONE,), [b'{"id":"1","result":"x"}']),
        ((ONE,), [b'{"id":true,"result":"x"}']),
        ((ONE,), [b'{"id":1,"result":"y"}']),
        ((ONE,), [b'{"id":1,"result":"x","error":null}']),
        ((ONE,), [b'{"jsonrpc":"2.0","id":1,"result":"x"}']),
        ((ONE,), [b'[{"id":1,"result":"x"}]']),
        ((ONE,), [b'{"id":1,"result":"x"}{}']),
        ((ONE,), [b'{"id":1,"id":1,"result":"x"}']),
        ((ok(1, "x", v2=True),), [b'{"id":1,"result":"x"}']),
        ((ok(1, "x", v2=True),), [b'{"jsonrpc":2,"id":1,"result":"x"}']),
        ((ok(None),), [b'{"result":"x"}']),
        ((ok(1),), [b'{"id":1,"result":NaN}']),
        ((ok(1),), [rb'{"id":1,"result":"\ud800"}']),
        (((ONE,),), [b'{"id":1,"result":"x"}']),
        (((ONE, ok(2, 2)),), [b'[{"id":1,"result":"x"},{"id":1,"result":"x"}]']),
        ((fail(1, 5),), [b'{"id":1,"result":5}']),
        ((fail(1, 5),), [b'{"id":1,"error":5}']),
        ((fail(1, 5),), [b'{"id":1,"error":{"code":5}}']),
        ((fail(1, 5),), [b'{"id":1,"error":{"code":6,"message":"m"}}']),
        ((fail(1, 5),), [b'{"id":1,"error":{"code":5,"message":"m","x":1}}']),
        ((fail(1, 5, "$.a"),), [b'{"id":1,"error":{"code":5,"message":"$.a","data":"$.b"}}']),
        ((fail(1, 5, data=None),), [b'{"id":1,"error":{"code":5,"message":"m","data":0}}']),
        ((ok(1),), [b'{"id":1,"result":"' + SECRET.encode() + b'"}']),
    ],
)
def test_a_wrong_reply_is_seen(expect: tuple[Message, ...], received: list[bytes]) -> None:
    with pytest.raises((AssertionError, ValueError)):
        Case("", b"", expect).check(received, [])


@pytest.mark.parametrize(
    ("expect", "received"),
    [
        ((), []),
        ((ONE, ok(2)), [b'{"id":2,"result":[]}', b'{"result":"x","id":1}']),
        (((ONE, ok(2)),), [b'[{"id":2,"result":[]},{"result":"x","id":1}]']),
        ((ok(1.5),), [b'{"id":15e-1,"result":null}']),
        (
            (fail(1, 5, "$.a", data={"path": "$.a"}),),
            [b'{"id":1,"error":{"code":5,"message":"","data":{"path":"$.a"}}}'],
        ),
    ],
)
def test_a_right_reply_passes(expect: tuple[Message, ...], received: list[bytes]) -> None:
    Case("", b"", expect).check(received, [])


def test_what_ran_is_compared() -> None:
    with pytest.raises(AssertionError, match="ran"):
        Case("", b"", ran=(1,)).check([], [])


def test_equality_tells_json_types_apart() -> None:
    assert not same(1, True)
    assert not same([0], [False])
    assert not same({"a": 1}, {"a": 1.0})
    assert same({"a": [1, None]}, {"a": [1, None]})


def test_most_cases_of_sound_json_have_a_form_in_msgpack() -> None:
    unread = (UNPARSED, UNPARSED_AFTER_IOT)
    sound = [case for case in PACKET_CASES if not any(each in unread for each in case.expect)]
    assert sum(map(is_expressible, sound)) > 500
    assert not any(map(is_expressible, (CASES["bom"], CASES["bad-id-1e400"], CASES["call-big"])))
