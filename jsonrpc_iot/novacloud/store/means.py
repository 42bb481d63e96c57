"""What old values become, as a rule of retention says: one for all of an interval."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from .telemetry_log import Downsample, Retention

DAY_SECONDS = 86_400.0
EVER = 1e300
"""Later than any time; with a minus it is before all."""


class Thinning(Struct, frozen=True):
    """Values of a sensor that are to become means.

    Args:
        sensor: its id.
        interval: seconds of one mean.
        start: of the first one; what is older is done.
        end: of the last one.
    """

    sensor: int
    interval: float
    start: float
    end: float


def thinnings_of(
    sensors: Sequence[int],
    interval: float,
    after_days: float,
    upto: Mapping[int, float],
    now: float,
) -> Iterator[Thinning]:
    """What is old enough by a rule to become means; not each moment, but now and then.

    Args:
        sensors: those that the rule counts for.
        interval: the rule's; as `Downsample` has it.
        after_days: as well.
        upto: up to which timestamps the values of sensors are means.
        now: the time, in Unix seconds.
    """
    after = after_days * DAY_SECONDS
    end = math.floor((now - after) / interval) * interval
    pause = max(interval, after / 20)
    for sensor in sensors:
        start = upto.get(sensor, -EVER)
        if start > end:  # the clock was ahead; means are not changed by being looked at again
            start = -EVER
        if end - start >= pause:
            if start > -EVER:  # what became means of another interval is part of longer ones
                start = math.floor(start / interval) * interval
            yield Thinning(sensor, interval, start, end)


def read_rule(
    days: float, device: str, key: str, every: float | None, after: float | None
) -> Retention:
    """Make a rule of its columns, in which an empty text stands for all."""
    downsample = None if every is None or after is None else Downsample(every, after)
    return Retention(days, device or None, key or None, downsample)


def mean_of(values: Sequence[Any]) -> Any:
    """The mean of those that are numbers, the last value if none is.

    Args:
        values: in the order of time, at least one.
    """
    numbers = [value for value in values if type(value) in (int, float)]
    if not numbers:
        return values[-1]
    try:
        return math.fsum(numbers) / len(numbers)
    except OverflowError:  # the sum is too large for a number, the mean is not
        return math.fsum(number / len(numbers) for number in numbers)
