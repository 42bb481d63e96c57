"""Each fault of a device gets the right verdict, and what it does right too."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from jsonrpc_iot import (
    Channel,
    ConnectFailed,
    serve,
)
from jsonrpc_iot.testing.conformance import (
    as_json,
    as_text,
    check_conformance,
)

from .device import (
    Dead,
    HangUp,
    case_of,
    device_that,
    failed,
    lamp,
    parsed,
    report_of,
    right,
    verdicts,
)

pytestmark = pytest.mark.anyio


async def test_the_right_device_is_right() -> None:
    report = await report_of(right)

    assert failed(report) == set(), as_text(report)


@pytest.mark.parametrize("profile", ["minimal", "standard", "full"])
async def test_answers_to_notifications_are_a_fault(profile: str) -> None:
    def answer(message: bytes) -> list[bytes]:
        value = parsed(message)
        if isinstance(value, dict) and "method" in value and "id" not in value:
            return [b'{"id":null,"result":true}']
        return right(message)

    report = await report_of(answer, profile)

    assert not report.ok
    own = {"extensions", "streams and cancellation"}  # rpc.cancel is a notification too
    assert failed(report) - own == {"notifications"}
    case = case_of(report, "notifications", "of a method")
    assert case.verdict == "fail"
    assert case.received == '{"id":null,"result":true}'


@pytest.mark.parametrize("profile", ["minimal", "standard"])
async def test_ids_as_text_are_a_fault(profile: str) -> None:
    def answer(message: bytes) -> Iterable[bytes]:
        for reply in right(message):
            value = json.loads(reply)
            if isinstance(value, dict) and value["id"] is not None:
                value["id"] = str(value["id"])
            yield json.dumps(value).encode()

    report = await report_of(answer, profile)

    assert {"answers", "ids"} <= failed(report)
    assert case_of(report, "ids", "one").why == "id '1', not 1"
    assert case_of(report, "ids", "text-one").verdict == "pass"
    assert verdicts(report)["notifications"] == "pass"


@pytest.mark.parametrize("profile", ["minimal", "standard"])
async def test_bad_json_that_kills_is_a_fault_and_the_rest_not_verified(profile: str) -> None:
    def answer(message: bytes) -> list[bytes]:
        if parsed(message) is None:
            raise Dead
        return right(message)

    report = await report_of(answer, profile)

    assert failed(report) == {"parsing and recovery"}
    first = case_of(report, "parsing and recovery", "goes on after: truncated")
    assert (first.verdict, first.received) == ("fail", "")
    assert verdicts(report)["ids"] == "pass"
    assert verdicts(report)["notifications"] == "not verified"
    assert "does not answer any more" in case_of(report, "notifications", "of a method").why


async def test_a_batch_that_kills_is_a_fault() -> None:
    def answer(message: bytes) -> list[bytes]:
        if isinstance(parsed(message), list):
            raise Dead
        return right(message)

    minimal = await report_of(answer, "minimal")
    standard = await report_of(answer, "standard")

    assert minimal.ok, as_text(minimal)
    assert failed(standard) == {"batches"}
    assert verdicts(standard)["ids"] == "pass"
    assert verdicts(standard)["notifications"] == "not verified"


async def test_a_device_that_starts_anew_after_a_fault_is_checked_further() -> None:
    starts = 0

    def answer(message: bytes) -> list[bytes]:
        nonlocal starts
        if parsed(message) == 1:
            starts = 3
        if starts:
            starts -= 1
            raise HangUp
        return right(message)

    report = await report_of(answer, "standard", restart=20)

    assert failed(report) == {"parsing and recovery"}
    case = case_of(report, "parsing and recovery", "the scalar 1")
    assert (case.verdict, case.why) == ("fail", "the connection ended")
    assert case_of(report, "parsing and recovery", "the scalar null").verdict == "pass"
    assert verdicts(report)["notifications"] == "pass"


async def test_who_never_answers_is_not_there() -> None:
    with pytest.raises(ConnectFailed, match="nobody answers within"):
        await report_of(lambda message: (), timeout=0.05)


async def test_nobody_is_there_over_http() -> None:
    with pytest.raises(ConnectFailed, match="nothing was answered"):
        await check_conformance("http://127.0.0.1:1/rpc")


async def test_who_hangs_up_at_once_is_not_there() -> None:
    def answer(message: bytes) -> list[bytes]:
        raise Dead

    with pytest.raises(ConnectFailed, match="nothing was answered"):
        await report_of(answer)


async def test_a_batch_that_is_answered_one_by_one_is_a_fault() -> None:
    def answer(message: bytes) -> Iterable[bytes]:
        value = parsed(message)
        if isinstance(value, list) and value:
            for each in value:
                yield from right(json.dumps(each).encode())
        else:
            yield from right(message)

    report = await report_of(answer, "standard")

    assert failed(report) == {"batches"}
    assert case_of(report, "batches", "two requests").verdict == "fail"
    assert case_of(report, "batches", "notifications alone").verdict == "pass"


async def test_a_device_without_batches_lacks_them_in_the_full_profile_alone() -> None:
    def answer(message: bytes) -> list[bytes]:
        if isinstance(parsed(message), list):
            return [b'{"id":null,"error":{"code":-32600,"message":"Invalid Request"}}']
        return right(message)

    standard = await report_of(answer, "standard")
    full = await report_of(answer, "full")

    assert standard.ok, as_text(standard)
    assert verdicts(standard)["batches"] == "not applicable"
    assert verdicts(full)["batches"] == "fail"


async def test_a_megabyte_where_64_kilobytes_are_the_most_is_a_fault(tmp_path: Path) -> None:
    def answer(message: bytes) -> Iterable[bytes]:
        value = parsed(message)
        if isinstance(value, dict) and value.get("id") == "1":
            yield b'{"id":"1","result":"%s"}' % (b"x" * 1_000_000)
        else:
            yield from right(message)

    async with device_that(answer, tmp_path / "socket") as url:
        report = await check_conformance(url)

    assert failed(report) == {"sizes"}
    assert "65536 are the most" in case_of(report, "sizes", "what the device sends").why
    assert len(as_json(report)) < 200_000


async def test_a_device_of_json_rpc_2_0_alone_is_spoken_to_in_it() -> None:
    def answer(message: bytes) -> list[bytes]:
        value = parsed(message)
        if isinstance(value, dict) and "jsonrpc" not in value and "id" in value:
            id = json.dumps(value["id"])
            error = '{"code":-32600,"message":"Invalid Request"}'
            return [f'{{"jsonrpc":"2.0","id":{id},"error":{error}}}'.encode()]
        return right(message)

    report = await report_of(answer, "standard")

    assert report.ok, as_text(report)
    assert '"jsonrpc":"2.0"' in case_of(report, "ids", "one").sent


async def test_a_device_that_takes_a_message_without_a_version_for_json_rpc_1_0() -> None:
    def answer(message: bytes) -> Iterable[bytes]:
        value = parsed(message)
        for reply in right(message):
            if isinstance(value, dict) and "jsonrpc" not in value and reply.startswith(b'{"id"'):
                yield json.dumps({"result": None, "error": None} | json.loads(reply)).encode()
            else:
                yield reply

    report = await report_of(answer, "standard")

    assert report.ok, as_text(report)
    assert '"jsonrpc":"2.0"' in case_of(report, "answers", "a call is answered").sent


def refusing(message: bytes) -> Iterable[bytes]:
    """What JSON-RPC 2.0 lets a server say that is silent here, or that has another id here."""
    value = parsed(message)
    is_object = isinstance(value, dict)
    if not is_object or ("jsonrpc" in value and _is_request(value)):
        yield from right(message)
    else:
        yield b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid Request"}}'


def _is_request(value: Any) -> bool:
    params = value.get("params", [])
    return isinstance(value.get("method"), str) and isinstance(params, list | dict)


async def test_what_json_rpc_2_0_leaves_open_is_no_fault_below_full() -> None:
    standard = await report_of(refusing, "standard")
    full = await report_of(refusing, "full")

    assert standard.ok, as_text(standard)
    assert {"envelope", "notifications"} <= failed(full)


async def test_who_ends_the_connection_after_broken_input_is_judged_by_what_came_before() -> None:
    def answer(message: bytes) -> Iterable[bytes]:
        for reply in refusing(message):
            yield reply
            if b"-32700" in reply:
                raise HangUp

    minimal = await report_of(answer, "minimal", restart=20)
    standard = await report_of(answer, "standard", restart=20)
    full = await report_of(answer, "full", restart=20)

    assert minimal.ok, as_text(minimal)
    assert standard.ok, as_text(standard)
    case = case_of(full, "parsing and recovery", "truncated")
    assert (case.verdict, case.why) == ("fail", "the connection ended")


# Devices that are right, in ways of their own


async def test_a_device_that_wants_to_know_who_calls() -> None:
    def nobody(channel: Channel) -> None:
        return None

    async with serve(lamp(), "tcp://127.0.0.1:0", authenticate=nobody, strangers=False) as server:
        report = await check_conformance(server.urls[0], profile="full")

    assert report.ok, as_text(report)
    assert "-32005" in case_of(report, "answers", "an unknown method is an error").received


async def test_a_device_that_is_busy_is_asked_again() -> None:
    seen = set[bytes]()

    def answer(message: bytes) -> Iterable[bytes]:
        value = parsed(message)
        if isinstance(value, dict) and "id" in value and message not in seen and len(seen) < 8:
            seen.add(message)
            error = {"code": -32004, "message": "Busy", "data": {"retry_after": 0.01}}
            yield json.dumps({"id": value["id"], "error": error}).encode()
        else:
            yield from right(message)

    report = await report_of(answer, "minimal")

    assert report.ok, as_text(report)
    assert len(seen) == 8
    assert case_of(report, "answers", "a call is answered").verdict == "pass"


async def test_a_device_that_stays_busy_is_not_judged() -> None:
    def answer(message: bytes) -> Iterable[bytes]:
        value = parsed(message)
        if isinstance(value, dict) and value.get("id") == "1":
            error = {"code": -32004, "message": "Busy", "data": {"retry_after": 0.01}}
            yield json.dumps({"id": "1", "error": error}).encode()
        else:
            yield from right(message)

    report = await report_of(answer, "minimal")

    case = case_of(report, "ids", "text-one")
    assert (case.verdict, case.why) == ("not verified", "the device stays busy")
    assert report.ok, as_text(report)


async def test_a_link_that_sends_back_what_it_hears_is_no_fault() -> None:
    def answer(message: bytes) -> Iterable[bytes]:
        yield message
        yield from right(message)

    report = await report_of(answer, "standard")

    assert report.ok, as_text(report)


async def test_a_small_device_may_have_no_room_for_a_long_id() -> None:
    def answer(message: bytes) -> Iterable[bytes]:
        value = parsed(message)
        if isinstance(value, dict) and len(json.dumps(value.get("id"))) > 40:
            yield b'{"id":null,"error":{"code":-32600,"message":"Invalid Request"}}'
        else:
            yield from right(message)

    report = await report_of(answer)

    assert report.ok, as_text(report)
