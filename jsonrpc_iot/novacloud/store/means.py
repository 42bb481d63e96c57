"""What old values become: one for all of an interval."""

import math
from collections.abc import Sequence
from typing import Any


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
