"""What a client repeats on links that lose packets, told the time (section 1)."""

from typing import Any

import pytest

from jsonrpc_iot.protocol.codec.json import JsonCodec
from jsonrpc_iot.protocol.messages import Invalid, Message
from jsonrpc_iot.protocol.retries import Due, Repeats
from jsonrpc_iot.protocol.session import Session

CODEC = JsonCodec()
REQUEST = b'{"method":"m","id":1,"params":[5]}'
RETRY = b'{"method":"m","id":1,"params":[5],"retry":true}'


def exact(low: float, high: float) -> float:
    return (low + high) / 2


def new_repeats(idempotent: bool = False) -> Repeats:
    repeats = Repeats(0.5, JsonCodec().mark_retry, exact)
    repeats.add(1, REQUEST, 100, idempotent=idempotent)
    return repeats


def test_a_marked_request_has_the_same_id_and_params() -> None:
    assert new_repeats().poll(100.5, extensions=True) == Due([RETRY], probe=False)


def test_the_timer_doubles() -> None:
    repeats = new_repeats()
    for due in (100.5, 101.5, 103.5, 107.5, 115.5):
        assert repeats.next_due() == due
        assert repeats.poll(due - 0.01, extensions=True).messages == []
        assert repeats.poll(due, extensions=True).messages == [RETRY]


def test_a_late_copy_lets_nothing_begin() -> None:
    for late in (repeats := new_repeats()).poll(125.1, extensions=True).messages:
        message = CODEC.decode(late)
        assert isinstance(message, Message)
        assert (message.id, message.retry, message.timeout) == (1, True, 1e-9)
        assert REQUEST in CODEC.unmarked(late)
    assert repeats.next_due() is not None
    assert new_repeats(idempotent=True).poll(125.1, extensions=True).messages == [RETRY]


def test_whom_it_took_long_to_know_gets_late_copies_too() -> None:
    repeats = new_repeats()
    for due in (100.5, 101.5, 103.5, 107.5, 115.5):
        repeats.poll(due, extensions=None)
    assert repeats.learn(extensions=True) == [CODEC.mark_retry(REQUEST, late=True)]


@pytest.mark.parametrize(("pick", "first", "second"), [(min, 0.4, 0.8), (max, 0.6, 1.2)])
def test_the_timer_is_up_to_a_fifth_off(pick: Any, first: float, second: float) -> None:
    repeats = Repeats(0.5, JsonCodec().mark_retry, pick)
    repeats.add(1, REQUEST, 0, idempotent=False)
    assert repeats.next_due() == pytest.approx(first)
    repeats.poll(first, extensions=True)
    assert repeats.next_due() == pytest.approx(first + second)


def test_a_stranger_is_asked_before_anything_is_repeated() -> None:
    repeats = new_repeats()
    assert repeats.poll(100.5, extensions=None) == Due([], probe=True)
    assert repeats.learn(extensions=True) == [RETRY]
    assert repeats.learn(extensions=True) == []
    assert repeats.poll(101.5, extensions=True).messages == [RETRY]


def test_a_stranger_that_stays_silent_is_asked_again_only() -> None:
    repeats = new_repeats()
    for due in (100.5, 101.5, 103.5):
        assert repeats.poll(due, extensions=None) == Due([], probe=True)


def test_who_does_not_know_retry_gets_nothing_twice() -> None:
    repeats = new_repeats()
    repeats.poll(100.5, extensions=None)
    assert repeats.learn(extensions=False) == []
    for due in (101.5, 103.5, 200):
        assert repeats.poll(due, extensions=False) == Due([], probe=False)


@pytest.mark.parametrize(("extensions", "sent"), [(None, REQUEST), (False, REQUEST), (True, RETRY)])
def test_what_is_idempotent_is_repeated_to_anybody(extensions: bool | None, sent: bytes) -> None:
    assert new_repeats(idempotent=True).poll(100.5, extensions) == Due([sent], probe=False)


def test_an_answered_request_is_not_repeated() -> None:
    repeats = new_repeats()
    repeats.poll(100.5, extensions=None)
    repeats.remove([1, 7])
    assert repeats.next_due() is None
    assert repeats.learn(extensions=True) == []
    assert repeats.poll(200, extensions=True).messages == []


# Both in a session


class Talk:
    """A session on a lossy channel."""

    def __init__(self, extensions: bool | None = None) -> None:
        self.session = Session(CODEC, retry_seconds=0.5, extensions=extensions)

    def open(self, now: float, **options: Any) -> bytes:
        return self.session.open("m", [5], lambda: None, now=now, **options)[1]

    def take(self, text: str) -> list[bytes]:
        """Take a message; returns what becomes overdue with it."""
        message = CODEC.decode(text.encode())
        assert isinstance(message, Message | Invalid)
        self.session.hear(message)
        return list(self.session.overdue())

    def ping(self, now: float) -> int:
        """The id of the only message that is due, a ping."""
        (sent,) = self.session.poll(now)
        message = CODEC.decode(sent)
        assert isinstance(message, Message)
        assert message.method == "rpc.ping"
        assert isinstance(message.id, int)
        return message.id


def test_a_reliable_session_has_no_timers() -> None:
    session = Session(CODEC)
    session.open("m", None, lambda: None, now=5)
    assert session.next_due is None
    assert session.poll(1000) == []


def test_a_ping_that_is_answered_brings_the_repeat() -> None:
    talk = Talk()
    request = talk.open(0)
    assert talk.session.poll(0.39) == []
    id = talk.ping(0.61)
    overdue = talk.take(f'{{"id":{id},"result":true}}')
    assert overdue == [request[:-1] + b',"retry":true}']
    assert talk.session.poll(2.0) == overdue


@pytest.mark.parametrize("answer", ['"result":1', '"error":{"code":-32601,"message":"what?"}'])
def test_a_ping_that_fails_brings_no_repeat(answer: str) -> None:
    talk = Talk()
    talk.open(0)
    assert talk.take(f'{{"id":{talk.ping(0.61)},{answer}}}') == []
    assert talk.session.extensions is False
    assert talk.session.poll(100) == []
    assert talk.open(200, idempotent=True) in talk.session.poll(300)


def test_a_lost_ping_is_sent_again() -> None:
    talk = Talk()
    talk.open(0)
    first, second = talk.ping(0.61), talk.ping(2)
    assert first != second
    assert len(talk.take(f'{{"id":{second},"result":true}}')) == 1


def test_pings_are_no_open_calls() -> None:
    talk = Talk()
    talk.open(0)
    talk.ping(0.61)
    talk.ping(2)
    assert talk.session.open_calls == 1
    talk.take('{"id":1,"result":1}')
    assert talk.session.open_calls == 0
    assert talk.session.next_due is None


def test_giving_up_stops_the_timer() -> None:
    talk = Talk(extensions=True)
    call, _ = talk.session.open("m", None, lambda: None, now=0)
    talk.session.give_up(call)
    assert talk.session.next_due is None
    assert talk.session.poll(100) == []


def test_a_long_request_has_more_time_on_a_slow_link() -> None:
    repeats = Repeats(0.25, JsonCodec().mark_retry, exact, per_byte=0.01)
    repeats.add(1, REQUEST, 100, idempotent=False)
    assert repeats.next_due() == 100 + 0.25 + 0.01 * len(REQUEST)
