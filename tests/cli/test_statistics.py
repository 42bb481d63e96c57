"""Round-trip times in numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsonrpc_iot.cli._statistics import Histogram, RoundTrips, show_milliseconds


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ([], RoundTrips()),
        ([0.002], RoundTrips(2.0, 2.0, 2.0, 2.0)),
        ([0.003, 0.001], RoundTrips(1.0, 1.0, 3.0, 3.0)),
        ([0.003, 0.001, 0.002], RoundTrips(1.0, 2.0, 3.0, 3.0)),
        ([n / 1000 for n in range(100, 0, -1)], RoundTrips(1.0, 50.0, 99.0, 100.0)),
    ],
)
def test_known_round_trips(seconds: list[float], expected: RoundTrips) -> None:
    assert RoundTrips.of(seconds) == expected


@given(st.lists(st.floats(0, 100), min_size=1))
def test_at_least_half_took_no_longer_than_the_median(seconds: list[float]) -> None:
    times = RoundTrips.of(seconds)

    assert times.min is not None
    assert times.median is not None
    assert times.p99 is not None
    assert times.max is not None
    assert times.min <= times.median <= times.p99 <= times.max
    rounded = [round(1000 * value, 4) for value in seconds]
    assert 2 * sum(value <= times.median for value in rounded) >= len(seconds)
    assert 100 * sum(value <= times.p99 for value in rounded) >= 99 * len(seconds)
    assert (times.min, times.max) == (min(rounded), max(rounded))


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), (0.12345, "0.123 ms"), (12.345, "12.35 ms"), (1234.5, "1234 ms")],
)
def test_shown_times(value: float | None, shown: str) -> None:
    assert show_milliseconds(value) == shown


def test_a_histogram_knows_each_time_to_one_percent() -> None:
    histogram = Histogram()
    for number in range(1, 1001):
        histogram.add(number / 1000)

    assert histogram.count == 1000
    assert histogram.quantile(0.5) == pytest.approx(500, rel=0.011)
    assert histogram.quantile(0.99) == pytest.approx(990, rel=0.011)
    assert histogram.quantile(1) == 1000


def test_the_bars_of_a_histogram_leave_no_gap() -> None:
    histogram = Histogram()
    for seconds in (0.001, 0.0011, 0.007):
        histogram.add(seconds)

    assert list(histogram.bars()) == [(1.9531, 2), (3.9062, 0), (7.8125, 1)]


def test_a_histogram_of_nothing() -> None:
    assert Histogram().quantile(0.5) is None
    assert list(Histogram().bars()) == []


def test_a_histogram_takes_a_clock_that_stands_still() -> None:
    histogram = Histogram()
    histogram.add(0.0)

    assert (histogram.quantile(0.5), histogram.count) == (0.0, 1)
