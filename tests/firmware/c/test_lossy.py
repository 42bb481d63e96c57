"""The peer in C where messages get lost, doubled and late, told the time."""

import json
from typing import Any

import pytest

from .desk import Driver, heard

pytestmark = pytest.mark.firmware

SETTLED = 31000
DATAGRAM = 0


class Device:
    """The peer, new, on a channel that loses messages."""

    def __init__(self, driver: Driver, *, lossy: bool = True) -> None:
        self._driver = driver
        self.lines: list[str] = []
        driver.ask("new", int(lossy), DATAGRAM, 1024, 1024, 0)

    def ask(self, *command: object) -> list[Any]:
        """Give a command; returns the messages that leave."""
        self.lines = self._driver.ask(*command)
        return [json.loads(bytes.fromhex(sent)) for sent in heard(self.lines, "sent")]

    def take(self, at: int, message: object) -> list[Any]:
        """A message arrives, at so many milliseconds."""
        return self.ask("take", at, json.dumps(message, separators=(",", ":")).encode().hex())

    def poll(self, *times: int) -> list[Any]:
        return [message for at in times for message in self.ask("poll", at)]

    @property
    def noted(self) -> list[str]:
        """What `note` was called with by the last command."""
        return heard(self.lines, "note")

    @property
    def outcomes(self) -> list[str]:
        """How calls of its own have ended by the last command."""
        return heard(self.lines, "outcome")


@pytest.fixture
def device(peer: Driver) -> Device:
    """One that has listened for so long that it knows what has run."""
    device = Device(peer)
    for at in range(0, SETTLED + 1, 1000):
        device.poll(at)
    return device


def note(value: object, id: object = 7, **more: object) -> dict[str, object]:
    return {"id": id, "method": "note", "params": [value], **more}


def ok(result: object, id: object = 7) -> dict[str, object]:
    return {"id": id, "result": result}


def code_of(replies: list[Any]) -> int:
    (reply,) = replies
    code: int = reply["error"]["code"]
    return code


def test_a_marked_copy_gets_the_same_answer_and_does_not_run(device: Device) -> None:
    assert device.take(SETTLED, note(1)) == [ok(1)]
    assert device.noted == ["1"]
    for at in (1, 400, 10000, 29999):
        assert device.take(SETTLED + at, note(1, retry=True)) == [ok(1)]
        assert device.noted == []


def test_a_doubled_packet_is_one_within_half_a_second(device: Device) -> None:
    device.take(SETTLED, note(1))
    assert device.take(SETTLED + 500, note(1)) == [ok(1)]
    assert device.noted == []
    assert device.take(SETTLED + 501, note(1)) == [ok(1)]
    assert device.noted == ["1"], "a script, which always uses the same id"


@pytest.mark.parametrize("extension", [{"retry": False}, {"timeout": 5}])
@pytest.mark.parametrize("is_first", [True, False])
def test_the_first_copy_that_comes_late(
    device: Device, extension: dict[str, object], is_first: bool
) -> None:
    """Either of the two carries an extension, so that id is used for nothing else."""
    first, second = (extension, {}) if is_first else ({}, extension)
    device.take(SETTLED, note(1, **first))
    assert device.take(SETTLED + 20000, note(1, **second)) == [ok(1)]
    assert device.noted == []


def test_other_params_or_another_id_make_another_request(device: Device) -> None:
    device.take(SETTLED, note(1))
    for message in (note(2), note(1, id=8), note(1, id="7"), note([1])):
        device.take(SETTLED + 1, message)
        assert device.noted == [json.dumps(message["params"])[1:-1]]


def test_what_is_over_half_a_minute_old_is_forgotten(device: Device) -> None:
    device.take(SETTLED, note(1))
    assert device.take(SETTLED + 30001, note(1, retry=True)) == [ok(1)]
    assert device.noted == ["1"]


def test_an_error_is_kept_too(device: Device) -> None:
    fail = {"id": 1, "method": "fail", "retry": False}
    first = device.take(SETTLED, fail)
    assert code_of(first) == -32603
    assert device.take(SETTLED + 1, fail) == first


def test_a_result_that_is_null_is_kept_too(device: Device) -> None:
    nothing = {"id": 1, "method": "nothing", "retry": False}
    assert device.take(SETTLED, nothing) == device.take(SETTLED + 1, nothing) == [ok(None, 1)]


def test_an_answer_too_large_to_keep_is_said_to_be_gone(device: Device) -> None:
    device.take(SETTLED, note("x" * 100))
    (reply,) = device.take(SETTLED + 1, note("x" * 100, retry=True))
    assert reply["error"] == {"code": -32603, "message": "reply no longer held"}
    assert device.noted == []


def test_a_full_table_refuses_and_forgets_nothing_early(device: Device) -> None:
    for id in range(8):
        assert device.take(SETTLED, note(1, id=id)) == [ok(1, id)]
    (reply,) = device.take(SETTLED + 29000, note(1, id=8))
    assert reply["error"]["code"] == -32004
    assert reply["error"]["data"] == {"retry_after": 1}
    assert device.noted == []
    for id in range(8):
        assert device.take(SETTLED + 29000, note(1, id=id, retry=True)) == [ok(1, id)]
    add = {"id": 9, "method": "add", "params": [1, 2]}
    assert device.take(SETTLED + 29000, add) == [ok(3, 9)], "idempotent: not remembered"
    assert device.take(SETTLED + 30001, note(1, id=8)) == [ok(1, 8)]


def test_the_clock_may_wrap(peer: Driver) -> None:
    device = Device(peer)
    end = 2**32 + SETTLED  # when it wraps for the second time
    for at in range(0, end, end // 4000):
        device.poll(at)
    device.poll(end - 1)
    device.take(end - 100, note(1))
    assert device.take(end + 200, note(1)) == [ok(1)]
    assert device.noted == []
    device.poll(end + 20000)
    late = device.take(end + 29000, note(2, retry=True))
    assert late == [ok(2)], "it has listened for long enough"


def test_a_copy_that_is_not_known_soon_after_the_start(peer: Driver) -> None:
    device = Device(peer)
    for at, retry in ((1500, True), (1600, True), (25000, False)):  # whatever copy comes later
        (reply,) = device.take(at, note(1, retry=retry))
        assert reply["error"] == {
            "code": -32011,
            "message": "not known whether it ran",
            "data": {"listening": 1.5},
        }
        assert device.noted == []
    add = {"id": 9, "method": "add", "params": [1, 2], "retry": True}
    assert device.take(1500, add) == [ok(3, 9)]


def test_a_copy_for_which_nobody_waits_lets_nothing_begin(device: Device) -> None:
    assert code_of(device.take(SETTLED, note(1, retry=True, timeout=1e-9))) == -32011
    assert device.noted == []
    assert code_of(device.take(SETTLED, note(1, id=8, timeout=1e-9))) == -32002
    assert device.noted == []
    device.take(SETTLED, note(2, id=9, timeout=1))
    assert device.take(SETTLED, note(2, id=9, retry=True, timeout=1e-9)) == [ok(2, 9)]


def test_a_cancellation_that_comes_before_its_request(device: Device) -> None:
    device.take(SETTLED, {"method": "rpc.cancel", "params": {"id": 7}})
    assert code_of(device.take(SETTLED + 1, note(1, timeout=5))) == -32003
    assert device.noted == []
    assert device.take(SETTLED + 2, note(1, id=8)) == [ok(1, 8)]
    device.take(SETTLED, {"method": "rpc.cancel", "params": {"id": 9}})
    assert device.take(SETTLED + 30001, note(1, id=9)) == [ok(1, 9)], "too long ago"


def test_where_nothing_gets_lost_all_run(peer: Driver) -> None:
    device = Device(peer, lossy=False)
    for _ in range(3):
        assert device.take(0, note(1, retry=True)) == [ok(1)]
        assert device.noted == ["1"]


def test_unreadable_messages_have_a_budget(peer: Driver) -> None:
    device = Device(peer)
    answered = sum(len(device.ask("take", at, b"{".hex())) for at in range(0, 900, 10))
    assert answered == 21
    assert code_of(device.ask("take", 1900, b"{".hex())) == -32700, "not within a second"
    assert code_of(device.ask("take", 1910, b"{".hex())) == -32700, "one more for each second"
    assert device.ask("take", 1920, b"{".hex()) == []
    device.take(1920, {"id": 1, "method": "void"})
    answered = sum(len(device.ask("take", at, b"{".hex())) for at in range(1930, 2830, 10))
    assert answered == 21, "a valid message fills it up"
    assert len(device.ask("take", 4000, b"[1,2]".hex())) == 1


DIGESTS = [
    "218d1f59b9b83cc8",
    "be552412f8387315",
    "064f39ef7c50eb57",
    "ce0f1a45f7060679",
    "d5e78a175be52ea1",
    "cb9d7c3f2f3db580",
    "ce3e91358aa2bc25",
    "ff202728b07bc684",
    "edfee820bce4858c",
]
"""Those of HalfSipHash-2-4, as published with it, for no byte, 00, 00 01, and so on."""


def test_requests_are_told_apart_by_the_digest_of_that_name(peer: Driver) -> None:
    for size, expected in enumerate(DIGESTS):
        (printed,) = peer.ask("digest", bytes(range(size)).hex())
        halves = [int(half, 16).to_bytes(4, "little") for half in printed.split()]
        assert b"".join(halves).hex() == expected


# ---- Answered later


def begin_slow(device: Device, at: int, **more: object) -> str:
    assert device.take(at, {"id": 7, "method": "slow", **more}) == []
    (token,) = heard(device.lines, "token")
    return token


def test_an_answer_that_comes_later_does_for_all_copies(device: Device) -> None:
    token = begin_slow(device, SETTLED)
    for at in (600, 1500):
        assert device.take(SETTLED + at, {"id": 7, "method": "slow", "retry": True}) == []
        assert device.lines == []
    assert device.ask("later", SETTLED + 40000, token, '"done"') == [ok("done")]
    assert device.take(SETTLED + 41000, {"id": 7, "method": "slow", "retry": True}) == [ok("done")]
    device.ask("later", SETTLED + 41000, token, '"done"')
    assert device.lines == ["gone"]


def test_copies_of_an_idempotent_call_wait_for_one_answer(device: Device) -> None:
    read = {"id": 7, "method": "slow.read", "params": ["a"]}
    assert device.take(SETTLED, read) == []
    (token,) = heard(device.lines, "token")
    for at in range(600, 3000, 600):
        assert device.take(SETTLED + at, {**read, "retry": True}) == []
        assert device.lines == []
    assert device.take(SETTLED + 3000, {**read, "params": ["b"]}) == []
    (other,) = heard(device.lines, "token")
    assert device.ask("later", SETTLED + 4000, token, '"a"') == [ok("a")]
    assert device.ask("later", SETTLED + 4000, other, '"b"') == [ok("b")]


def test_a_call_that_waits_is_cancelled(device: Device) -> None:
    token = begin_slow(device, SETTLED)
    cancel = {"method": "rpc.cancel", "params": {"id": 7}}
    assert code_of(device.take(SETTLED + 1, cancel)) == -32003
    device.ask("later", SETTLED + 2, token, "1")
    assert device.lines == ["gone"]
    assert device.take(SETTLED + 3, cancel) == []


def test_a_call_that_waits_ends_with_its_callers_patience(device: Device) -> None:
    token = begin_slow(device, SETTLED, timeout=0.5)
    assert device.poll(SETTLED + 499) == []
    assert code_of(device.poll(SETTLED + 500)) == -32002
    device.ask("later", SETTLED + 501, token, "1")
    assert device.lines == ["gone"]


def test_what_cannot_wait_is_told_so(device: Device) -> None:
    assert device.take(SETTLED, {"method": "slow"}) == []
    assert code_of(device.take(SETTLED, {"id": "x" * 50, "method": "slow"})) == -32600
    batch = [{"id": 1, "method": "slow"}]
    ((reply,),) = device.take(SETTLED, batch)
    assert reply["error"]["code"] == -32004
    begin_slow(device, SETTLED)
    begin_slow(device, SETTLED, params=[], timeout=100)
    assert code_of(device.take(SETTLED, {"id": 3, "method": "slow"})) == -32004


# ---- Streams


def squares(count: int, id: object = "s", **more: object) -> dict[str, object]:
    return {"id": id, "method": "squares", "params": [count], "stream": True, **more}


def item(seq: int, id: object = "s") -> dict[str, object]:
    return {"method": "rpc.item", "params": {"id": id, "seq": seq, "item": seq * seq}}


def more(id: object = "s", **params: object) -> dict[str, object]:
    return {"method": "rpc.more", "params": {"id": id, **params}}


def end(count: int, id: object = "s") -> dict[str, object]:
    return ok({"count": count}, id)


@pytest.mark.parametrize("count", [0, 1, 7, 8])
def test_a_short_list_is_streamed_at_once(device: Device, count: int) -> None:
    assert device.take(SETTLED, squares(count)) == [*map(item, range(count)), end(count)]


def test_items_leave_as_far_as_there_is_credit(device: Device) -> None:
    assert device.take(SETTLED, squares(20)) == [item(seq) for seq in range(8)]
    assert device.poll(SETTLED + 1000) == []
    assert device.take(SETTLED + 1001, more(upto=4)) == [], "it is never taken back"
    assert device.take(SETTLED + 1002, more(upto=10)) == [item(8), item(9)]
    assert device.take(SETTLED + 1003, more(upto=100)) == [*map(item, range(10, 20)), end(20)]


def test_lost_items_are_sent_again_also_after_the_end(device: Device) -> None:
    device.take(SETTLED, squares(7))
    for at in (1, 29000):
        asked = more(missing=[2, 5, 9, -1, "x"])
        assert device.take(SETTLED + at, asked) == [item(2), item(5)]
    device.poll(SETTLED + 60000)
    assert device.take(SETTLED + 60001, more(missing=[2])) == []


def test_a_message_that_asks_for_items_brings_16_at_most(device: Device) -> None:
    device.take(SETTLED, squares(7))
    assert device.take(SETTLED + 1, more(missing=[3] * 200)) == [item(3)] * 16


def test_a_repeated_wish_for_a_stream_begins_no_other(device: Device) -> None:
    device.take(SETTLED, squares(20))
    begun = device.take(SETTLED + 600, squares(20, retry=True))
    assert begun == []


def test_a_copy_of_a_wish_that_comes_after_the_end_begins_no_other(device: Device) -> None:
    """Of an idempotent method, too, which is not remembered."""
    asked = {"id": "s", "method": "rpc.methods", "stream": True}
    items = device.take(SETTLED, asked)
    last = device.take(SETTLED, more(upto=100))[-1]
    assert "result" in last
    for at in (1, 600):
        assert device.take(SETTLED + at, asked) == [last]
        assert device.take(SETTLED + at + 1, more(missing=[2])) == [items[2]]


def test_a_reader_that_is_gone_is_given_up(device: Device) -> None:
    device.take(SETTLED, squares(20))
    assert device.poll(SETTLED + 29999) == []
    assert code_of(device.poll(SETTLED + 30000)) == -32003
    assert device.take(SETTLED + 30001, more(upto=16)) == []


def test_a_stream_is_cancelled(device: Device) -> None:
    device.take(SETTLED, squares(20))
    cancel = {"method": "rpc.cancel", "params": {"id": "s"}}
    assert code_of(device.take(SETTLED + 1, cancel)) == -32003
    assert device.take(SETTLED + 2, more(upto=16)) == []


def test_a_list_is_whole_where_no_stream_is_wanted_or_possible(device: Device) -> None:
    whole = [seq * seq for seq in range(9)]
    asked = squares(9)
    del asked["stream"]
    assert device.take(SETTLED, asked) == [ok(whole, "s")]
    assert device.take(SETTLED, [squares(9)]) == [[ok(whole, "s")]]
    assert device.take(SETTLED, squares(9, id="x" * 50)) == [ok(whole, "x" * 50)]
    assert device.take(SETTLED, {"method": "squares", "params": [9], "stream": True}) == []


def test_where_nothing_gets_lost_nothing_is_sent_again(peer: Driver) -> None:
    device = Device(peer, lossy=False)
    device.take(0, squares(20))
    assert device.take(1, more(missing=[2])) == []
    device.take(2, more(upto=100))
    assert device.take(3, more(missing=[2])) == []


def test_methods_are_streamed_too(device: Device) -> None:
    sent = device.take(SETTLED, {"id": 1, "method": "rpc.methods", "stream": True})
    device_has = ["add", "echo", "fail", "flag", "hundredths", "later", "latin1", "note"]
    device_has += [
        "nothing",
        "read",
        "rows",
        "rpc.methods",
        "rpc.ping",
        "set_level",
        "slow",
        "slow.read",
    ]
    device_has += ["squares", "text", "void"]
    sent += device.take(SETTLED, more(1, upto=32))
    assert [message["params"]["item"] for message in sent[:-1]] == device_has
    assert sent[-1] == end(19, 1)
