"""What devices report, and the contract of what keeps it: `TelemetryLog`.

A page begins after the last row of the one before, however many rows have come or gone meanwhile.
"""

import abc
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Annotated, Any, TypeAlias

from msgspec import Meta, Struct

from .query import Order, Point, Query

AHEAD_SECONDS = 300.0
"""A timestamp this much later than its arrival is flagged, and no latest value until its time."""

Place: TypeAlias = tuple[float, int, int]
"""Where a value is among others: its timestamp, its delay in microseconds, its sensor."""


class Report(Struct):
    """One message of a device, to be stored.

    Args:
        device_id: whose it is.
        timestamp: when the device says it was.
        received: when it came.
        values: by sensor id. Integers have 64 bits.
        status: of a status message. A member replaces what is not newer; the future is the arrival.
        outbox_id: the outbox that `seq` counts in; empty without acknowledgement.
        seq: what is not above the highest stored one of that outbox is stored already.
    """

    device_id: str
    timestamp: float
    received: float
    values: Sequence[tuple[int, Any]] = ()
    status: dict[str, Any] | None = None
    outbox_id: str = ""
    seq: int = 0


class StatusReport(Struct, frozen=True):
    """What a device said of itself."""

    payload: dict[str, Any]
    timestamp: float


class Latest(Struct, frozen=True):
    """The newest value of a sensor, and whose that is."""

    device_id: str
    value_key: str
    point: Point


class Downsample(Struct, frozen=True):
    """What becomes of old values: one mean for each interval; the last one if none is a number.

    Args:
        interval: seconds.
        after_days: how old values become before that.
    """

    interval: Annotated[float, Meta(ge=1)]
    after_days: Annotated[float, Meta(gt=0)]


class Retention(Struct, frozen=True):
    """How long values are kept, by their timestamps.

    Of several rules for a sensor that counts which names its device and key, then that of its
    device, then that of its key, then that of all.

    Args:
        days: how long.
        device_id: for this device alone.
        value_key: for sensors of this key alone.
        downsample: what becomes of them before that.
    """

    days: float
    device_id: str | None = None
    value_key: str | None = None
    downsample: Downsample | None = None


class TelemetryLog(abc.ABC):
    """Values and statuses, and how long they are kept.

    A method that changes something returns once the change is durable; either all of it is, or
    nothing, and then it raises `StoreFailed`.
    """

    @property
    def lost_groups(self) -> int:
        """Groups of values, each from one commit, in which something was lost to damaged pages."""
        return 0

    @abc.abstractmethod
    async def write(self, reports: Sequence[Report]) -> list[bool]:
        """Store reports, all in one transaction.

        What belongs to a device or sensor that is gone is left out.

        Returns:
            For each report whether it was new: `False` for a `seq` that is stored already.
        """

    @abc.abstractmethod
    def points(self, query: Query) -> AsyncGenerator[Point, None]:
        """Values of one sensor, or one point for each interval that has any, as they are read.

        `mean`, `sum`, `min` and `max` look at numbers only; booleans are 0 and 1. The timestamp of
        a group is its beginning; that of a group of all values is `start`, or that of the first
        value. Whoever takes no more points closes the generator, and the reading ends.
        """

    async def query(self, query: Query) -> list[Point]:
        """All of `points`."""
        async with aclosing(self.points(query)) as points:
            return [point async for point in points]

    @abc.abstractmethod
    async def value_page(
        self,
        sensors: Sequence[int],
        after: Place | None,
        limit: int,
        *,
        start: float | None = None,
        end: float | None = None,
        order: Order = "asc",
    ) -> list[tuple[Place, Any]]:
        """Values of some sensors by time, from behind a place; few where they are large.

        Args:
            sensors: their ids.
            after: where the page before has ended.
            limit: values at most; an empty list says that there are no more.
            start: the earliest timestamp.
            end: up to here, exclusive.
            order: `desc` for the latest first.
        """

    @abc.abstractmethod
    async def latest(self, device_id: str, now: float) -> dict[str, Point]:
        """The newest value of each sensor that has any.

        A value counts once its timestamp is not more than `AHEAD_SECONDS` after `now`; where a
        sensor has no others, its newest does. Of equal timestamps the last to come counts.
        """

    @abc.abstractmethod
    async def latest_page(
        self,
        after: tuple[str, str] | None,
        limit: int,
        now: float,
        *,
        tag: str | None = None,
        value_keys: Sequence[str] | None = None,
    ) -> list[Latest]:
        """What `latest` tells, of many devices; few where values are large.

        Args:
            after: device and key of the last one on the page before; that is their order.
            limit: values at most; an empty list says that there are no more.
            now: the time, in Unix seconds.
            tag: that the devices have.
            value_keys: of sensors with these keys alone.
        """

    @abc.abstractmethod
    async def status(self, device_id: str) -> StatusReport | None:
        """The latest of each member of its statuses, and the latest time, if there is any."""

    @abc.abstractmethod
    async def status_history(
        self, device_id: str, start: float | None, end: float | None, limit: int
    ) -> list[StatusReport]:
        """Statuses as they came, from `start` on and before `end`, the latest first."""

    @abc.abstractmethod
    async def delete_values(
        self, sensors: Sequence[int], start: float | None = None, end: float | None = None
    ) -> None:
        """Delete values from `start` on up to `end`, exclusive, a few at a time.

        Unlike other changes it may have been done in part when it fails, or is cancelled.
        """

    @abc.abstractmethod
    async def set_retention(self, rule: Retention) -> None:
        """Keep values as long as a rule says; it replaces that for the same device and key."""

    @abc.abstractmethod
    async def retention(self) -> list[Retention]:
        """All rules."""

    @abc.abstractmethod
    async def clear_retention(self, device_id: str | None, value_key: str | None) -> None:
        """Forget the rule for a device and key, if there is one."""
