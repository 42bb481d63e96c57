"""Which values are wanted of a store, and what is told of each."""

from typing import Any, Literal, TypeAlias

from msgspec import Struct

Aggregate: TypeAlias = Literal["mean", "sum", "min", "max", "first", "last", "count"]
Order: TypeAlias = Literal["asc", "desc"]


class Point(Struct, frozen=True, omit_defaults=True):
    """A value of a sensor.

    Args:
        timestamp: when the device says it was, in Unix seconds.
        value: what it was.
        flagged: that its time was far ahead when it came.
        value_key: of which sensor, where several were asked for.
    """

    timestamp: float
    value: Any
    flagged: bool = False
    value_key: str | None = None


class Query(Struct, frozen=True, kw_only=True):
    """Which values are wanted.

    Args:
        sensor: its id.
        start: the earliest timestamp.
        end: up to here, exclusive.
        limit: how many at most.
        order: by timestamp; with `desc` the latest come first.
        interval: seconds of one group; groups begin at multiples of it.
        offset: seconds east of UTC by whose clock they do.
        aggregate: what is told of a group; with an interval alone it is the mean, and without an
            interval all the values are one group.
        beside: how many such queries share the memory for what is read ahead.
    """

    sensor: int
    start: float | None = None
    end: float | None = None
    limit: int = 1000
    order: Order = "asc"
    interval: float | None = None
    offset: float = 0.0
    aggregate: Aggregate | None = None
    beside: int = 1
