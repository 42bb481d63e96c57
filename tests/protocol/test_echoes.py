"""What this end has sent, when it comes back."""

import pytest

from jsonrpc_iot.protocol.codec.codec import Codec
from jsonrpc_iot.protocol.codec.json import JsonCodec
from jsonrpc_iot.protocol.codec.msgpack import MsgpackCodec
from jsonrpc_iot.protocol.echoes import Echoes
from jsonrpc_iot.protocol.messages import Message
from jsonrpc_iot.protocol.noise import Silence
from jsonrpc_iot.protocol.segments.format import Segmentation
from jsonrpc_iot.protocol.session import Session

from .test_suspects import Clock

PACKET = 40


def note_nothing() -> None:
    """Be called with an answer."""


def hear(session: Session, data: bytes) -> bool:
    """Whether a message that arrives is an echo."""
    message = session.codec.decode(data)
    assert isinstance(message, Message)
    before = session.noise.echoes.count if session.noise.echoes else 0
    taken = session.hear(message, data)
    return taken and session.noise.echoes is not None and session.noise.echoes.count == before + 1


@pytest.mark.parametrize("codec", [JsonCodec(), MsgpackCodec()])
def test_an_open_request_and_its_marked_copy(codec: Codec) -> None:
    session = Session(codec, echoes=True, extensions=True, clock=Clock(), retry_seconds=1.0)
    _, request = session.open("relay.toggle", None, note_nothing, now=0.0)
    (copy,) = session.poll(10.0)
    assert copy != request
    assert hear(session, request)
    assert hear(session, copy)
    assert session.jsonrpc is None


def test_an_echo_tells_nothing_about_the_other_end() -> None:
    session = Session(JsonCodec(), echoes=True, dialect="jsonrpc2", clock=Clock())
    probe = session.probe()
    assert probe is not None
    assert hear(session, probe)
    _, request = session.open("m", None, note_nothing)
    assert hear(session, request)
    assert session.extensions is None
    assert session.jsonrpc is None
    told = Silence(session.noise, 0.0, 0).no_answer("m", 1.0)
    assert told.endswith("our own requests came back as an echo")


def test_a_closed_request_is_known_for_half_a_minute() -> None:
    clock = Clock()
    session = Session(JsonCodec(), echoes=True, clock=clock)
    given_up, first = session.open("m", [1], note_nothing)
    _, second = session.open("m", [2], note_nothing)
    session.give_up(given_up)
    answer = session.codec.decode(b'{"id":2,"result":1}')
    assert isinstance(answer, Message)
    session.hear(answer)
    clock.now += 29.9
    assert hear(session, first)
    assert hear(session, second)
    clock.now += 0.2
    assert not hear(session, first)


def test_what_only_resembles_a_request_of_ours_is_none() -> None:
    session = Session(JsonCodec(), echoes=True, clock=Clock())
    _, request = session.open("m", [1], note_nothing)
    assert not hear(session, request.replace(b"[1]", b"[2]"))
    assert not hear(session, request.replace(b'"id":1', b'"id":1.0'))
    assert not hear(session, request.replace(b'"id":1', b'"id":9'))


@pytest.mark.parametrize("codec", [JsonCodec(), MsgpackCodec()])
def test_a_copy_in_the_other_dialect_and_a_marked_one_of_it(codec: Codec) -> None:
    session = Session(codec, echoes=True, clock=Clock())
    _, request = session.open("relay.toggle", None, note_nothing)
    strict = codec.mark_2_0(request)
    copies = [codec.mark_retry(request), codec.mark_retry(request, late=True)]
    copies += [codec.mark_2_0(each) for each in copies]
    copies += [codec.mark_retry(strict), codec.mark_retry(strict, late=True)]
    for each in (strict, *copies):
        assert hear(session, each)
    assert not hear(session, codec.mark_2_0(request.replace(b"toggle", b"tickle")))


def test_all_of_half_a_minute_is_known_however_many_there_were() -> None:
    clock = Clock()
    session = Session(JsonCodec(), echoes=True, clock=clock, first_id=1000)
    requests: list[bytes] = []
    slow, slow_request = session.open("slow", None, note_nothing)
    for number in range(60_000):  # 1,000 a second
        call, request = session.open("m", ["x" * (number % 100)], note_nothing)
        session.give_up(call)
        requests.append(request)
        clock.now += 0.001
    assert all(hear(session, request) for request in requests[-29_000:])
    assert not any(hear(session, request) for request in requests[:29_000])
    assert session.noise.echoes is not None
    assert len(session.noise.echoes) < 32_000
    assert hear(session, slow_request)
    session.give_up(slow)
    clock.now += 29.9
    assert hear(session, slow_request)
    clock.now += 0.2
    assert not hear(session, slow_request)


def test_a_flood_of_requests_takes_little_room() -> None:
    echoes = Echoes(JsonCodec().unmarked)
    for id in range(600_000):
        echoes.open(id, b"%d" % id, 0.0)
        if id:
            echoes.close(id, 0.0)
    assert len(echoes) < 270_000
    assert echoes.hear(599_999, b"599999", 1.0)
    assert echoes.hear(350_000, b"350000", 1.0)
    assert echoes.hear(0, b"0", 1.0)  # it is open
    assert not echoes.hear(1, b"1", 1.0)
    assert not echoes.hear(600_000, b"600000", 1.0)


def test_many_open_requests_are_known() -> None:
    echoes = Echoes(JsonCodec().unmarked)
    for id in range(1, 5000):
        echoes.open(id, b"%d" % id, float(id))
    for id in range(2, 5000):
        assert echoes.hear(id, b"%d" % id, 5000.0)
        echoes.close(id, 5000.0)
    for id in range(5000, 9000):
        echoes.open(id, b"%d" % id, 5031.0)
    assert [id for id in range(1, 9000) if echoes.hear(id, b"%d" % id, 5031.0)] == [
        1,
        *range(5000, 9000),
    ]


def test_where_nothing_comes_back_nothing_is_an_echo() -> None:
    session = Session(JsonCodec(), clock=Clock())
    _, request = session.open("m", None, note_nothing)
    assert not hear(session, request)
    assert session.noise.echoes is None


def test_segments_that_come_back_are_not_put_together() -> None:
    here = Segmentation(PACKET, has_echoes=True)
    message = bytes(range(32, 120)) * 3
    here.sender.send(message)
    packets = here.poll(0.0)
    assert len(packets) > 3
    assert here.receive(packets, 0.1) == []
    assert here.receive([packets[-1] + b" "], 29.0) == []
    assert here.own is not None
    assert here.own.count == len(packets) + 1
    assert [packet for packet in here.poll(0.2) if b"!" in packet[:4]] == []  # no report


def test_another_message_with_equal_segments_arrives_whole() -> None:
    """Both ends happen to use one number, and the middle of their messages is the same."""
    here, there = (Segmentation(PACKET, has_echoes=True) for _ in range(2))
    here.sender.send(b"question" + b"x" * 200)
    there.sender.send(b"response" + b"x" * 200)
    here.poll(0.0)
    first, *others = there.poll(0.0)
    assert here.receive([*others[:-1], first], 0.1) == []
    assert here.receive(others, 0.2) == [b"response" + b"x" * 200]


def test_an_old_segment_is_no_echo() -> None:
    here = Segmentation(PACKET, has_echoes=True)
    here.sender.send(b"x" * 50)
    packets = here.poll(0.0)
    assert here.receive(packets, 31.0) == [b"x" * 50]
