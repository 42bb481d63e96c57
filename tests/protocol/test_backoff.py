"""The pauses before trying again."""

import random

import pytest

from jsonrpc_iot.protocol.backoff import Backoff

BOUNDS = [0.5, 1, 2, 4, 8, 8, 8]


def test_pauses_are_random_under_a_bound_that_doubles() -> None:
    series = []
    for seed in range(2000):
        backoff = Backoff(0.5, 8, uniform=random.Random(seed).uniform)
        series.append([backoff.next_pause() for _ in BOUNDS])
    for bound, pauses in zip(BOUNDS, zip(*series, strict=True), strict=True):
        assert 0 <= min(pauses) < 0.05 * bound
        assert 0.95 * bound < max(pauses) <= bound
        assert sum(pauses) / len(pauses) == pytest.approx(bound / 2, rel=0.08)


def test_two_who_wait_do_not_come_together() -> None:
    one, other = (Backoff(0.5, 8, uniform=random.Random(seed).uniform) for seed in (1, 2))
    assert [one.next_pause() for _ in BOUNDS] != [other.next_pause() for _ in BOUNDS]


def test_connections_that_end_at_once_make_the_pauses_grow() -> None:
    backoff = Backoff(0.5, 8, stable=20)
    for bound in BOUNDS:
        assert backoff.next_bound() == bound
        backoff.connection_ended(19.9)


def test_a_connection_that_lived_brings_the_first_pause_back() -> None:
    backoff = Backoff(0.5, 8, stable=20)
    for _ in BOUNDS:
        backoff.next_pause()
    backoff.connection_ended(20)
    assert [backoff.next_bound() for _ in BOUNDS] == BOUNDS


def test_no_pause_is_longer_than_the_longest() -> None:
    backoff = Backoff(10, 3)
    assert [backoff.next_bound() for _ in range(3)] == [3, 3, 3]
    backoff.reset()
    assert backoff.next_bound() == 3
