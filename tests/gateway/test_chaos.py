"""A short chaos around a gateway; `make chaos` is longer."""

import json
import sys
from pathlib import Path

import anyio
import pytest

from jsonrpc_iot.testing import Faults
from tests.peer.lossy.chaos.tally import table

from .chaos.callers import KINDS, Options, judge
from .chaos.house import House, Plan

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and pseudo-terminals")

PLAN = Plan(
    calls=Options(
        seconds=2.0, least=30, pause=0.8, wait=0.2, timeouts=(1.0, 3.0), streams=False, seed=1
    ),
    pauses=(0.3, 1.0),
    troubles=1,
    far=Faults(drop=0.2, duplicate=0.1, reorder=0.1, delay=0.1, delay_seconds=0.5),
    near=Faults(drop=0.1, duplicate=0.1, reorder=0.1, delay=0.1, delay_seconds=0.5),
    patience=20.0,
    seed=1,
)


def test_each_call_ends_once_with_its_own_answer_whatever_is_killed(tmp_path: Path) -> None:
    tallies = anyio.run(House(PLAN, tmp_path).run, lambda text: None)
    assert not {each.name: each.faults for each in tallies if each.faults}, table(tallies)
    assert [each.name for each in tallies] == list(KINDS)
    for each in tallies:
        assert each.answered >= PLAN.calls.least, table(tallies)
        assert each.restarts


def test_what_a_caller_takes_for_an_answer() -> None:
    def judged(**reply: object) -> str:
        return judge(json.dumps({"id": 1, **reply}).encode(), "k1-0")

    assert judged(result="k1-0") == "right"
    assert judged(error={"code": -32011}) == "OutcomeUnknown"
    for wrong in ({"result": "k2-0"}, {"error": {"code": -32603}}, {"id": 2, "result": "k1-0"}):
        assert judged(**wrong).startswith("wrong")
    assert judge(b"Not found", "k1-0").startswith("wrong")
