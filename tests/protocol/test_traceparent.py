"""What is a `traceparent`, by the rules of W3C Trace Context, section 3.2."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsonrpc_iot.protocol.traceparent import read_traceparent

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize("flags", ["00", "01", "03", "ff"])
def test_a_value_of_this_version_stays_as_it_is(flags: str) -> None:
    text = f"00-{TRACE}-{SPAN}-{flags}"
    assert read_traceparent(text) == text


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (f"01-{TRACE}-{SPAN}-03", GOOD),
        (f"cc-{TRACE}-{SPAN}-02-what-may-come", f"00-{TRACE}-{SPAN}-00"),
        (f"fe-{TRACE}-{SPAN}-01-", GOOD),
    ],
)
def test_one_of_a_later_version_is_read_as_far_as_this_one_goes(text: str, read: str) -> None:
    assert read_traceparent(text) == read


@pytest.mark.parametrize(
    "text",
    [
        None,
        5,
        [GOOD],
        "",
        GOOD[:-1],
        GOOD + "0",
        GOOD + "-more",
        GOOD + "\n",
        " " + GOOD,
        GOOD.upper(),
        f"{GOOD}, {GOOD}",
        f"ff-{TRACE}-{SPAN}-01",
        f"0-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-0g",
        f"00_{TRACE}-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01.more",
        f"00-{TRACE[:-1]}٣-{SPAN}-01",
    ],
)
def test_what_is_none(text: object) -> None:
    assert read_traceparent(text) is None


@given(st.text() | st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}.*"))
def test_what_is_read_is_short_and_is_read_again_as_it_is(text: str) -> None:
    read = read_traceparent(text)
    if read is not None:
        assert len(read) == len(GOOD)
        assert read_traceparent(read) == read
