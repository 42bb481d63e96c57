"""Serial lines of the peer in C: what leaves, and when half a frame is given up, told the time."""

import json

import pytest

from jsonrpc_iot.protocol.tuya.datapoints import DataPointType, decode_datapoints
from jsonrpc_iot.protocol.tuya.frame import Command, Frame, FrameDecoder, encode_frame

from .desk import Driver, heard

pytestmark = pytest.mark.firmware

FRAME = 1
PING = b'{"id":1,"method":"rpc.ping"}'
NAMES = b'{"id":2,"method":"rpc.methods"}'
PONG = {"id": 1, "result": True}


def begin(peer: Driver, way: str = "tuya", *, room: int = 64) -> None:
    peer.ask("new", 1, FRAME, 1024, room, 0)
    peer.ask(way, 1024 + 11, *([1] if way == "tuya" else []))


def frames(lines: list[str]) -> list[Frame]:
    """The frames that have left, and nothing else has."""
    decoder = FrameDecoder()
    found = decoder.feed(bytes.fromhex("".join(heard(lines, "sent"))), 0)
    assert decoder.noise_bytes == 0
    assert decoder.expire(1) == []
    return found


@pytest.mark.parametrize("room", range(16, 90))
def test_frames_leave_in_pieces(peer: Driver, room: int) -> None:
    begin(peer, room=room)
    asked = encode_frame(Command.RPC, PING) + encode_frame(Command.RPC, NAMES, version=3)
    pong, names = frames(peer.ask("feed", 0, 7, asked.hex()))
    assert (pong.version, pong.command, json.loads(pong.data)) == (0, Command.RPC, PONG)
    assert "rpc.ping" in json.loads(names.data)["result"]


@pytest.mark.parametrize("room", [16, 40, 256])
def test_messages_in_a_datapoint_never_equal_the_one_before(peer: Driver, room: int) -> None:
    """The cloud passes a value on when it is another one."""
    begin(peer, "dp", room=room)
    unit = bytes([232, DataPointType.STRING, 0, len(PING)]) + PING
    other = bytes([5, DataPointType.BOOL, 0, 1, 1])
    asked = encode_frame(Command.SET_DATAPOINTS, other + unit + unit)
    lines = peer.ask("feed", 0, 5, asked.hex())
    assert heard(lines, "datapoint") == ["5 1  01"]
    values = []
    for frame in frames(lines):
        assert (frame.version, frame.command) == (3, Command.REPORT_DATAPOINTS)
        (point,) = decode_datapoints(frame.data)
        assert (point.id, point.type) == (232, DataPointType.STRING)
        values.append(point.value)
    assert values == ['{"id":1,"result":true}', '{"id":1,"result":true} ']


def test_what_is_not_ours_goes_to_the_application(peer: Driver) -> None:
    begin(peer)
    asked = encode_frame(Command.HEARTBEAT) + encode_frame(Command.NETWORK_STATUS, b"\x04")
    lines = peer.ask("feed", 0, 3, asked.hex())
    assert lines == ["frame 0  ", "frame 3  04"]


def test_half_a_frame_is_given_up_after_silence(peer: Driver) -> None:
    begin(peer)
    whole = encode_frame(Command.RPC, PING)
    inside = b"\x55\xaa\x00\xfe\x01\x00" + whole  # a length that swallows the frame behind it
    assert peer.ask("feed", 0, 64, inside.hex()) == []
    assert peer.ask("idle", 399) == ["dropped 0"]
    *sent, dropped = peer.ask("idle", 400)
    (pong,) = frames(sent)
    assert json.loads(pong.data) == PONG
    assert dropped == "dropped 6"


def test_half_a_frame_is_given_up_after_pauses(peer: Driver) -> None:
    """Other traffic, which never lets the line be silent, does not keep it for ever."""
    begin(peer)
    note = encode_frame(Command.RPC, b'{"method":"void"}')
    at, waiting = 0, b"\x55\xaa\x00\xfe\x03\x00" + encode_frame(Command.RPC, PING)
    assert peer.ask("feed", at, 64, waiting.hex()) == []
    found: list[Frame] = []
    while not found and at < 3000:
        at += 300
        found += frames(peer.ask("feed", at, 64, note.hex()))
        found += frames(peer.ask("idle", at + 20))
    (pong,) = found
    assert json.loads(pong.data) == PONG
    assert 1000 < at < 2000


def test_the_clock_of_a_line_may_wrap(peer: Driver) -> None:
    begin(peer)
    half = encode_frame(Command.RPC, PING)[:-1]
    wraps_at = 31_000  # of programs/peer.c
    peer.ask("feed", wraps_at - 200, 64, half.hex())
    assert peer.ask("idle", wraps_at + 199) == ["dropped 0"]
    assert peer.ask("idle", wraps_at + 200) == [f"dropped {len(half)}"]
