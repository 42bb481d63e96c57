"""The whole table of conformance cases: one for every line of "Corner cases, frozen", and more."""

from . import cases_batch, cases_calls, cases_envelope, cases_parsing
from .model import Case

CASES: dict[str, Case] = {}
for _case in (*cases_envelope.CASES, *cases_parsing.CASES, *cases_batch.CASES, *cases_calls.CASES):
    assert _case.name not in CASES, f"two cases called {_case.name}"
    assert b"\n" not in _case.sent or _case.over != "any", f"{_case.name} is cut on a stream"
    CASES[_case.name] = _case

PACKET_CASES = [case for case in CASES.values() if case.over != "stream"]
STREAM_CASES = [case for case in CASES.values() if case.over != "packet"]
