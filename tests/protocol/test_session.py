"""A conversation's memory, with no connection at all."""

from typing import Any

import pytest
from msgspec import UNSET, Raw, Struct

from jsonrpc_iot import (
    CallTimeout,
    ChannelClosed,
    JsonRpcIotError,
    MalformedResponse,
    MethodNotFound,
    RpcError,
    Unencodable,
)
from jsonrpc_iot.protocol.codec.json import JsonCodec
from jsonrpc_iot.protocol.messages import Invalid, Message
from jsonrpc_iot.protocol.open_call import OpenCall
from jsonrpc_iot.protocol.session import Session

CODEC = JsonCodec()


class Wifi(Struct):
    ssid: str


def message(data: bytes) -> Message | Invalid:
    decoded = CODEC.decode(data)
    assert not isinstance(decoded, list)
    return decoded


class Talk:
    """A session, and what it reported."""

    def __init__(self, **options: Any) -> None:
        self.notified: list[str] = []
        self.strays: list[str] = []
        self.answered: list[int] = []
        self.session = Session(
            CODEC,
            on_notification=lambda each: self.notified.append(str(each.method)),
            **options,
        )
        self.session.on_stray = self.strays.append

    def open(self, method: str = "m", params: object = None, **options: Any) -> OpenCall:
        number = len(self.answered) + self.session.open_calls
        call, self.sent = self.session.open(
            method, params, lambda: self.answered.append(number), **options
        )
        return call

    def take(self, data: str) -> bool:
        return self.session.hear(message(data.encode()))


def test_calls_are_numbered() -> None:
    talk = Talk()
    talk.open("a")
    assert talk.sent == b'{"method":"a","id":1}'
    talk.open("b", {"x": 1})
    assert talk.sent == b'{"method":"b","id":2,"params":{"x":1}}'
    talk.open("c", [1, Wifi("s")])
    assert talk.sent == b'{"method":"c","id":3,"params":[1,{"ssid":"s"}]}'
    assert talk.session.open_calls == 3


def test_the_first_id_is_settable() -> None:
    assert [Talk(first_id=1 << 40).open().id, Talk().open().id] == [1 << 40, 1]


def test_params_that_have_no_form_open_no_call() -> None:
    talk = Talk()
    with pytest.raises(Unencodable):
        talk.open("m", [object()])
    with pytest.raises(Unencodable):
        talk.session.notification("m", [float("nan")])
    assert talk.session.open_calls == 0
    assert talk.open().id == 1


def test_answers_find_their_calls_in_any_order() -> None:
    talk = Talk()
    calls = [talk.open() for _ in range(3)]
    for index in (2, 0, 1):
        assert talk.take(f'{{"id":{calls[index].id},"result":{index * 10}}}')
    assert [call.result(int) for call in calls] == [0, 10, 20]
    assert talk.answered == [2, 0, 1]
    assert talk.session.open_calls == 0
    assert talk.strays == []


def test_an_answer_counts_once() -> None:
    talk = Talk()
    call = talk.open()
    talk.take('{"id":1,"result":1}')
    talk.take('{"id":1,"result":2}')
    assert call.result(int) == 1
    assert talk.answered == [0]
    assert talk.session.strays == 1


def test_a_result_is_decoded_into_its_type() -> None:
    talk = Talk()
    call = talk.open()
    talk.take('{"id":1,"result":[{"ssid":"home"}]}')
    assert call.result(list[Wifi]) == [Wifi("home")]
    assert call.result(object) == [{"ssid": "home"}]
    with pytest.raises(MalformedResponse, match="m: the result"):
        call.result(int)


def test_a_result_of_null_is_a_result() -> None:
    talk = Talk()
    call = talk.open()
    talk.take('{"id":1,"result":null}')
    assert isinstance(call.outcome, Raw)
    assert call.result(type(None)) is None


def test_an_error_is_raised_as_its_codes_class() -> None:
    talk = Talk()
    known, own = talk.open(), talk.open()
    talk.take('{"id":1,"error":{"code":-32601,"message":"what?","data":[1]}}')
    talk.take('{"id":2,"error":{"code":9,"message":"nine"}}')
    with pytest.raises(MethodNotFound) as caught:
        known.result(int)
    assert (caught.value.message, caught.value.data) == ("what?", [1])
    with pytest.raises(RpcError) as other:
        own.result(int)
    assert type(other.value) is RpcError


@pytest.mark.parametrize(
    "id", ['"1"', "true", "1.0", "-1", "2", "null", "[1]", '{"id":1}', "10", "1.5"]
)
def test_answers_to_other_ids_are_strays(id: str) -> None:
    talk = Talk()
    call = talk.open()
    assert talk.take(f'{{"id":{id},"result":5}}')
    assert call.outcome is None
    assert talk.session.strays == 1
    assert talk.strays == ["a response to no open call"]


@pytest.mark.parametrize(
    "body", ['"result":1,"error":{}', '"error":5', '"error":{"code":1}', '"x":1']
)
def test_a_malformed_answer_fails_its_call_only(body: str) -> None:
    talk = Talk()
    call, other = talk.open("scan"), talk.open()
    assert talk.take(f'{{"id":1,{body}}}')
    with pytest.raises(MalformedResponse, match="scan"):
        call.result(int)
    assert other.outcome is None
    assert talk.session.strays == 0


def test_what_is_neither_request_nor_response_is_left_to_others() -> None:
    talk = Talk()
    talk.open()
    assert not talk.take('{"id":2,"x":1}')
    assert not talk.take('{"id":1,"method":5}')
    assert not talk.take("5")
    assert not talk.take("{")
    assert not talk.take('{"id":1,"method":"m"}')
    assert talk.session.open_calls == 1


def test_an_error_without_id_fails_the_only_call() -> None:
    talk = Talk()
    call = talk.open()
    assert talk.take('{"id":null,"error":{"code":-32700,"message":"m"}}')
    assert isinstance(call.outcome, RpcError)
    assert talk.strays == []


@pytest.mark.parametrize("calls", [0, 2])
def test_an_error_without_id_fails_nothing_else(calls: int) -> None:
    talk = Talk()
    opened = [talk.open() for _ in range(calls)]
    assert talk.take('{"id":null,"error":{"code":-32700,"message":"broken"}}')
    assert [call.outcome for call in opened] == [None] * calls
    (told,) = talk.strays
    assert "broken" in told


def test_a_result_without_id_fails_nothing() -> None:
    talk = Talk()
    call = talk.open()
    assert talk.take('{"id":null,"result":1}')
    assert call.outcome is None


def test_a_call_given_up_is_a_stray_later() -> None:
    talk = Talk()
    call = talk.open()
    assert talk.session.give_up(call) is None
    assert talk.session.open_calls == 0
    assert talk.take('{"id":1,"result":1}')
    assert call.outcome is None
    assert talk.answered == []
    assert talk.session.strays == 1


def test_giving_up_cancels_where_the_other_end_understands() -> None:
    talk = Talk(extensions=True)
    call, answered = talk.open(), talk.open()
    talk.take('{"id":2,"result":1}')
    assert talk.session.give_up(answered) is None
    assert talk.session.give_up(call) == b'{"method":"rpc.cancel","params":{"id":1}}'
    assert talk.session.give_up(call) is None


@pytest.mark.parametrize(
    "sent",
    [
        b"%s",
        b'[{"method":"other"},%s]',
        CODEC.mark_retry(b'{"method":"m","id":1}'),
        CODEC.mark_2_0(b'{"method":"m","id":1}'),
    ],
)
def test_a_message_that_failed_fails_the_calls_in_it(sent: bytes) -> None:
    talk = Talk()
    call = talk.open("m")
    request, other = talk.sent, talk.open("other")
    talk.session.fail(sent.replace(b"%s", request), ChannelClosed("the device refused it"))
    assert isinstance(call.outcome, ChannelClosed)
    assert str(call.outcome) == "m: the device refused it"
    assert other.outcome is None
    talk.session.fail(sent.replace(b"%s", request), ChannelClosed("once more"))
    assert talk.answered == [0]


@pytest.mark.parametrize(
    "sent", [b'{"id":1,"result":5}', b'{"method":"m"}', b'{"method":"m","id":"1"}', b"~00", b"[]"]
)
def test_what_is_no_call_of_ours_fails_none(sent: bytes) -> None:
    talk = Talk()
    call = talk.open("m")
    talk.session.fail(sent, ChannelClosed("the device refused it"))
    assert call.outcome is None


def test_closing_fails_all_open_calls_each_with_its_own_error() -> None:
    talk = Talk()
    answered, first, second = talk.open(), talk.open(), talk.open()
    talk.take('{"id":1,"result":1}')
    reasons: list[JsonRpcIotError] = []

    def reason() -> JsonRpcIotError:
        reasons.append(ChannelClosed("gone"))
        return reasons[-1]

    talk.session.close(reason)
    assert answered.result(int) == 1
    assert [first.outcome, second.outcome] == reasons
    assert first.outcome is not second.outcome
    assert len(talk.answered) == 3
    assert talk.session.open_calls == 0
    talk.session.close(reason)
    assert len(reasons) == 2
    with pytest.raises(ChannelClosed):
        first.result(int)


def test_an_outcome_may_come_from_outside() -> None:
    call = Talk().open()
    call.outcome = CallTimeout("late")
    with pytest.raises(CallTimeout):
        call.result(int)


@pytest.mark.parametrize(
    ("options", "heard", "expected"),
    [
        ({}, [], UNSET),
        ({"dialect": "jsonrpc2"}, [], "2.0"),
        ({}, ['{"jsonrpc":"2.0","method":"m"}'], "2.0"),
        ({"dialect": "jsonrpc2"}, ['{"method":"m"}'], UNSET),
        ({}, ['{"jsonrpc":"2.0","id":9,"result":1}'], "2.0"),
        ({}, ['{"jsonrpc":"2.0","id":9,"method":"m"}', '{"id":9,"method":"m"}'], UNSET),
        ({}, ['{"jsonrpc":"2.0","id":9,"method":5}', "5", "{"], UNSET),
    ],
)
def test_we_speak_as_the_other_end_spoke_last(
    options: dict[str, Any], heard: list[str], expected: object
) -> None:
    talk = Talk(**options)
    for each in heard:
        talk.take(each)
    assert talk.session.jsonrpc_to_send == expected
    sent = message(talk.session.notification("m", None))
    assert isinstance(sent, Message)
    assert sent.jsonrpc == expected
    talk.open()
    opened = message(talk.sent)
    assert isinstance(opened, Message)
    assert opened.jsonrpc == expected


def test_notifications_are_shown_and_left_to_the_dispatcher() -> None:
    talk = Talk()
    assert not talk.take('{"method":"changed","params":[1]}')
    assert not talk.take('{"method":"called","id":5}')
    assert not talk.take('{"method":"broken","params":5}')
    assert talk.notified == ["changed"]


@pytest.mark.parametrize(("extensions", "sent"), [(True, True), (None, False), (False, False)])
def test_timeouts_travel_only_where_they_are_understood(
    extensions: bool | None, sent: bool
) -> None:
    talk = Talk(extensions=extensions)
    talk.open(timeout=2.5)
    assert (b'"timeout":2.5' in talk.sent) == sent
    talk.open()
    assert b"timeout" not in talk.sent


@pytest.mark.parametrize(
    ("heard", "known"),
    [
        ('{"method":"m","id":1,"timeout":5}', True),
        ('{"method":"m","id":1,"stream":true}', True),
        ('{"method":"m","id":1,"retry":true}', True),
        ('{"method":"rpc.cancel","params":{"id":1}}', True),
        ('{"method":"rpc.more","params":{"id":1,"upto":9}}', True),
        ('{"method":"rpc.ping","id":1}', None),
        ('{"method":"m","id":1,"stream":false}', None),
        ('{"method":"m","id":1,"timeout":"x"}', None),
        ('{"id":1,"result":true}', None),
    ],
)
def test_who_uses_an_extension_understands_them(heard: str, known: bool | None) -> None:
    talk = Talk()
    talk.take(heard)
    assert talk.session.extensions is known


@pytest.mark.parametrize(
    ("answer", "known"),
    [
        ('"result":true', True),
        ('"result":1', False),
        ('"result":"pong"', False),
        ('"result":null', False),
        ('"error":{"code":-32601,"message":"m"}', False),
        ('"result":1,"error":1', False),
    ],
)
def test_a_probe_asks_once(answer: str, known: bool) -> None:
    talk = Talk()
    assert talk.session.probe() == b'{"method":"rpc.ping","id":1}'
    assert talk.session.probe() is None
    assert talk.session.open_calls == 0
    assert talk.session.extensions is None
    talk.take(f'{{"id":1,{answer}}}')
    assert talk.session.extensions is known
    assert talk.session.probe() is None


@pytest.mark.parametrize("known", [True, False])
def test_what_is_known_needs_no_probe(known: bool) -> None:
    assert Talk(extensions=known).session.probe() is None


def test_an_extension_seen_before_the_probes_answer_counts() -> None:
    talk = Talk()
    talk.session.probe()
    talk.take('{"method":"m","id":1,"timeout":5}')
    talk.take('{"id":1,"error":{"code":1,"message":"m"}}')
    assert talk.session.extensions is True


def test_closing_ends_the_probe() -> None:
    talk = Talk()
    talk.session.probe()
    talk.session.close(lambda: ChannelClosed("gone"))
    assert talk.session.extensions is None
    assert talk.session.open_calls == 0


def test_what_the_link_says_is_not_taken_for_an_answer() -> None:
    talk = Talk()
    exchanged = talk.session.exchanged
    talk.open()
    talk.open()
    assert (exchanged.asked, exchanged.heard, exchanged.unheard) == (2, 0, 2)
    talk.session.fail(talk.sent, ChannelClosed("the connection has failed"))
    assert (exchanged.heard, exchanged.failed, exchanged.unheard) == (0, 1, 2)
    assert talk.take('{"id": 1, "result": null}')
    assert (exchanged.heard, exchanged.unheard) == (1, 0)
    talk.open()
    talk.session.fail(talk.sent, MethodNotFound())  # its own words, by way of the link
    assert (exchanged.heard, exchanged.failed, exchanged.unheard) == (2, 1, 0)
