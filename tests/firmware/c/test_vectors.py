"""The vectors of the protocol page, against the peer in C."""

import json
from pathlib import Path

import pytest

from jsonrpc_iot.testing.conformance.replies import message_faults, strict_json
from tests.vectors import Vector, bytes_of, read_vectors, replies_of

from .desk import HERE, Driver, build_here, driven, heard

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


def test_streams(tmp_path: Path) -> None:
    program = tmp_path / "stream"
    build_here(program, HERE / "programs" / "stream.c", flags=["-Wl,--wrap=jrpc_receive"])
    with driven(program) as splitter:
        for vector in read_vectors("stream"):
            data = bytes_of(vector)
            for step in (1, 2, 7, 4096):
                lines = splitter.ask("feed", 4096, step, data.hex())
                messages = [split(line) for line in heard(lines, "message")]
                assert messages == messages_of(vector), vector["name"]
                (rest,) = heard(lines, "rest")
                assert split(rest) == vector.get("rest", "").encode(), vector["name"]


def messages_of(vector: Vector) -> list[bytes]:
    if "messages" in vector:
        return [message.encode() for message in vector["messages"]]
    return [bytes.fromhex(message) for message in vector["messages_hex"]]


def split(digits: str) -> bytes:
    """The bytes; who reads a message skips the space behind it."""
    return bytes.fromhex(digits).rstrip(b" \t\r")


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


def test_lossy(peer: Driver) -> None:
    wrong = {}
    for vector in read_vectors("lossy"):
        if found := lossy_faults(peer, vector):
            wrong[vector["name"]] = found
    assert wrong.keys() == {"doubled batch"}, wrong  # each entry is remembered for itself


def lossy_faults(peer: Driver, vector: Vector) -> list[str]:
    """What the peer does wrong at the first step at which it does."""
    peer.ask("new", 1, DATAGRAM, ROOM, ROOM, 0)
    start, ran = vector.get("listening", 60), 0
    for step in vector["steps"]:
        at = round(1000 * (start + step["at"]))
        lines = peer.ask("pass", at)
        if "sent" in step:
            lines += peer.ask("take", at, bytes_of(step).hex())
        ran += len(heard(lines, "note"))
        values = [strict_json(bytes.fromhex(sent)) for sent in heard(lines, "sent")]
        (expect,) = replies_of(step)
        found = message_faults(expect, values)
        if ran != step["ran"]:
            found = [*found, f"ran {ran} times, not {step['ran']}"]
        if found:
            return [f"at {step['at']}", *found]
    return []


def test_datapoints(peer: Driver) -> None:
    """Of messages in DataPoint 232 those to an MCU are taken, and what makes no sense is not."""
    for vector in read_vectors("dp"):
        data = bytes.fromhex(vector["hex"])
        if data[3] != 6:
            continue
        for step in (len(data), 1):
            peer.ask("new", 0, FRAME, 1024, 64, 0)
            peer.ask("tuya", 1024 + 11, 0)
            lines = peer.ask("feed", 0, step, data.hex())
            lines = [line for line in lines if line.startswith("datapoint 232 3 ")]
            messages = [bytes.fromhex(line.split()[-1]).decode() for line in lines]
            assert messages == vector.get("messages", []), vector["name"]
