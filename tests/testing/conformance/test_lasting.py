"""Faults of what lasts: streams, deadlines, cancellation, subscriptions, and framing."""

import json
from collections.abc import Iterable

import pytest

from jsonrpc_iot.testing.conformance import Report, check_conformance

from .device import Answer, Cut, case_of, device_that, parsed, report_of, right

pytestmark = pytest.mark.anyio

NAMES = sorted(["rpc.subscribe", "rpc.unsubscribe", *(f"get.{letter}" for letter in "abcdefg")])
STREAMS = "streams and cancellation"


def names_in_a_stream(items: Iterable[int], *, count: int = len(NAMES)) -> Answer:
    """A device that gives its names as items at once, whatever the credit."""

    def answer(message: bytes) -> Iterable[bytes]:
        value = parsed(message)
        if not isinstance(value, dict) or value.get("method") != "rpc.methods":
            yield from right(message)
            return
        result: object = NAMES
        if value.get("stream"):
            result = {"count": count}
            for seq in items:
                params = {"id": value["id"], "seq": seq, "item": NAMES[seq]}
                yield json.dumps({"method": "rpc.item", "params": params}).encode()
        yield json.dumps({"id": value["id"], "result": result}).encode()

    return answer


def why(report: Report, section: str, name: str) -> str:
    case = case_of(report, section, name)
    return f"{case.verdict}: {case.why}"


async def test_items_without_credit_are_a_fault() -> None:
    report = await report_of(names_in_a_stream(range(len(NAMES))))

    assert why(report, STREAMS, "items in order") == "pass: "
    found = why(report, STREAMS, "no item without credit")
    assert found == "fail: an item that should not come: (8, 'rpc.unsubscribe')"
    late = why(report, STREAMS, "a stream whose time is over")
    assert late == "fail: not answered with -32002"
    never = why(report, STREAMS, "a stream that is cancelled")
    assert never == "not verified: the stream does not wait for credit"


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (names_in_a_stream([*reversed(range(len(NAMES)))]), "the items are not in order"),
        (names_in_a_stream(range(len(NAMES)), count=1), 'the final result is not {"count":9}'),
        (names_in_a_stream([*range(len(NAMES)), 0]), "10 items, not 9"),
    ],
)
async def test_wrong_items_are_a_fault(answer: Answer, fault: str) -> None:
    report = await report_of(answer)

    assert why(report, STREAMS, "items in order") == f"fail: {fault}"


async def test_a_device_that_answers_lists_whole_lacks_streams() -> None:
    def answer(message: bytes) -> Iterable[bytes]:
        value = parsed(message)
        if isinstance(value, dict) and value.get("method") == "rpc.methods":
            yield json.dumps({"id": value["id"], "result": NAMES}).encode()
        else:
            yield from right(message)

    report = await report_of(answer, timeout=0.5)

    (streams,) = (section for section in report.sections if section.name == STREAMS)
    whole = {case.name for case in streams.cases if case.verdict == "not applicable"}
    assert whole == {"items in order", "no item without credit", "a stream whose time is over"}
    assert "fail" not in {case.verdict for case in streams.cases}
    assert case_of(report, "extensions", "a stream").verdict == "pass"


async def test_an_item_of_any_shape_is_judged() -> None:
    def answer(message: bytes) -> Iterable[bytes]:
        value = parsed(message)
        if isinstance(value, dict) and value.get("stream"):
            params = {"id": value["id"], "seq": [], "item": {"a": [{}]}}
            yield json.dumps({"method": "rpc.item", "params": params}).encode()
        yield from names_in_a_stream(())(message)

    report = await report_of(answer, timeout=0.2)

    found = why(report, STREAMS, "items in order")
    assert found == "fail: an item that should not come: ([], {'a': [{}]})"


async def test_two_answers_to_a_call_that_is_cancelled_are_a_fault() -> None:
    def answer(message: bytes) -> Iterable[bytes]:
        yield from right(message)
        value = parsed(message)
        if isinstance(value, dict) and value.get("method") == "rpc.cancel":
            error = {"code": -32003, "message": "Cancelled"}
            yield json.dumps({"id": value["params"]["id"], "error": error}).encode()

    report = await report_of(answer)

    found = why(report, STREAMS, "a call that is cancelled at once")
    assert found == "fail: answered twice"


async def test_a_notification_that_nobody_subscribed_to_is_a_fault() -> None:
    inner = names_in_a_stream(())

    def answer(message: bytes) -> Iterable[bytes]:
        value = parsed(message)
        name = value.get("method") if isinstance(value, dict) else None
        if name in ("rpc.subscribe", "rpc.unsubscribe") and "id" in value:
            yield json.dumps({"id": value["id"], "result": None}).encode()
            return
        if name == "lamp.look":
            yield b'{"method":"lamp.looked","params":{}}'
        yield from inner(message)

    report = await report_of(answer, timeout=0.5)

    subscriptions = "subscriptions"
    assert why(report, subscriptions, "subscribing and unsubscribing") == "pass: "
    found = why(report, subscriptions, "what does not match does not come")
    assert found == "fail: lamp.looked came, which does not match"
    found = why(report, subscriptions, "patterns that are none")
    assert found == "fail: [5] is not answered with -32602"


async def test_a_device_that_takes_a_piece_for_a_message_is_wrong() -> None:
    async with device_that(right, new_cut=lambda: lambda piece: [piece.strip()]) as url:
        report = await check_conformance(url, timeout=0.1)

    for name in ("two messages in one write", "each byte by itself"):
        assert case_of(report, "framing", name).verdict == "fail"
    assert case_of(report, "answers", "a call is answered").verdict == "pass"


async def test_a_device_that_wants_newlines_has_two_faults_of_framing() -> None:
    def new_cut() -> Cut:
        left = b""

        def cut(piece: bytes) -> Iterable[bytes]:
            nonlocal left
            *lines, left = (left + piece).split(b"\n")
            return lines

        return cut

    async with device_that(right, new_cut=new_cut) as url:
        report = await check_conformance(url, profile="full", timeout=0.2)

    (framing,) = (section for section in report.sections if section.name == "framing")
    assert [case.name for case in framing.cases if case.verdict == "fail"] == [
        "two messages with nothing between them",
        "a message without a newline",
        "spaces and empty lines around a message",
        "letters behind a message",
    ]
