"""Buffers of every size, from the smallest that is allowed."""

import json
from typing import Any

import pytest

from jsonrpc_iot.testing.conformance.replies import strict_json

from .desk import Driver, heard

pytestmark = pytest.mark.firmware

DATAGRAM, FRAME, STREAM = range(3)
LEAST_MESSAGE, LEAST_PIECE = 64, 16

MESSAGES = [
    {"id": 1, "method": "echo", "params": ["é" * 40]},
    {"id": "a" * 30, "method": "echo", "params": [{"a": [1, 2, {"b": None}]}]},
    {"id": 2, "method": "rpc.methods"},
    {"id": 3, "method": "squares", "params": [12], "stream": True},
    {"id": 4, "method": "no.such.method"},
    {"id": 5, "method": "add", "params": {"a": 1, "c": 2}},
    {"id": [], "method": "echo"},
    [{"id": 6, "method": "squares", "params": [20]}, {"id": 7, "method": "add", "params": [1, 2]}],
    [{"id": id, "method": "echo", "params": [id]} for id in range(20)],
    [1, 2, {"id": 8, "method": "void"}, {"method": "void"}],
]


def replies(peer: Driver, message: object, *settings: object) -> list[Any]:
    """What comes back; the driver sees to it that no piece is larger than its buffer."""
    assert peer.ask("new", *settings, 0) == []
    lines = peer.ask("take", 0, json.dumps(message, ensure_ascii=False).encode().hex())
    return [strict_json(bytes.fromhex(sent)) for sent in heard(lines, "sent")]


@pytest.mark.parametrize("framing", [FRAME, STREAM])
def test_pieces_of_any_size_make_the_same_messages(peer: Driver, framing: int) -> None:
    whole = [replies(peer, message, 0, framing, 2000, 2000) for message in MESSAGES]
    for message, expected in zip(MESSAGES, whole, strict=True):
        if framing == FRAME and isinstance(message, list):
            continue  # its answer has to fit the buffer: see below
        for room in range(LEAST_PIECE, 200):
            assert replies(peer, message, 0, framing, 2000, room) == expected, room


@pytest.mark.parametrize("framing", [DATAGRAM, FRAME, STREAM])
def test_no_message_is_larger_than_may_be(peer: Driver, framing: int) -> None:
    """What does not fit becomes an error that does, or is dropped; what fits is as it should be."""
    for message in MESSAGES:
        whole = answers(replies(peer, message, 0, framing, 2000, 2000))
        for most in range(LEAST_MESSAGE, 400):
            room = most if framing == DATAGRAM else 2000
            got = replies(peer, message, 0, framing, most, room)
            for each in got:
                assert len(json.dumps(each, separators=(",", ":"), ensure_ascii=False)) <= most
            for id, answer in answers(got).items():
                fits = answer == whole[id] or answer["error"]["code"] == -32001
                assert fits or answer["error"]["code"] == whole[id]["error"]["code"], (most, answer)


@pytest.mark.parametrize("framing", [DATAGRAM, FRAME])
def test_the_answer_to_a_batch_has_to_fit_the_buffer(peer: Driver, framing: int) -> None:
    for message in MESSAGES:
        if not isinstance(message, list):
            continue
        whole = answers(replies(peer, message, 0, framing, 2000, 2000))
        for room in range(LEAST_MESSAGE, 400):
            got = replies(peer, message, 0, framing, 2000, room)
            for id, answer in answers(got).items():
                assert answer == whole[id] or answer["error"]["code"] in (-32001, -32600)


def answers(messages: list[Any]) -> dict[str, Any]:
    """The answers by their ids, those in arrays too, without notifications."""
    flat = [each for one in messages for each in (one if isinstance(one, list) else [one])]
    return {json.dumps(each["id"]): each for each in flat if "id" in each}


@pytest.mark.parametrize(
    ("framing", "most", "room"),
    [
        (DATAGRAM, LEAST_MESSAGE, LEAST_MESSAGE - 1),
        (DATAGRAM, LEAST_MESSAGE - 1, LEAST_MESSAGE),
        (FRAME, LEAST_MESSAGE, LEAST_PIECE - 1),
        (STREAM, LEAST_MESSAGE, LEAST_PIECE - 1),
        (STREAM, LEAST_MESSAGE - 1, LEAST_PIECE),
    ],
)
def test_what_is_too_small_is_refused(peer: Driver, framing: int, most: int, room: int) -> None:
    assert peer.ask("new", 0, framing, most, room, 0) == ["refused"]


def test_what_is_received_is_cut_to_the_room_there_is(peer: Driver) -> None:
    message = b'{"id":1,"method":"void"}\n'
    for room in range(1, 40):
        peer.ask("new", 0, STREAM, 2000, 64, 0)
        peer.ask("stream", room)
        lines = peer.ask("feed", 0, 1, message.hex())
        is_enough = room >= len(message) - 1
        assert ("close" in lines) != is_enough
        sent = bytes.fromhex("".join(heard(lines, "sent")))
        code = strict_json(sent).get("error", {}).get("code")  # type: ignore[attr-defined]
        assert code == (None if is_enough else -32001)


def test_a_frame_longer_than_the_room_is_noise(peer: Driver) -> None:
    message = b'{"id":1,"method":"void"}'
    head = b"\x55\xaa\x00\xfe" + len(message).to_bytes(2, "big") + message
    frame = head + bytes([sum(head) % 256])
    for room in range(1, 40):
        peer.ask("new", 1, FRAME, 1024, 64, 0)
        peer.ask("tuya", room, 1)
        sent = heard(peer.ask("feed", 0, 1, frame.hex()), "sent")
        assert bool(sent) == (room >= len(frame))
        (dropped,) = heard(peer.ask("idle", 400), "dropped")
        assert int(dropped) == (0 if room >= len(frame) else len(frame))
