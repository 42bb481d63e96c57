"""The vectors of calls, which C makes to the other end, told the time."""

import json
from typing import Any

import pytest

from tests.vectors import Vector, as_named, read_vectors

from .desk import Driver
from .test_lossy import Device

pytestmark = pytest.mark.firmware

# A call in C always has a time limit, says it, and sends no cancellation when it is over.
OWN_WAY = "time is over"
VECTORS = [
    each
    for each in read_vectors("calls")
    if all(step["call"].get("timeout") for step in each["steps"] if "call" in step)
    and each["name"] != OWN_WAY
]
STEP = 50  # ms


class Caller:
    """The device, and the ids that it has used, by their names in a vector."""

    def __init__(self, peer: Driver, *, knows: bool) -> None:
        self._device = Device(peer)
        self.ids: dict[str, Any] = {}
        self._now = 0
        if knows:
            self._device.take(0, {"id": 1, "method": "void", "timeout": 5})

    def play(self, step: Vector) -> tuple[list[Any], list[str]]:
        """What leaves until a step is over, and how calls have ended."""
        sent: list[Any] = []
        outcomes: list[str] = []

        def ask(*command: object) -> None:
            sent.extend(self._device.ask(*command))
            outcomes.extend(self._device.outcomes)

        end = round(step["at"] * 1000)
        for now in range(self._now + STEP, end + 1, STEP):
            ask("poll", now)
        self._now = end
        if "call" in step:
            call = step["call"]
            params = json.dumps(call["params"], separators=(",", ":"))
            limit = round(call["timeout"] * 1000)
            ask("call", end, limit, int(call.get("idempotent", False)), call["method"], params)
        for message in step.get("arrives", ()):
            id = message["id"]
            named = self.ids.get(id, id) if isinstance(id, str) else id
            text = json.dumps({**message, "id": named}, separators=(",", ":"))
            ask("take", end, text.encode().hex())
        ask("poll", end)
        return sent, outcomes


@pytest.mark.parametrize("vector", [pytest.param(each, id=each["name"]) for each in VECTORS])
def test_vectors(peer: Driver, vector: Vector) -> None:
    caller = Caller(peer, knows=vector.get("knows", False))
    for step in vector["steps"]:
        sent, outcomes = caller.play(step)
        expected = step.get("sent", [])
        assert as_named(sent, expected, caller.ids) == expected, step
        assert bool(outcomes) == ("outcome" in step), (step, outcomes)
