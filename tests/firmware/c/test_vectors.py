"""The vectors of the protocol page, against the peer in C."""

import json
from collections.abc import Iterator

import pytest

from jsonrpc_iot.testing.conformance.replies import message_faults, strict_json
from tests.vectors import Vector, bytes_of, read_vectors, replies_of

from .desk import HERE, Driver, build_here, driven

pytestmark = pytest.mark.firmware

DEVIATIONS = {"call-big"}  # an int of this peer has 32 bits

DATAGRAM, FRAME, STREAM = range(3)
ROOM = 65507


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """The peer, with the device of the vectors."""
    program = build_here(tmp_path_factory.mktemp("driver") / "driver", HERE / "driver.c")
    with driven(program) as driver:
        yield driver


def heard(lines: list[str], what: str) -> list[str]:
    return [line.removeprefix(what + " ") for line in lines if line.startswith(what + " ")]


@pytest.mark.parametrize("framing", [DATAGRAM, FRAME, STREAM])
def test_messages(driver: Driver, framing: int) -> None:
    wrong = {}
    for vector in read_vectors("messages"):
        if vector.get("over") != "stream" and (found := faults(driver, vector, framing)):
            wrong[vector["name"]] = found
    assert wrong.keys() == DEVIATIONS, wrong


def faults(driver: Driver, vector: Vector, framing: int) -> list[str]:
    """What the peer does wrong, sending in pieces of 16 bytes where that may be."""
    room = 16 if framing == STREAM else ROOM
    driver.ask("new", 0, framing, ROOM, room, 1)
    lines = driver.ask("take", 0, bytes_of(vector).hex())
    values = [strict_json(bytes.fromhex(sent)) for sent in heard(lines, "sent")]
    problems = [message_faults(expect, values) for expect in replies_of(vector)]
    found = [] if [] in problems else problems[0]
    noted = [json.loads(note) for note in heard(lines, "note")]
    if noted != vector.get("noted", []):
        found = [*found, f"noted {noted}"]
    return found
