"""Servers that insist on JSON-RPC 2.0, and what a session makes of their refusals."""

import json
from typing import Any

import pytest

from jsonrpc_iot.errors import InvalidRequest
from jsonrpc_iot.protocol.codec.json import JsonCodec
from jsonrpc_iot.protocol.codec.msgpack import MsgpackCodec
from jsonrpc_iot.protocol.messages import Message, Request
from jsonrpc_iot.protocol.open_call import OpenCall
from jsonrpc_iot.protocol.session import Session

CODEC = JsonCodec()


class Talk:
    """A session with one end of a link, and what it sends again by itself."""

    def __init__(self, **options: Any) -> None:
        self.session = Session(CODEC, **options)
        self.again: list[Any] = []
        self.session.first.send = lambda request: self.again.append(json.loads(request))

    def open(self, **options: Any) -> OpenCall:
        return self.session.open("m", {"x": 1}, lambda: None, **options)[0]

    def refuse(self, id: int | None = None, code: int = -32600, **members: Any) -> None:
        reply = {"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": "no"}, **members}
        self.take(reply)

    def take(self, reply: object) -> None:
        message = CODEC.decode(json.dumps(reply).encode())
        assert isinstance(message, Message)
        assert self.session.hear(message)


def request(id: int) -> Any:
    return {"jsonrpc": "2.0", "method": "m", "id": id, "params": {"x": 1}}


def test_the_one_request_that_is_refused_is_sent_again_in_2_0() -> None:
    talk = Talk()
    call = talk.open()
    talk.refuse()
    assert talk.again == [request(1)]
    assert call.outcome is None
    talk.take({"jsonrpc": "2.0", "id": 1, "result": 5})
    assert call.result(int) == 5
    assert json.loads(talk.session.open("n", None, lambda: None)[1])["jsonrpc"] == "2.0"


def test_a_request_is_sent_again_once() -> None:
    talk = Talk()
    call = talk.open()
    talk.refuse()
    talk.refuse()
    assert len(talk.again) == 1
    assert isinstance(call.outcome, InvalidRequest)


def test_only_when_all_are_refused_none_of_them_has_run() -> None:
    talk = Talk()
    assert talk.session.probe() is not None
    calls = [talk.open(), talk.open()]
    for _ in range(2):
        talk.refuse()
        assert talk.again == []
    talk.refuse()
    assert talk.again == [{"jsonrpc": "2.0", "method": "rpc.ping", "id": 1}, request(2), request(3)]
    assert all(call.outcome is None for call in calls)


def test_a_refusal_with_an_id_is_about_that_request() -> None:
    talk = Talk()
    first, second = talk.open(), talk.open()
    talk.refuse(second.id)
    assert talk.again == [request(second.id)]
    talk.take({"jsonrpc": "2.0", "id": first.id, "result": 1})
    assert first.result(int) == 1


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        ({"dialect": "jsonrpc2"}, {}),
        ({"shared": True}, {}),
        ({}, {"code": -32601, "id": 1}),
        ({}, {"code": -32700}),
        ({}, {"id": "1"}),
    ],
)
def test_what_is_no_refusal_of_the_dialect_sends_nothing_again(
    options: dict[str, Any], refusal: dict[str, Any]
) -> None:
    talk = Talk(**options)
    talk.open()
    talk.refuse(**refusal)
    assert talk.again == []


def test_an_error_in_the_iot_dialect_sends_nothing_again() -> None:
    talk = Talk()
    call = talk.open()
    talk.take({"id": 1, "error": {"code": -32600, "message": "no"}})
    assert isinstance(call.outcome, InvalidRequest)
    assert talk.again == []


def test_where_messages_get_lost_only_a_lone_request_is_sent_again() -> None:
    talk = Talk(retry_seconds=0.5)
    first, _ = talk.open(now=0.0), talk.open(now=0.0)
    talk.refuse()
    talk.refuse()
    assert talk.again == []
    talk.take({"jsonrpc": "2.0", "id": first.id, "result": 1})
    talk.refuse()
    assert talk.again == [request(2)]


def test_a_repeat_is_in_2_0_too() -> None:
    talk = Talk(retry_seconds=0.5)
    talk.open(now=0.0, idempotent=True)
    talk.refuse()
    (repeat,) = talk.session.poll(10.0)
    assert json.loads(repeat)["jsonrpc"] == "2.0"


@pytest.mark.parametrize("codec", [JsonCodec(), MsgpackCodec()])
def test_a_request_is_the_same_but_for_its_dialect(codec: JsonCodec | MsgpackCodec) -> None:
    marked = codec.decode(codec.mark_2_0(codec.encode_request(Request("m", id=7, params=[1]))))
    assert isinstance(marked, Message)
    assert (marked.method, marked.id, marked.jsonrpc) == ("m", 7, "2.0")
    assert codec.decode_value(marked.params, list[int]) == [1]
