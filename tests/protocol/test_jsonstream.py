"""The JSON splitter: any bytes, cut anywhere, give the same messages or a FramingError."""

import itertools
import json
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jsonrpc_iot.errors import FramingError, TooLarge
from jsonrpc_iot.protocol.jsonstream import JsonSplitter
from tests.vectors import bytes_of, read_vectors

NO_LIMIT = 1 << 20
CALL = b'{"method":"wifi.connect","params":{"ssid":"a}b","tags":[1,[2]]},"id":1}'

# Messages, the unfinished rest, and whether a message was over the limit.
Outcome = tuple[list[bytes], bytes | None, bool]


def split(pieces: list[bytes], limit: int = NO_LIMIT) -> Outcome:
    splitter = JsonSplitter(limit)
    messages: list[bytes] = []
    for piece in pieces:
        messages += splitter.feed(piece)
        if splitter.failure is not None:
            break
    return messages, splitter.close(), splitter.failure is not None


def byte_by_byte(stream: bytes) -> list[bytes]:
    return [stream[i : i + 1] for i in range(len(stream))]


def reference(stream: bytes, limit: int = NO_LIMIT) -> Outcome:
    """The rules, one byte at a time, with no thought of speed."""
    messages: list[bytes] = []
    message = b""
    for byte in byte_by_byte(stream):
        if not message and byte in b" \t\r\n":
            continue
        if byte != b"\n":
            message += byte
        if len(message) > limit:
            return messages, None, True
        if byte == b"\n" or is_balanced(message):
            messages.append(message.rstrip(b" \t\r"))
            message = b""
    return messages, message.rstrip(b" \t\r") or None, False


def is_balanced(message: bytes) -> bool:
    if message[:1] not in (b"{", b"["):
        return False
    braces = brackets = 0
    for byte in outside_strings(message):
        braces += (byte == b"{") - (byte == b"}")
        brackets += (byte == b"[") - (byte == b"]")
        if braces < 0 or brackets < 0:
            return False
    return braces == brackets == 0


def outside_strings(message: bytes) -> Iterator[bytes]:
    in_string = escaped = False
    for byte in byte_by_byte(message):
        if escaped:
            escaped = False
        elif in_string and byte == b"\\":
            escaped = True
        elif byte == b'"':
            in_string = not in_string
        elif not in_string:
            yield byte


def examples() -> Iterator[tuple[str, bytes, list[bytes], bytes | None]]:
    """A name, a stream, its messages and the unfinished rest."""
    for vector in read_vectors("stream"):
        messages = [bytes.fromhex(each) for each in vector.get("messages_hex", ())]
        messages += [each.encode() for each in vector.get("messages", ())]
        has_rest = "rest" in vector or "rest_hex" in vector
        rest = bytes_of(vector, "rest") if has_rest else None
        yield vector["name"], bytes_of(vector), messages, rest
    deep = b"[" * 20_000 + b"]" * 20_000
    yield "deeper than any stack", deep + b"{}\n", [deep, b"{}"], None


EXAMPLES = list(examples())


@pytest.mark.parametrize(
    ("stream", "messages", "rest"), [pytest.param(*each[1:], id=each[0]) for each in EXAMPLES]
)
def test_rules(stream: bytes, messages: list[bytes], rest: bytes | None) -> None:
    expected = (messages, rest, False)
    assert split([stream]) == expected
    assert split(byte_by_byte(stream)) == expected
    ahead, *found = split([CALL + b"\n" + stream])[0]
    assert ahead == CALL
    assert found == messages


def test_hands_out_a_message_with_the_byte_that_ends_it() -> None:
    splitter = JsonSplitter(NO_LIMIT)
    assert splitter.feed(CALL[:-1]) == []
    assert splitter.feed(CALL[-1:]) == [CALL]
    assert splitter.feed(b"\n 12") == []
    assert splitter.feed(b"\n") == [b"12"]


def test_messages_are_bytes() -> None:
    messages = JsonSplitter(NO_LIMIT).feed(b"{}\n{}{}")
    assert [type(message) for message in messages] == [bytes, bytes, bytes]


def test_pending_is_a_message_that_has_begun() -> None:
    splitter = JsonSplitter(NO_LIMIT)
    seen = []
    for piece in (b"", b" \r\n\t", b" {", b'"', b'"}', b" ", b"x", b" ", b"\n"):
        splitter.feed(piece)
        seen.append(splitter.pending)
    assert seen == [False, False, True, True, False, False, True, True, False]


def test_close_hands_out_the_rest_once() -> None:
    splitter = JsonSplitter(NO_LIMIT)
    splitter.feed(b'{"a')
    assert splitter.close() == b'{"a'
    assert not splitter.pending
    assert splitter.close() is None


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b" {}", b"\n{}\n"])
def test_a_message_of_exactly_the_limit_passes(end: bytes) -> None:
    stream = b"{}\n" + CALL + end
    after = [b"{}"] if b"{" in end else []
    expected = ([b"{}", CALL, *after], None, False)
    assert split([stream], limit=len(CALL)) == expected
    assert split(byte_by_byte(stream), limit=len(CALL)) == expected


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b" {}", b"\n{}\n"])
@pytest.mark.parametrize("message", [CALL, CALL[:-1] + b"x", b"x" * len(CALL)])
def test_a_message_over_the_limit_ends_the_splitting(message: bytes, end: bytes) -> None:
    stream = b"{}\n[1]" + message + end
    expected = ([b"{}", b"[1]"], None, True)
    assert split([stream], limit=len(CALL) - 1) == expected
    assert split(byte_by_byte(stream), limit=len(CALL) - 1) == expected


def test_an_unfinished_message_over_the_limit_fails_at_once() -> None:
    splitter = JsonSplitter(limit=5)
    assert splitter.feed(b"[1234") == []
    assert splitter.failure is None
    assert splitter.feed(b"5") == []
    assert splitter.failure is not None


def test_whitespace_between_messages_has_no_limit() -> None:
    stream = b" " * 100 + b"{}" + b"\r\n" * 100 + b"\t" * 100 + b"1\n" + b" " * 100
    assert split([stream], limit=2) == ([b"{}", b"1"], None, False)


def test_the_failure_says_what_to_answer_and_is_raised_from_then_on() -> None:
    splitter = JsonSplitter(limit=10)
    assert splitter.feed(b"{}\n[1]\n[123456789]\n{}") == [b"{}", b"[1]"]
    failure = splitter.failure
    assert isinstance(failure, FramingError)
    assert isinstance(failure.error, TooLarge)
    assert failure.error.data == {"size": 11, "limit": 10}
    assert not splitter.pending
    with pytest.raises(FramingError) as raised:
        splitter.feed(b"")
    assert raised.value is failure


@st.composite
def cuts(draw: st.DrawFn, streams: st.SearchStrategy[bytes]) -> list[bytes]:
    """A stream, cut into pieces anywhere."""
    stream = draw(streams)
    at = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    ends = [0, *at, len(stream)]
    return [stream[start:end] for start, end in itertools.pairwise(ends)]


text = st.text(st.characters(codec="utf-8") | st.sampled_from('{}[]"\\\n'))
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | text
)
containers = st.recursive(
    st.builds(list[object]) | st.builds(dict[str, object]),
    lambda inner: st.lists(scalars | inner) | st.dictionaries(text, scalars | inner),
    max_leaves=10,
)
whitespace = st.text(" \t\r\n", max_size=3).map(str.encode)


@st.composite
def json_messages(draw: st.DrawFn) -> tuple[list[bytes], list[bytes]]:
    """JSON messages, and a stream of them in pieces; only scalars need their newline."""
    messages, stream = [], draw(whitespace)
    for value in draw(st.lists(scalars | containers)):
        message = json.dumps(value, ensure_ascii=draw(st.booleans())).encode()
        messages.append(message)
        stream += message + (b"" if isinstance(value, list | dict) else b"\n") + draw(whitespace)
    return messages, draw(cuts(st.just(stream)))


# What the rules speak of, dense enough to make the interesting mixtures.
tokens = st.sampled_from(
    [b"{", b"}", b"[", b"]", b'"', b"\\", b"\n", b"\r", b" ", b"1", b"{}", b'"x"', CALL, b"\xff"]
)
garbage = st.lists(tokens | st.binary(max_size=3), max_size=30).map(b"".join)


@given(json_messages())
def test_json_comes_back_however_it_is_cut(case: tuple[list[bytes], list[bytes]]) -> None:
    messages, pieces = case
    assert split(pieces) == (messages, None, False)
    assert split([b"".join(pieces)]) == (messages, None, False)
    assert split(byte_by_byte(b"".join(pieces))) == (messages, None, False)


@given(cuts(garbage), st.integers(1, 60) | st.just(NO_LIMIT))
@example([b"1 \n"], 1)
@example([b"1 ", b"\n"], 1)
@example([b'["\\', b'"]"]{}'], NO_LIMIT)
def test_any_bytes_give_messages_or_a_framing_error(pieces: list[bytes], limit: int) -> None:
    stream = b"".join(pieces)
    expected = reference(stream, limit)
    assert split(pieces, limit) == expected
    assert split([stream], limit) == expected
    assert split(byte_by_byte(stream), limit) == expected
    whole = JsonSplitter(limit).whole(stream, 30)
    assert whole is None or (whole, None, False) == expected


def test_a_few_whole_messages_are_found_at_once() -> None:
    splitter = JsonSplitter(NO_LIMIT)
    assert splitter.whole(CALL, 2) == [CALL]
    assert splitter.whole(CALL + b"\n", 2) == [CALL]
    assert splitter.whole(b" " + CALL + b"\r\n[1]\n", 2) == [CALL, b"[1]"]
    assert splitter.whole(b"[1]\n[2]\n[3]\n", 2) is None
    assert splitter.whole(CALL + CALL, 2) is None
    assert splitter.whole(b"\n", 2) is None
    splitter.feed(CALL[:9])
    assert splitter.whole(CALL, 2) is None
