"""What an address gets that may be forged: the sums, and what waits."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsonrpc_iot import Limits
from jsonrpc_iot.protocol.unproved import ASK_AGAIN_SECONDS, Doubts, Unproved

LIMITS = Limits()
FACTOR, BYTES, SECONDS = LIMITS.unproved_factor, LIMITS.unproved_bytes, LIMITS.unproved_seconds
PACKET = 1400
QUESTION = 40


def unproved(limits: Limits = LIMITS) -> Unproved:
    return Unproved(Doubts(limits), PACKET)


def test_anything_may_be_three_times_what_came() -> None:
    address = unproved()
    address.hear(100)
    assert address.may_leave(299, 0.0, is_response=False)
    assert not address.may_leave(2, 0.0, is_response=False)
    assert address.may_leave(1, 0.0, is_response=False)


def test_responses_may_be_more_for_a_while() -> None:
    address = unproved()
    sent = 0
    while address.may_leave(1000, 0.0, is_response=True):
        sent += 1000
    assert sent == 8000
    assert not address.may_leave(1000, SECONDS - 0.1, is_response=True)
    assert address.may_leave(1000, SECONDS, is_response=True)


def test_a_response_of_many_packets_is_none_of_these() -> None:
    address = unproved()
    assert not address.may_leave(PACKET + 1, 0.0, is_response=True)
    address.hear(PACKET)
    assert address.may_leave(PACKET + 1, 0.0, is_response=True)
    packets = [PACKET, 100] * 3
    assert [address.spend(size) for size in packets] == [True, True, True, True, False, True]


def test_it_is_asked_once_and_again_when_it_has_spoken_since() -> None:
    address = unproved()
    assert address.ask(QUESTION, 0.0)
    assert not address.ask(QUESTION, 100.0)
    address.hear(QUESTION)
    assert not address.ask(QUESTION, ASK_AGAIN_SECONDS - 0.1)
    assert address.ask(QUESTION, ASK_AGAIN_SECONDS)
    assert not address.ask(QUESTION, 2 * ASK_AGAIN_SECONDS)


def test_the_question_is_paid_for_later_if_not_at_once() -> None:
    address = unproved()
    address.ask(QUESTION, 0.0)
    address.hear(10)
    assert not address.may_leave(1, 0.0, is_response=False)
    address.hear(10)
    assert address.may_leave(20, 0.0, is_response=False)


def test_what_waits_leaves_in_order_as_more_comes() -> None:
    address = unproved()
    for each in (b"a" * 30, b"b" * 60, b"c"):
        assert address.keep(each, 0.0)
    assert address.release() == ()
    address.hear(10)
    assert address.release() == [b"a" * 30]
    address.hear(10)
    assert address.release() == ()  # the next one is larger, and nothing overtakes it
    assert address.prove() == [b"b" * 60, b"c"]
    assert not address.has_waiting
    assert address.waiting_bytes == 0


def test_what_waits_is_bounded_for_all_and_for_each() -> None:
    doubts = Doubts(Limits(unproved_waiting_bytes=1000))
    first, second = Unproved(doubts), Unproved(doubts)
    assert first.keep(bytes(200), 0.0)
    assert not first.keep(bytes(100), 0.0)
    assert second.keep(bytes(200), 0.0)
    assert list(first.forget(math.inf)) == [bytes(200)]
    assert second.prove() == [bytes(200)]
    assert doubts.room.byte_count == 1000


def test_who_does_not_answer_is_not_waited_for() -> None:
    address = unproved()
    address.keep(b"push", 5.0)
    assert address.forget(5.0 + LIMITS.unproved_wait_seconds - 0.1) == ()
    assert address.forget(5.0 + LIMITS.unproved_wait_seconds) == [b"push"]
    address.keep(b"push", 60.0)
    assert address.forget(61.0) == ()


def test_who_has_moved_begins_again() -> None:
    address = unproved()
    address.hear(1000)
    address.ask(QUESTION, 0.0)
    address.keep(b"push", 0.0)
    address.begin_again()
    assert not address.was_asked
    assert not address.may_leave(1, 0.0, is_response=False)
    assert address.ask(QUESTION, 0.0)
    assert address.prove() == [b"push"]


def test_the_first_drop_of_a_link_is_told() -> None:
    doubts = Doubts(LIMITS)
    assert Unproved(doubts).note_dropped(1)
    assert not Unproved(doubts).note_dropped(3)
    assert doubts.dropped == 4


sizes = st.integers(1, 5000)
events = st.one_of(
    st.tuples(st.just("hear"), sizes),
    st.tuples(st.sampled_from(["response", "push", "segment", "ask"]), sizes),
    st.tuples(st.just("pass"), st.floats(0.0, 12.0)),
)


@given(st.lists(events, max_size=200))
def test_no_order_of_things_gives_more(order: list[tuple[str, float]]) -> None:
    """At most three times what came, the responses of each ten seconds, and one question."""
    address = unproved()
    now, heard, sent, questions = 0.0, 0, 0, 0
    for kind, amount in order:
        size = int(amount)
        match kind:
            case "pass":
                now += amount
            case "hear":
                heard += size
                address.hear(size)
            case "segment":
                sent += size * address.spend(size)
            case "ask":
                questions = questions or QUESTION
                sent += QUESTION * address.ask(QUESTION, now)
            case "push" | "response" if size <= PACKET:
                sent += size * address.may_leave(size, now, is_response=kind == "response")
        windows = 1 + now // SECONDS
        assert sent <= FACTOR * heard + windows * BYTES + questions


@pytest.mark.parametrize("packet", [None, PACKET])
def test_links_without_a_largest_packet(packet: int | None) -> None:
    address = Unproved(Doubts(LIMITS), packet)
    assert address.may_leave(5000, 0.0, is_response=True) is (packet is None)
