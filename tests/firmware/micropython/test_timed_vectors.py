"""The vectors of items and of calls, against the peer in MicroPython."""

import json
from typing import Any

import pytest

from tests.vectors import Vector, as_named, bytes_of, read_vectors

from .interpreter import Driver

pytestmark = pytest.mark.firmware

SETTLED = 60


def plain(message: Any) -> Any:
    """A message, and of an error its code alone."""
    error = message.get("error")
    return message if error is None else {**message, "error": {"code": error["code"]}}


@pytest.mark.parametrize(
    "vector", [pytest.param(each, id=each["name"]) for each in read_vectors("streams")]
)
def test_items(peer: Driver, vector: Vector) -> None:
    peer.ask("new", at=0, lossy=True, limit=65507)
    for step in vector["steps"]:
        at = round(1000 * (SETTLED + step["at"]))
        answers = [peer.ask("pass", at=at), peer.ask("take", at=at, hex=bytes_of(step).hex())]
        sent = [plain(json.loads(each)) for answer in answers for each in answer["sent"]]
        key = json.dumps
        assert sorted(sent, key=key) == sorted(step["replies"], key=key), step


class Caller:
    """The peer as one that calls, and the ids that it has used, by their names in a vector."""

    def __init__(self, peer: Driver, *, knows: bool) -> None:
        self._peer = peer
        self.ids: dict[str, Any] = {}
        self._now = 0
        peer.ask("new", at=0, lossy=True, limit=65507)
        if knows:
            self._take(0, {"id": 1, "method": "void", "timeout": 5})

    def _take(self, at: int, message: Any) -> dict[str, Any]:
        return self._peer.ask("take", at=at, hex=json.dumps(message).encode().hex())

    def play(self, step: Vector) -> tuple[list[Any], list[Any]]:
        """What leaves until a step is over, and how calls have ended."""
        end = round(step["at"] * 1000)
        answers = [self._peer.ask("pass", at=at) for at in range(self._now, end + 1, 50)]
        self._now = end
        if "call" in step:
            answers.append(self._peer.ask("call", at=end, **step["call"]))
        for message in step.get("arrives", ()):
            id = message["id"]
            named = self.ids.get(id, id) if isinstance(id, str) else id
            answers.append(self._take(end, {**message, "id": named}))
        sent = [json.loads(each) for answer in answers for each in answer["sent"]]
        return sent, [each for answer in answers for each in answer["outcomes"]]


# Its calls always have a time limit.
CALLS = [each for each in read_vectors("calls") if each["name"] != "without a timeout"]


@pytest.mark.parametrize("vector", [pytest.param(each, id=each["name"]) for each in CALLS])
def test_calls(peer: Driver, vector: Vector) -> None:
    caller = Caller(peer, knows=vector.get("knows", False))
    for step in vector["steps"]:
        sent, outcomes = caller.play(step)
        expected = step.get("sent", [])
        assert as_named(sent, expected, caller.ids) == expected, step
        assert bool(outcomes) == ("outcome" in step), (step, outcomes)
