"""Wrong proofs: each waits longer, none makes another address wait, and all is bounded."""

from jsonrpc_iot import Limits
from jsonrpc_iot.protocol.refusals import Refusals

LIMITS = Limits()


def answer(refusals: Refusals, place: str, now: float = 0.0) -> float:
    seconds = refusals.begin(place, now)
    refusals.end(place)
    return seconds


def test_each_waits_longer_up_to_some_seconds() -> None:
    refusals = Refusals(LIMITS)
    waits = [answer(refusals, "a") for _ in range(100)]
    assert waits[0] < 0.1
    assert waits == sorted(waits)
    assert waits[10:] == [LIMITS.refusal_seconds] * 90


def test_another_address_has_a_count_of_its_own() -> None:
    refusals = Refusals(LIMITS)
    first = answer(refusals, "a")
    for _ in range(20):
        answer(refusals, "a")
    assert answer(refusals, "b") == first


def test_it_is_forgotten_after_a_while() -> None:
    refusals = Refusals(LIMITS)
    waits = [answer(refusals, "a", now) for now in (0.0, 299.0, 598.0, 899.0)]
    assert waits[0] == waits[3] < waits[1] < waits[2]


def test_addresses_are_bounded_and_the_oldest_is_forgotten() -> None:
    refusals = Refusals(Limits(refused_addresses=10))
    first = answer(refusals, "a")
    assert answer(refusals, "b") == first
    assert answer(refusals, "a") > first
    for number in range(9):
        answer(refusals, str(number))
    assert len(refusals) == 10
    assert answer(refusals, "a") > 2 * first  # heard of after b
    assert answer(refusals, "b") == first


def test_answers_that_wait_are_bounded_for_each_and_for_all() -> None:
    refusals = Refusals(Limits(refusals_waiting=32))
    for _ in range(2):
        assert refusals.has_room("a")
        refusals.begin("a", 0.0)
    assert not refusals.has_room("a")
    for number in range(15):
        for _ in range(2):
            assert refusals.has_room(str(number))
            refusals.begin(str(number), 0.0)
    assert not refusals.has_room("newcomer")
    assert refusals.turned_away == 2
    refusals.end("a")
    assert refusals.has_room("newcomer")
    assert refusals.has_room("a")
