"""The whole table of conformance cases: the vectors of `docs/vectors/messages.jsonl`, and more."""

from tests.vectors import Vector, bytes_of, read_vectors, replies_of

from . import cases_calls, cases_forms, cases_published
from .model import Case


def _case(vector: Vector) -> Case:
    expect, *also = replies_of(vector)
    return Case(
        vector["name"],
        bytes_of(vector),
        expect,
        tuple(also),
        ran=tuple(vector.get("noted", ())),
        over=vector.get("over", "any"),
    )


CASES: dict[str, Case] = {}
for _case_ in map(_case, read_vectors("messages")):
    assert _case_.name not in CASES, f"two vectors called {_case_.name}"
    CASES[_case_.name] = _case_
for _case_ in (*cases_forms.CASES, *cases_published.CASES, *cases_calls.CASES):
    assert CASES.setdefault(_case_.name, _case_) == _case_, f"two cases called {_case_.name}"
for _case_ in CASES.values():
    assert b"\n" not in _case_.sent or _case_.over != "any", f"{_case_.name} is cut on a stream"

PACKET_CASES = [case for case in CASES.values() if case.over != "stream"]
STREAM_CASES = [case for case in CASES.values() if case.over != "packet"]
