"""Streams of bytes of the peer in C, told the time."""

import pytest

from jsonrpc_iot.testing.conformance.replies import strict_json

from .desk import Driver, heard

pytestmark = pytest.mark.firmware

STREAM = 2
VOID = b'{"id":1,"method":"void"}'


@pytest.fixture
def stream(peer: Driver) -> Driver:
    peer.ask("new", 0, STREAM, 1000, 64, 1)
    peer.ask("stream", 100)
    return peer


def sent(lines: list[str]) -> list[object]:
    whole = bytes.fromhex("".join(heard(lines, "sent")))
    assert whole.endswith(b"\n")
    return [strict_json(line) for line in whole.split(b"\n")[:-1]]


@pytest.mark.parametrize("begun", [b"{", VOID[:-1], b"tru", b'"x', b"[1,"])
def test_a_message_that_stays_unfinished_ends_the_connection(stream: Driver, begun: bytes) -> None:
    assert stream.ask("feed", 500, 1, begun.hex()) == []
    assert stream.ask("idle", 10499) == []
    lines = stream.ask("idle", 10500)
    assert lines[-1] == "close"
    (reply,) = sent(lines)
    assert isinstance(reply, dict)
    assert reply["error"] == {"code": -32700, "message": "Parse error"}


def test_a_stream_may_be_silent_between_messages(stream: Driver) -> None:
    assert sent(stream.ask("feed", 0, 3, (VOID + b" \r").hex())) == [{"id": 1, "result": None}]
    assert stream.ask("idle", 3_600_000) == []
    assert sent(stream.ask("feed", 3_600_000, 5, VOID.hex())) == [{"id": 1, "result": None}]


def test_a_message_counts_from_its_own_first_byte(stream: Driver) -> None:
    stream.ask("feed", 0, 50, (VOID + VOID[:5]).hex())
    stream.ask("feed", 9000, 50, (VOID[5:] + VOID[:5]).hex())
    assert stream.ask("idle", 18999) == []
    assert "close" in stream.ask("idle", 19000)


def test_how_deep_a_stream_nests_is_counted_far_enough(stream: Driver) -> None:
    """Beyond what can be parsed: brackets in brackets are one message, and cost one answer."""
    stream.ask("stream", 70000)
    deep = b"[" * 30000 + b"]" * 30000
    (reply,) = sent(stream.ask("feed", 0, 4096, deep.hex()))
    assert isinstance(reply, dict)
    assert reply["error"]["code"] == -32700
    assert sent(stream.ask("feed", 0, 4096, VOID.hex())) == [{"id": 1, "result": None}]
