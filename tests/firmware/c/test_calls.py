"""Calls of the peer in C to the other end, told the time."""

from typing import Any

import pytest

from .desk import Driver
from .test_lossy import Device, code_of, ok

pytestmark = pytest.mark.firmware

LONG = 120000


@pytest.fixture
def device(peer: Driver) -> Device:
    return Device(peer)


def begin(device: Device, at: int, timeout: int = LONG, *, idempotent: bool = False) -> Any:
    (request,) = device.ask("call", at, timeout, int(idempotent), "door.open", '{"side":"left"}')
    return request


def ping_of(messages: list[Any]) -> Any:
    (ping,) = messages
    assert ping["method"] == "rpc.ping"
    return ping


def test_a_call_and_its_result(device: Device) -> None:
    request = begin(device, 10)
    assert request == {"id": request["id"], "method": "door.open", "params": {"side": "left"}}
    assert device.take(20, ok({"a": [1]}, request["id"])) == []
    assert device.outcomes == ['{"a":[1]}|0||']
    device.take(30, ok(1, request["id"]))
    assert device.outcomes == []


@pytest.mark.parametrize(
    ("response", "outcome"),
    [
        ({"error": {"code": 7, "message": "Out"}}, '|7|"Out"|'),
        ({"error": {"code": 0, "message": "", "data": [1]}}, '|0|""|[1]'),
        ({"result": None, "error": None}, "null|0||"),
        ({"result": 1, "error": {"code": 7, "message": "Out"}}, "|-32603||"),
        ({"error": None}, "|-32603||"),
        ({"error": {"code": "7", "message": "Out"}}, '|-32603||'),
        ({"error": {"code": 7}}, "|-32603||"),
        ({}, "|-32603||"),
    ],
)  # fmt: skip
def test_outcomes(device: Device, response: dict[str, object], outcome: str) -> None:
    request = begin(device, 10)
    assert device.take(20, {"id": request["id"], **response}) == []
    assert device.outcomes == [outcome]


def test_ids_are_told_by_type(device: Device) -> None:
    request = begin(device, 10)
    for id in (str(request["id"]), True, None, request["id"] + 1, request["id"] + 0.5, [1]):
        device.take(20, ok(1, id))
        assert device.outcomes == []
    device.take(20, ok(1, request["id"]))
    assert device.outcomes == ["1|0||"]


def test_an_error_without_id_is_that_of_the_only_call(device: Device) -> None:
    error = {"id": None, "error": {"code": -32700, "message": "Parse error"}}
    begin(device, 10)
    device.take(20, error)
    assert device.outcomes == ['|-32700|"Parse error"|']
    begin(device, 30)
    begin(device, 30)
    device.take(40, error)
    assert device.outcomes == []


def test_a_call_that_is_not_answered(device: Device) -> None:
    begin(device, 0, 400)
    device.poll(399)
    assert device.outcomes == []
    device.poll(400)
    assert device.outcomes == ["|-32002||"]


def test_only_an_end_that_knows_gets_a_copy(device: Device) -> None:
    request = begin(device, 0)
    assert device.poll(499) == []
    ping = ping_of(device.poll(500))
    assert ping == {"id": ping["id"], "method": "rpc.ping"}
    assert device.poll(1499) == []
    assert device.poll(1500) == [ping]
    (copy,) = device.take(2500, ok(True, ping["id"]))
    assert copy == {**request, "timeout": 117.5, "retry": True}
    assert device.poll(3499) == []
    (copy,) = device.poll(3500)
    assert copy == {**request, "timeout": 116.5, "retry": True}
    device.take(3600, ok(5, request["id"]))
    assert device.outcomes == ["5|0||"]
    assert begin(device, 4000)["timeout"] == 120


@pytest.mark.parametrize("answer", [{"result": 1}, {"error": {"code": -32601, "message": ""}}])
def test_an_end_that_does_not_know_gets_each_request_once(
    device: Device, answer: dict[str, object]
) -> None:
    begin(device, 0)
    ping = ping_of(device.poll(500))
    assert device.take(501, {"id": ping["id"], **answer}) == []
    assert device.poll(*range(600, 20000, 100)) == []
    begin(device, 20000)
    assert device.poll(*range(20000, 40000, 100)) == []


def test_an_idempotent_call_is_repeated_as_it_was(device: Device) -> None:
    request = begin(device, 0, idempotent=True)
    assert device.poll(500, 1000, 1500) == [request, request]


def test_a_short_first_wait_is_a_wait(peer: Driver) -> None:
    device = Device(peer)
    peer.ask("new", 1, 0, 1024, 1024, 0, 50)
    request = begin(device, 0, idempotent=True)
    assert device.poll(*range(50)) == []
    assert device.poll(50, 51, 100, 149) == [request]


def test_an_end_that_uses_an_extension_knows_them(device: Device) -> None:
    device.take(0, {"id": 1, "method": "void", "timeout": 5})
    request = begin(device, 0, 5000)
    assert request["timeout"] == 5
    (copy,) = device.poll(500)
    assert copy == {**request, "timeout": 4.5, "retry": True}


def test_late_copies_let_nothing_begin(device: Device) -> None:
    device.take(0, {"id": 1, "method": "void", "timeout": 5})
    request = begin(device, 0)
    copies = device.poll(*range(0, 40000, 500))
    assert [copy["timeout"] for copy in copies[:-1]] == [119.5, 118.5, 116.5, 112.5, 104.5]
    assert copies[-1] == {**request, "timeout": 1e-9, "retry": True}


def test_a_call_that_cannot_have_run_is_made_again(device: Device) -> None:
    device.take(0, {"id": 1, "method": "void", "timeout": 5})
    request = begin(device, 1000)
    error = {"code": -32011, "message": "not known whether it ran", "data": {"listening": 2.5}}
    (again,) = device.take(3500, {"id": request["id"], "error": error})
    assert again["id"] != request["id"]
    assert again == {**request, "id": again["id"], "timeout": 117.5}
    assert device.outcomes == []
    device.take(6001, {"id": again["id"], "error": error})
    assert device.outcomes == ['|-32011|"not known whether it ran"|{"listening":2.5}']


def test_an_idempotent_call_is_made_again_whoever_knows(device: Device) -> None:
    device.take(0, {"id": 1, "method": "void", "timeout": 5})
    request = begin(device, 1000, idempotent=True)
    error = {"code": -32011, "message": "not known whether it ran"}
    (again,) = device.take(3500, {"id": request["id"], "error": error})
    assert again == {**request, "id": again["id"], "timeout": 117.5}
    assert again["id"] != request["id"]
    device.take(3600, ok(1, again["id"]))
    assert device.outcomes == ["1|0||"]


def test_what_comes_back_is_not_run(device: Device) -> None:
    request = begin(device, 0)
    assert device.take(1, request) == []
    assert device.take(2, {**request, "retry": True, "timeout": 5}) == []
    assert code_of(device.take(3, {**request, "params": {"side": "right"}})) == -32601
    ping = ping_of(device.poll(500))
    assert device.take(501, ping) == []
    device.take(502, ok(1, request["id"]))
    device.poll(29000)
    assert device.take(30000, request) == [], "closed lately"
    device.poll(30503)
    assert code_of(device.take(30504, request)) == -32601


def test_calls_end_with_the_connection(device: Device) -> None:
    requests = [begin(device, 0) for _ in range(2)]
    device.take(1, ok(1, requests[0]["id"]))
    device.ask("gone")
    assert device.outcomes == ["|-32003||"]
    device.ask("gone")
    assert device.outcomes == []


def test_there_is_room_for_three_calls(device: Device) -> None:
    requests = [begin(device, 0) for _ in range(3)]
    assert len({request["id"] for request in requests}) == 3
    device.ask("call", 0, LONG, 0, "door.open")
    assert device.lines == ["refused"]
    device.take(1, ok(1, requests[1]["id"]))
    assert begin(device, 2)["id"] not in {request["id"] for request in requests}


def test_a_request_in_the_dialect_of_the_other_end(device: Device) -> None:
    device.take(0, {"jsonrpc": "2.0", "id": 1, "method": "void"})
    assert begin(device, 0)["jsonrpc"] == "2.0"
    device.take(0, {"id": 1, "method": "void"})
    assert "jsonrpc" not in begin(device, 0)


def test_a_response_tells_the_dialect_too(device: Device) -> None:
    request = begin(device, 0)
    device.take(1, {"jsonrpc": "2.0", **ok(1, request["id"])})
    assert begin(device, 2)["jsonrpc"] == "2.0"


def test_nothing_is_repeated_where_nothing_gets_lost(peer: Driver) -> None:
    device = Device(peer, lossy=False)
    begin(device, 0, 20000, idempotent=True)
    assert device.poll(*range(0, 19999, 100)) == []
    device.poll(20000)
    assert device.outcomes == ["|-32002||"]


def test_a_request_that_is_too_large_does_not_leave(peer: Driver) -> None:
    peer.ask("new", 0, 0, 64, 64, 0)
    assert peer.ask("call", 0, LONG, 0, "door.open", '{"side":"%s"}' % ("x" * 40)) == ["refused"]
