"""The vectors of the protocol page, against the peer in MicroPython."""

import pytest

from jsonrpc_iot.testing.conformance.replies import message_faults, strict_json
from tests.vectors import Vector, bytes_of, read_vectors, replies_of

from .interpreter import Driver

pytestmark = pytest.mark.firmware

ROOM = 65507


def test_messages(peer: Driver) -> None:
    wrong = {}
    for vector in read_vectors("messages"):
        if vector.get("over") == "stream":
            continue
        peer.ask("new", lossy=False, limit=ROOM)
        answer = peer.ask("take", hex=bytes_of(vector).hex())
        if found := faults(vector, answer["sent"]):
            wrong[vector["name"]] = found
        if answer["noted"] != vector.get("noted", []):
            wrong[vector["name"]] = [f"noted {answer['noted']}"]
    assert wrong == {}


def faults(vector: Vector, sent: list[str]) -> list[str]:
    values = [strict_json(each.encode()) for each in sent]
    problems = [message_faults(expect, values) for expect in replies_of(vector)]
    return [] if [] in problems else problems[0]


def test_lossy(peer: Driver) -> None:
    wrong = {}
    for vector in read_vectors("lossy"):
        if found := lossy_faults(peer, vector):
            wrong[vector["name"]] = found
    assert wrong == {}


def lossy_faults(peer: Driver, vector: Vector) -> list[str]:
    """What the peer does wrong at the first step at which it does."""
    peer.ask("new", at=0, lossy=True, limit=ROOM)
    start, ran = vector.get("listening", 60), 0
    for step in vector["steps"]:
        at = round(1000 * (start + step["at"]))
        answers = [peer.ask("pass", at=at)]
        if "sent" in step:
            answers.append(peer.ask("take", at=at, hex=bytes_of(step).hex()))
        ran += sum(len(answer["noted"]) for answer in answers)
        found = faults(step, [sent for answer in answers for sent in answer["sent"]])
        if ran != step["ran"]:
            found = [*found, f"ran {ran} times, not {step['ran']}"]
        if found:
            return [f"at {step['at']}", *found]
    return []


@pytest.mark.parametrize("step", [1, 7, 4096])
def test_streams(peer: Driver, step: int) -> None:
    for vector in read_vectors("stream"):
        answer = peer.ask("lines", limit=4096, step=step, hex=bytes_of(vector).hex())
        messages = vector.get("messages_hex") or [
            message.encode().hex() for message in vector["messages"]
        ]
        assert answer["found"] == messages, vector["name"]
        rest = bytes.fromhex(answer["rest"]).rstrip(b" \t\r")
        assert rest == vector.get("rest", "").encode(), vector["name"]


@pytest.mark.parametrize("step", [1, 7, 4096])
def test_frames(peer: Driver, step: int) -> None:
    for vector in read_vectors("tuya"):
        answer = peer.ask("frames", limit=1024, step=step, hex=vector["hex"])
        messages = [frame["data_hex"] for frame in vector["frames"] if frame["command"] == 0xFE]
        assert answer["found"] == messages, vector["name"]
