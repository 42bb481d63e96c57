"""The vectors of the protocol page, against the peer in C."""

import json

import pytest

from jsonrpc_iot.testing.conformance.replies import message_faults, strict_json
from tests.vectors import Vector, bytes_of, read_vectors, replies_of

from .desk import Driver, heard

pytestmark = pytest.mark.firmware

DEVIATIONS = {"call-big"}  # an int of this peer has 32 bits

DATAGRAM, FRAME, STREAM = range(3)
ROOM = 65507


@pytest.mark.parametrize("framing", [DATAGRAM, FRAME, STREAM])
def test_messages(peer: Driver, framing: int) -> None:
    wrong = {}
    for vector in read_vectors("messages"):
        if vector.get("over") != "stream" and (found := faults(peer, vector, framing)):
            wrong[vector["name"]] = found
    assert wrong.keys() == DEVIATIONS, wrong


def faults(peer: Driver, vector: Vector, framing: int) -> list[str]:
    """What the peer does wrong, sending in pieces of 16 bytes where that may be."""
    room = 16 if framing == STREAM else ROOM
    peer.ask("new", 0, framing, ROOM, room, 1)
    lines = peer.ask("take", 0, bytes_of(vector).hex())
    values = [strict_json(bytes.fromhex(sent)) for sent in heard(lines, "sent")]
    problems = [message_faults(expect, values) for expect in replies_of(vector)]
    found = [] if [] in problems else problems[0]
    noted = [json.loads(note) for note in heard(lines, "note")]
    if noted != vector.get("noted", []):
        found = [*found, f"noted {noted}"]
    return found


def test_messages_on_a_stream(peer: Driver) -> None:
    """Those for a stream too, all in one piece and byte by byte."""
    wrong = {}
    for vector in read_vectors("messages"):
        data = bytes_of(vector) + b"\n"
        if vector.get("over") == "packet":
            continue
        for step in (len(data), 1):
            if found := stream_faults(peer, vector, data, step):
                wrong[vector["name"]] = found
    assert wrong.keys() == DEVIATIONS, wrong


def stream_faults(peer: Driver, vector: Vector, data: bytes, step: int) -> list[str]:
    peer.ask("new", 0, STREAM, ROOM, 16, 1)
    peer.ask("stream", ROOM)
    lines = peer.ask("feed", 0, step, data.hex())
    sent = bytes.fromhex("".join(heard(lines, "sent")))
    assert sent == b"" or sent.endswith(b"\n")
    values = [strict_json(line) for line in sent.split(b"\n")[:-1]]
    problems = [message_faults(expect, values) for expect in replies_of(vector)]
    return [] if [] in problems else problems[0]


def test_frames(peer: Driver) -> None:
    wrong = {}
    for vector in read_vectors("tuya"):
        data = bytes.fromhex(vector["hex"])
        for step in (len(data) or 1, 1):
            if (got := frames(peer, data, step)) != expected_frames(vector):
                wrong[vector["name"]] = got
    assert wrong == {}


def frames(peer: Driver, data: bytes, step: int) -> list[str]:
    """The frames that the peer finds, and how much belongs to none."""
    peer.ask("new", 0, FRAME, 1024, 64, 0)
    peer.ask("tuya", 1024 + 7, 0)
    lines = peer.ask("feed", 0, step, data.hex())
    return lines + peer.ask("idle", 400)


def expected_frames(vector: Vector) -> list[str]:
    frames = [
        line
        for frame in vector["frames"]
        for line in shown(frame["command"], bytes.fromhex(frame["data_hex"]))
    ]
    return [*frames, f"dropped {vector['dropped']}"]


def shown(command: int, data: bytes) -> list[str]:
    """What the driver says of a frame: units of DataPoints that are set come one by one."""
    if command != 6:
        return [f"frame {command}  {data.hex()}"]
    units = []
    while len(data) >= 4 and len(data) >= (size := 4 + int.from_bytes(data[2:4])):
        units.append(f"datapoint {data[0]} {data[1]}  {data[4:size].hex()}")
        data = data[size:]
    return units
