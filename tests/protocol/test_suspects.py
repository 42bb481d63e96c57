"""Errors for what cannot be read: bounded, and told to whoever waits."""

import pytest

from jsonrpc_iot.protocol.codec.json import JsonCodec
from jsonrpc_iot.protocol.messages import Invalid, Message
from jsonrpc_iot.protocol.noise import Silence
from jsonrpc_iot.protocol.session import Session
from jsonrpc_iot.protocol.suspects import Suspects

CODEC = JsonCodec()
JUNK = b"ERR unknown command"


class Clock:
    """A time that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def hear(session: Session, data: bytes) -> bool:
    """Let a session take a message; says whether an error may answer it."""
    message = CODEC.decode(data)
    assert isinstance(message, Invalid | Message)
    taken = session.hear(message, data)
    return isinstance(message, Invalid) and not taken and session.noise.may_refuse(message, data)


def test_a_burst_is_answered_from_a_budget() -> None:
    suspects = Suspects(0.0)
    answered = [suspects.hear(JUNK, 0.001 * number) for number in range(100)]
    assert answered == [True] * 21 + [False] * 79  # the first is no suspect yet


def test_the_budget_fills_again_with_time() -> None:
    suspects = Suspects(0.0)
    while suspects.hear(JUNK, 0.0):
        pass
    # One a second, however fast they come, and never more than twenty at once.
    assert sum(suspects.hear(JUNK, number / 100) for number in range(1000)) in (9, 10)
    assert sum(suspects.hear(JUNK, 1000.0) for _ in range(100)) == 21


def test_what_comes_now_and_then_is_no_suspect() -> None:
    suspects = Suspects(0.0)
    assert all(suspects.hear(JUNK, 1.01 * number) for number in range(100))


def test_a_valid_message_fills_the_budget() -> None:
    clock = Clock()
    session = Session(CODEC, clock=clock)
    assert sum(hear(session, JUNK) for _ in range(100)) == 21
    assert session.noise.unanswered == 79
    hear(session, b'{"method":"tick"}')
    assert sum(hear(session, JUNK) for _ in range(100)) == 21


@pytest.mark.parametrize("junk", [JUNK, b"7", b"{}", b'{"id":null,"x":1}', b'{"id":5,"x":1}'])
def test_whatever_may_be_meant_for_an_answer_is_bounded(junk: bytes) -> None:
    session = Session(CODEC, clock=Clock())
    assert sum(hear(session, junk) for _ in range(50)) == 21


def test_a_wrong_request_with_an_id_is_always_answered() -> None:
    session = Session(CODEC, clock=Clock())
    assert all(hear(session, b'{"id":5,"method":"m","params":7}') for _ in range(50))


def test_a_caller_hears_what_came_while_it_waited() -> None:
    clock = Clock()
    session = Session(CODEC, clock=clock)
    hear(session, b"ERR \x1b[2J\xff" + bytes(100))
    clock.now += 2.0
    text = Silence(session.noise, clock.now - 2.5, 0).no_answer("status", 2.5)
    assert "status: the other end answers, but with nothing that can be read: `ERR " in text
    assert text.isprintable()
    assert len(text) < 700
    item = Silence(session.noise, clock.now - 2.5, 0).no_item("scan")
    assert item.startswith("scan: no item came in time; the other end answers, but with nothing")
    later = Silence(session.noise, clock.now - 1.0, 0)
    assert later.no_answer("status", 1.0) == "status: no answer within 1 s"
    hear(session, b'{"method":"tick"}')
    since = Silence(session.noise, clock.now - 2.5, 0)
    assert since.no_answer("status", 2.5) == "status: no answer within 2.5 s"
    assert since.no_item("scan") == "scan: no item came in time"


def test_a_caller_hears_of_noise_while_it_waited() -> None:
    session = Session(CODEC, clock=Clock())
    count = 7
    session.noise.count_bytes = lambda: count
    silence = session.noise.begin()
    assert silence.no_answer("status", 1.0) == "status: no answer within 1 s"
    count += 40
    noise = "; 40 bytes came that belong to no frame: noise, or the wrong rate"
    assert silence.no_answer("status", 1.0) == f"status: no answer within 1 s{noise}"
    assert silence.no_item("scan") == f"scan: no item came in time{noise}"
