"""The peer in MicroPython, told the time: lossy links, params, calls of its own, streams."""

import json
from typing import Any

import pytest

from .interpreter import Driver

pytestmark = pytest.mark.firmware

SETTLED = 31000


class Device:
    """The peer, new."""

    def __init__(self, driver: Driver, *, lossy: bool = True, **options: object) -> None:
        self._driver = driver
        driver.ask("new", at=0, lossy=lossy, limit=1024, **options)

    def ask(self, do: str, at: int, **more: object) -> list[Any]:
        """Give a command at so many milliseconds; returns the messages that leave."""
        self.answer = self._driver.ask(do, at=at, **more)
        return [json.loads(sent) for sent in self.answer["sent"]]

    def take(self, at: int, message: object, sender: object = None) -> list[Any]:
        """A message arrives."""
        data = message if isinstance(message, bytes) else json.dumps(message).encode()
        return self.ask("take", at, hex=data.hex(), **{"from": sender})

    def call(self, at: int, **options: object) -> list[Any]:
        """The peer calls the other end."""
        return self.ask("call", at, method="clock.now", **options)

    @property
    def noted(self) -> list[Any]:
        """What `note` was called with by the last command."""
        noted: list[Any] = self.answer["noted"]
        return noted

    @property
    def outcomes(self) -> list[Any]:
        """How calls of its own have ended by the last command."""
        outcomes: list[Any] = self.answer["outcomes"]
        return outcomes


@pytest.fixture
def device(peer: Driver) -> Device:
    """One that has listened for so long that it knows what has run."""
    device = Device(peer)
    device.ask("pass", SETTLED)
    return device


def note(value: object, id: object = 7, **more: object) -> dict[str, object]:
    return {"id": id, "method": "note", "params": [value], **more}


def code_of(replies: list[Any]) -> int:
    (reply,) = replies
    code: int = reply["error"]["code"]
    return code


# ---- What is remembered


def test_when_the_table_is_full_nothing_is_forgotten_early(peer: Driver) -> None:
    device = Device(peer, remembered=4)
    for id in range(4):
        device.take(SETTLED, note(id, id))
        assert device.noted == [id]
    assert device.take(SETTLED, note(4, 4))[0]["error"] == {
        "code": -32004,
        "message": "Busy",
        "data": {"retry_after": 1},
    }
    assert device.take(SETTLED + 30000, note(0, 0, retry=True)) == [{"id": 0, "result": 0}]
    assert device.noted == []
    device.take(SETTLED + 30100, note(4, 4))
    assert device.noted == [4]


def test_one_of_several_peers_fills_a_quarter_at_most(peer: Driver) -> None:
    device = Device(peer, remembered=8)
    for id in range(2):
        assert device.take(SETTLED, note(id, id), "first") == [{"id": id, "result": id}]
    assert code_of(device.take(SETTLED, note(2, 2), "first")) == -32004
    assert device.take(SETTLED, note(0, 0), "second") == [{"id": 0, "result": 0}]
    assert device.noted == [0]


def test_responses_that_there_is_no_room_for(device: Device) -> None:
    texts = [str(id) + "x" * 900 for id in range(6)]
    for id, text in enumerate(texts):
        device.take(SETTLED, note(text, id))
    assert device.take(SETTLED, note(texts[0], 0, retry=True)) == [{"id": 0, "result": texts[0]}]
    (reply,) = device.take(SETTLED, note(texts[5], 5, retry=True))
    assert reply["error"] == {"code": -32603, "message": "reply no longer held"}
    assert device.noted == []


def test_what_is_too_much_at_once_is_not_remembered(device: Device) -> None:
    for id in range(8):
        device.take(SETTLED, {"id": id, "method": "later", "params": [5]})
    assert code_of(device.take(SETTLED, {"id": 8, "method": "later", "params": [5]})) == -32004
    assert len(device.ask("pass", SETTLED + 5000)) == 8
    device.take(SETTLED + 5000, {"id": 8, "method": "later", "params": [5], "retry": True})
    assert device.noted == [5]


def test_a_call_that_is_not_over_in_time(device: Device) -> None:
    request = {"id": 1, "method": "later", "params": [5], "timeout": 2}
    assert device.take(SETTLED, request) == []
    assert code_of(device.ask("pass", SETTLED + 2000)) == -32002
    assert device.ask("pass", SETTLED + 6000) == []


def test_a_marked_copy_of_what_runs_is_joined_though_nothing_is_remembered(device: Device) -> None:
    request = {"id": 1, "method": "wait", "params": [2], "retry": False}
    assert device.take(SETTLED, request) == []
    assert device.take(SETTLED + 1000, {**request, "retry": True}) == []
    assert device.noted == []
    assert device.ask("pass", SETTLED + 2000) == [{"id": 1, "result": "done"}]


@pytest.mark.parametrize("id", [[1], {"a": 1}, None, True, 1.5, "x" * 900])
def test_cancellations_of_what_does_not_run(device: Device, id: object) -> None:
    assert device.take(SETTLED, {"method": "rpc.cancel", "params": {"id": id}}) == []
    assert device.answer["logged"] == []


# ---- Params and failures


@pytest.mark.parametrize(
    ("params", "path"),
    [
        ({"a": 1}, "$.b"),
        ({"a": 1, "b": "2"}, "$.b"),
        ({"a": True, "b": 2}, "$.a"),
        ({"a": 1.5, "b": 2}, "$.a"),
        ([1, 2, 3], "$"),
        ({"a": 1, "b": 2, "c": 3}, "$"),
    ],
)
def test_wrong_params(device: Device, params: object, path: str) -> None:
    (reply,) = device.take(SETTLED, {"id": 1, "method": "add", "params": params})
    assert reply["error"]["code"] == -32602
    assert reply["error"]["data"]["path"] == path


def test_a_double_without_a_fraction_is_an_integer(device: Device) -> None:
    (reply,) = device.take(SETTLED, b'{"id":1,"method":"add","params":[4e1,2.0]}')
    assert reply == {"id": 1, "result": 42}
    assert isinstance(reply["result"], int)


def test_what_fails(device: Device) -> None:
    failures = {"fail": "Internal error", "nan": "Internal error"}
    for method, message in failures.items():
        (reply,) = device.take(SETTLED, {"id": method, "method": method})
        assert reply["error"] == {"code": -32603, "message": message}
    raised = {"id": 1, "method": "raises", "params": [1234, {"tray": 2}]}
    (reply,) = device.take(SETTLED, raised)
    assert reply["error"] == {"code": 1234, "message": "as it was wished", "data": {"tray": 2}}


def test_a_result_that_is_too_large(device: Device) -> None:
    (reply,) = device.take(SETTLED, {"id": 1, "method": "echo", "params": ["x" * 1005]})
    assert reply["error"]["code"] == -32001
    assert reply["error"]["data"]["limit"] == 1024


# ---- Calls of its own


def test_a_call_of_its_own(device: Device) -> None:
    (request,) = device.call(SETTLED, params={"zone": 1})
    assert request == {"id": request["id"], "method": "clock.now", "params": {"zone": 1}}
    assert 1 <= request["id"] <= 2**30
    for other in (str(request["id"]), True, request["id"] + 1, float(request["id"])):
        device.take(SETTLED, {"id": other, "result": 1})
        assert device.outcomes == []
    device.take(SETTLED, {"id": request["id"], "result": None})
    assert device.outcomes == [{"result": None}]
    assert device.take(SETTLED, {"id": request["id"], "result": 2}) == []


@pytest.mark.parametrize(
    ("response", "outcome"),
    [
        ({"result": 1, "error": None}, {"result": 1}),
        (
            {"error": {"code": 5, "message": "m", "data": [1]}},
            {"code": 5, "message": "m", "data": [1]},
        ),
        ({}, {"failed": "ValueError"}),
        ({"result": 1, "error": {"code": 5, "message": "m"}}, {"failed": "ValueError"}),
        ({"error": "no"}, {"failed": "ValueError"}),
        ({"error": {"code": "5", "message": "m"}}, {"failed": "ValueError"}),
    ],
)
def test_responses(device: Device, response: dict[str, Any], outcome: object) -> None:
    (request,) = device.call(SETTLED)
    device.take(SETTLED, {"id": request["id"], **response})
    assert device.outcomes == [outcome]


def test_an_error_without_an_id_fails_the_only_call(device: Device) -> None:
    device.call(SETTLED)
    device.take(SETTLED, {"id": None, "error": {"code": -32700, "message": "Parse error"}})
    assert device.outcomes == [{"code": -32700, "message": "Parse error", "data": None}]


def test_a_call_is_sent_again_to_who_knows_that(device: Device) -> None:
    device.take(SETTLED, {"id": 1, "method": "rpc.ping", "timeout": 5})
    (first,) = device.call(SETTLED)
    assert first["timeout"] == 10
    assert device.ask("pass", SETTLED + 390) == []
    (second,) = device.ask("pass", SETTLED + 620)
    assert second == {**first, "timeout": second["timeout"], "retry": True}
    assert device.ask("pass", SETTLED + 1300) == []
    assert len(device.ask("pass", SETTLED + 620 + 1220)) == 1
    device.take(SETTLED + 2000, {"id": first["id"], "result": 3})
    assert device.outcomes == [{"result": 3}]


def test_who_is_not_known_is_asked_whether_a_call_may_be_sent_again(device: Device) -> None:
    (first,) = device.call(SETTLED)
    (ping,) = device.ask("pass", SETTLED + 620)
    assert ping["method"] == "rpc.ping"
    (second,) = device.take(SETTLED + 700, {"id": ping["id"], "result": True})
    assert second["id"] == first["id"]
    assert second["retry"] is True


def test_who_does_not_know_repeats_gets_none(device: Device) -> None:
    device.call(SETTLED, timeout=3)
    (ping,) = device.ask("pass", SETTLED + 620)
    error = {"code": -32601, "message": "Method not found"}
    assert device.take(SETTLED + 700, {"id": ping["id"], "error": error}) == []
    sent = [device.ask("pass", SETTLED + at) for at in range(800, 3001, 100)]
    assert not any(each for each in sent if each and each[0]["method"] != "rpc.ping")
    assert device.outcomes == [{"failed": "TimeoutError"}]


@pytest.mark.parametrize("idempotent", [False, True])
def test_nothing_is_sent_again_where_nothing_gets_lost(peer: Driver, idempotent: bool) -> None:
    device = Device(peer, lossy=False)
    device.take(0, {"id": 1, "method": "rpc.ping", "timeout": 5})
    (request,) = device.call(0, idempotent=idempotent)
    assert [device.ask("pass", at) for at in range(0, 10_000, 500)] == [[]] * 20
    cancellation = {"method": "rpc.cancel", "params": {"id": request["id"]}}
    assert device.ask("pass", 10_001) == [cancellation]
    assert device.outcomes == [{"failed": "TimeoutError"}]


def test_an_idempotent_call_is_sent_again_as_it_was(device: Device) -> None:
    (first,) = device.call(SETTLED, idempotent=True)
    assert device.ask("pass", SETTLED + 620) == [first]


def test_who_was_not_there_to_run_a_call_is_called_again(device: Device) -> None:
    (first,) = device.call(SETTLED)
    error = {"code": -32011, "message": "not known whether it ran", "data": {"listening": 2.5}}
    (second,) = device.take(SETTLED + 1000, {"id": first["id"], "error": error})
    assert second == {**first, "id": second["id"]}
    assert second["id"] != first["id"]
    device.take(SETTLED + 4000, {"id": second["id"], "error": error})
    assert device.outcomes[0]["code"] == -32011


def test_an_echo_is_no_request(device: Device) -> None:
    device.call(SETTLED)
    echo = device.answer["sent"][0].encode()
    assert device.take(SETTLED, echo) == []
    assert device.take(SETTLED + 29000, echo) == []
    assert code_of(device.take(SETTLED + 30100, echo)) == -32601


# ---- Results item by item


def test_items_wait_for_credit_and_come_again(device: Device) -> None:
    device.ask("pass", SETTLED)
    request = {"id": 3, "method": "echo", "params": [list(range(20))], "stream": True}
    first = device.take(SETTLED, request)
    assert [each["params"] for each in first] == [
        {"id": 3, "seq": seq, "item": seq} for seq in range(8)
    ]
    rest = device.take(SETTLED, {"method": "rpc.more", "params": {"id": 3, "upto": 20}})
    assert [each["params"]["seq"] for each in rest[:-1]] == list(range(8, 20))
    assert rest[-1] == {"id": 3, "result": {"count": 20}}
    lost = {"method": "rpc.more", "params": {"id": 3, "missing": [2, 19]}}
    again = device.take(SETTLED + 1000, lost)
    assert [each["params"]["seq"] for each in again] == [2, 19]
    assert device.take(SETTLED + 31001, {**request, "id": 4})
    assert device.take(SETTLED + 31001, lost) == []


def test_what_makes_no_sense_of_a_stream_is_ignored(device: Device) -> None:
    request = {"id": 3, "method": "echo", "params": [list(range(20))], "stream": True}
    device.take(SETTLED, request)
    for params in (
        {"id": [3], "upto": 20},
        {"id": {}, "upto": 20},
        {"id": 3, "upto": "20"},
        {"id": 3, "upto": True},
        {"id": 3, "missing": 5},
        {"id": 3, "missing": [[1], {}, None, "1"]},
        {},
    ):
        assert device.take(SETTLED, {"method": "rpc.more", "params": params}) == [], params
        assert device.answer["logged"] == [], params


def test_a_copy_of_a_request_whose_stream_has_ended_begins_no_other(device: Device) -> None:
    request = {"id": 3, "method": "echo", "params": [list(range(4))], "stream": True}
    copy = {**request, "retry": True}
    assert len(device.take(SETTLED, request)) == 5
    assert device.take(SETTLED + 2000, copy) == [{"id": 3, "result": {"count": 4}}]
    long = {"id": 4, "method": "echo", "params": [list(range(20))], "stream": True}
    assert len(device.take(SETTLED + 3000, long)) == 8
    assert device.take(SETTLED + 4000, {**long, "retry": True}) == []


def test_a_copy_that_comes_after_the_end_begins_no_other_stream(device: Device) -> None:
    device.ask("pass", SETTLED)
    asked = {"id": 3, "method": "rpc.methods", "stream": True}
    items = device.take(SETTLED, asked)
    last = device.take(SETTLED, {"method": "rpc.more", "params": {"id": 3, "upto": 99}})[-1]
    assert "result" in (items[-1] if len(items) < 8 else last)
    for at in (1, 600):
        assert [each["id"] for each in device.take(SETTLED + at, asked)] == [3]
        lost = {"method": "rpc.more", "params": {"id": 3, "missing": [2]}}
        assert [each["params"]["seq"] for each in device.take(SETTLED + at, lost)] == [2]


def test_what_asks_for_items_brings_16_at_most_and_makes_sense(device: Device) -> None:
    device.ask("pass", SETTLED)
    request = {"id": 3, "method": "echo", "params": [list(range(40))], "stream": True}
    assert len(device.take(SETTLED, request)) == 8

    def ask(*missing: object, id: object = 3) -> list[Any]:
        params = {"id": id, "upto": 40, "missing": missing}
        return [
            each.get("params", {}).get("seq", code_of([each]) if "error" in each else "end")
            for each in device.take(SETTLED + 1000, {"method": "rpc.more", "params": params})
        ]

    assert ask(*[3] * 200)[:16] == [3] * 16
    device.ask("pass", SETTLED + 1000)
    assert ask(*[39] * 200) == [39] * 16, "it has ended, and a part of it is kept"
    assert ask(*[0] * 200) == [-32603]
    assert ask([1], {}, "a", None, True, -1, 40, 1 << 70, 39.5) == []
    odd: list[Any] = [[3], {}]
    for id in odd:
        assert ask(1, id=id) == []
        device.take(SETTLED + 1000, {"method": "rpc.cancel", "params": {"id": id}})
        assert device.answer["logged"] == []


def test_nobody_reads_a_stream(device: Device) -> None:
    request = {"id": 3, "method": "echo", "params": [list(range(20))], "stream": True}
    assert len(device.take(SETTLED, request)) == 8
    assert code_of(device.ask("pass", SETTLED + 60000)) == -32003
