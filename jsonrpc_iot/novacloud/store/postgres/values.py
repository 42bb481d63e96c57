"""A value in its three columns: an integer, another number, or JSON."""

from typing import Any

import asyncpg
import msgspec

from ..query import Point
from ..telemetry_log import AHEAD_SECONDS

MICROSECONDS = 1_000_000
NODE_BITS = 10
COLUMNS = "timestamp, received, whole, number, content"
SIZE = "coalesce(octet_length(content), 8)"
"""About how many bytes a value takes; a long one is not read for that."""

_FAR = (1 << 53) - 1  # microseconds that fit beside a node's number
_FINITE = float("inf")


def to_sql(value: Any) -> tuple[int | None, float | None, str | None]:
    """The columns of a value.

    Raises:
        ValueError: it is no value: not finite, larger than 64 bits, or not to be encoded.
    """
    kind = type(value)
    if kind is float:
        if not -_FINITE < value < _FINITE:
            raise ValueError("it is not finite")
        return None, value, None
    if kind is int:
        if not -(1 << 63) <= value < 1 << 63:
            raise ValueError("it has more than 64 bits")
        return value, None, None
    return None, None, msgspec.json.encode(value).decode()


def from_sql(whole: int | None, number: float | None, content: str | None) -> Any:
    """The value of three columns."""
    if whole is not None:
        return whole
    return number if number is not None else msgspec.json.decode(content or "null")


def point(row: asyncpg.Record) -> Point:
    """A value as callers see it."""
    timestamp, received, whole, number, content = row[:5]
    value = from_sql(whole, number, content)
    if timestamp - (received >> NODE_BITS) / MICROSECONDS > AHEAD_SECONDS:
        return Point(timestamp, value, True)
    return Point(timestamp, value)


class Arrivals:
    """Numbers for what arrives, each higher than the last one and no other node's.

    Attributes:
        node: the number of this node, 0 to 1023.
    """

    def __init__(self) -> None:
        self.node = 0
        self._last = 0

    def number(self, received: float) -> int:
        """The number of what came at a time, in Unix seconds."""
        now = min(max(int(received * MICROSECONDS), 0), _FAR)
        # A clock that is set back far is another time of day, and not load.
        if self._last - now < AHEAD_SECONDS * MICROSECONDS:
            now = max(self._last + 1, now)
        self._last = now
        return now << NODE_BITS | self.node
