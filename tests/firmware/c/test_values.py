"""What methods in C read of their params, and write as their results."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jsonrpc_iot.testing.conformance.replies import strict_json

from .desk import Driver, heard

pytestmark = pytest.mark.firmware

DATAGRAM = 0
INVALID_PARAMS, INTERNAL_ERROR, TOO_LARGE = -32602, -32603, -32001
ROOM = 64
"""Bytes that `text` has, with its end."""


def sent(peer: Driver, method: str, params: str = "[]", more: str = "", most: int = 65507) -> Any:
    """The messages that answer a call, whose params are JSON already."""
    peer.ask("new", 0, DATAGRAM, most, most, 0)
    request = f'{{"id":1,"method":"{method}","params":{params}{more}}}'
    lines = peer.ask("take", 0, request.encode().hex())
    return [strict_json(bytes.fromhex(each)) for each in heard(lines, "sent")]


def call(peer: Driver, method: str, params: str = "[]") -> Any:
    (reply,) = sent(peer, method, params)
    return reply.get("result", reply.get("error", {}).get("code"))


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=ROOM)


@given(text=TEXTS, is_ascii=st.booleans())
@example(text='\x01\x1f\x7f"\\/\b\f\n\r\t', is_ascii=True)
@example(text="x" * (ROOM - 1), is_ascii=True)
@example(text="x" * ROOM, is_ascii=True)
@example(text="\U0001f600" * 16, is_ascii=True)
def test_a_text_comes_back(peer: Driver, text: str, is_ascii: bool) -> None:
    """One that does not fit is refused."""
    fits = len(text.encode()) < ROOM
    params = json.dumps({"text": text}, ensure_ascii=is_ascii)
    assert call(peer, "text", params) == (text if fits else INVALID_PARAMS)


@pytest.mark.parametrize("params", ["[1]", "[null]", "[]", "{}", '[["x"]]', '{"text":{}}'])
def test_what_is_no_text_is_refused(peer: Driver, params: str) -> None:
    (reply,) = sent(peer, "text", params)
    assert reply["error"]["code"] == INVALID_PARAMS
    assert reply["error"]["data"]["path"] == "$.text"


@pytest.mark.parametrize(
    ("params", "result"),
    [
        ("[true]", True),
        ('{"on":false}', False),
        ("{}", "absent"),
        ("null", "absent"),
        ("[null]", "absent"),
        ("[1]", INVALID_PARAMS),
        ('["true"]', INVALID_PARAMS),
        ("[true,true]", INVALID_PARAMS),
        ('{"off":true}', INVALID_PARAMS),
    ],
)
def test_a_bool_that_may_be_missing(peer: Driver, params: str, result: object) -> None:
    assert call(peer, "flag", params) == result


digits = st.text("0123456789", min_size=1, max_size=14)
NUMBERS = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "-"]),
    st.one_of(st.just("0"), digits.map(lambda text: text.lstrip("0") or "0")),
    st.one_of(st.just(""), digits.map(".{}".format)),
    st.one_of(
        st.just(""),
        st.integers(-30, 30).map("e{}".format),
        st.integers(0, 9).map("E+{}".format),
    ),
)


@settings(max_examples=1000)
@given(number=NUMBERS)
@example(number="21474836.47")
@example(number="21474836.48")
@example(number="-21474836.48")
@example(number="-21474836.49")
@example(number="4e1")
@example(number="0.005")
@example(number="1" + "0" * 30 + "e-30")
@example(number="0." + "0" * 30 + "1e31")
@example(number="1e999999999999")
@example(number="1e-999999999999")
@example(number="0e999999999999")
def test_a_number_is_read_to_its_last_decimal(peer: Driver, number: str) -> None:
    """What has more decimals than wanted, or does not fit 32 bits, is refused."""
    (reply,) = sent(peer, "hundredths", f"[{number}]")
    value = exact(number)
    if value is None:
        assert reply["error"]["code"] == INVALID_PARAMS
    else:
        assert round(100 * reply["result"]) == value


def exact(number: str) -> int | None:
    """So many hundredths, `None` where these are no integer of 32 bits."""
    mantissa, _, exponent = number.lower().partition("e")
    power = int(exponent or 0)
    if Decimal(mantissa) == 0:
        return 0
    if abs(power) > 1000:
        return None
    value = Decimal(mantissa).scaleb(power + 2)
    is_there = value == value.to_integral_value() and -(2**31) <= value < 2**31
    return int(value) if is_there else None


def test_a_result_that_is_no_utf8_is_an_internal_error(peer: Driver) -> None:
    assert call(peer, "latin1") == INTERNAL_ERROR


def test_an_item_that_is_too_large_ends_the_stream(peer: Driver) -> None:
    messages = sent(peer, "rows", more=',"stream":true', most=100)
    assert [each["params"]["item"] for each in messages[:-1]] == [1, 1, 1]
    assert messages[-1]["error"]["code"] == TOO_LARGE
