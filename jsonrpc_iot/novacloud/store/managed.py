"""What the management needs of a database besides what devices do: pages, histories, the audit.

A page begins after the last row of the one before, however many rows have come or gone meanwhile.
"""

import abc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from msgspec import Struct

from .query import Order, Point
from .store import (
    CommandRow,
    CommandStatus,
    DeviceRow,
    Sensor,
    SensorType,
    StatusReport,
    Store,
)

Place: TypeAlias = tuple[float, int, int]
"""Where a value is among others: its timestamp, its delay in microseconds, its sensor."""


class Target(Struct, frozen=True):
    """A device that a command may be for.

    Args:
        device_id: its id.
        enabled: whether it may connect.
        actuators: the types of those actuators that were asked for.
    """

    device_id: str
    enabled: bool
    actuators: Mapping[str, SensorType | None]


class Audit(Struct, frozen=True, kw_only=True):
    """A change that somebody made.

    Args:
        at: when, in Unix seconds.
        who: the principal's name.
        address: where the call came from.
        method: what was called.
        params: with what, without keys.
    """

    at: float
    who: str
    address: str
    method: str
    params: Any


class Latest(Struct, frozen=True):
    """The newest value of a sensor, and whose that is."""

    device_id: str
    value_key: str
    point: Point


class ManagedStore(Store):
    """A `Store` with all that a platform needs."""

    @property
    def lost_groups(self) -> int:
        """Groups of values, each from one commit, in which something was lost to damaged pages."""
        return 0

    @property
    def folder(self) -> Path | None:
        """Where on this machine's disks it is, if it is."""
        return None

    def sizes(self) -> Mapping[str, int]:
        """Bytes that it takes on this machine's disks: the `database`, and its `log`."""
        return {}

    @abc.abstractmethod
    async def device_count(self) -> int:
        """How many devices there are."""

    @abc.abstractmethod
    async def device_page(
        self,
        after: tuple[str, str] | None,
        limit: int,
        *,
        tag: str | None = None,
        name: str | None = None,
    ) -> list[DeviceRow]:
        """Devices by name and id, from behind the pair of these in `after`.

        Args:
            after: where the page before has ended.
            limit: rows at most.
            tag: that they have.
            name: a part of their names, in lower or upper case.
        """

    @abc.abstractmethod
    async def targets(
        self,
        command_keys: Sequence[str],
        *,
        tag: str | None = None,
        device_ids: Sequence[str] | None = None,
    ) -> list[Target]:
        """The devices of a tag, or of a list, or all."""

    @abc.abstractmethod
    async def update_sensor(
        self,
        device_id: str,
        value_key: str,
        *,
        type: SensorType | None = None,
        unit: str | None = None,
    ) -> Sensor:
        """Change what is given, and keep the values.

        Raises:
            UnknownKey: there is no such sensor.
        """

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
    async def latest_page(
        self,
        after: tuple[str, str] | None,
        limit: int,
        now: float,
        *,
        tag: str | None = None,
        value_keys: Sequence[str] | None = None,
    ) -> list[Latest]:
        """What `Store.latest` tells, of many devices; few where values are large.

        Args:
            after: device and key of the last one on the page before; that is their order.
            limit: values at most; an empty list says that there are no more.
            now: the time, in Unix seconds.
            tag: that the devices have.
            value_keys: of sensors with these keys alone.
        """

    @abc.abstractmethod
    async def status_history(
        self, device_id: str, start: float | None, end: float | None, limit: int
    ) -> list[StatusReport]:
        """Statuses as they came, from `start` on and before `end`, the latest first."""

    @abc.abstractmethod
    async def job_page(self, job_id: str, after: str | None, limit: int) -> list[CommandRow]:
        """The commands of a broadcast, by id, from behind the one in `after`."""

    @abc.abstractmethod
    async def job_states(self, job_id: str) -> list[tuple[str, CommandStatus]]:
        """The ids of a broadcast's commands, and where they are."""

    @abc.abstractmethod
    async def audit(self, row: Audit) -> None:
        """Note a change; the oldest of very many are forgotten."""

    @abc.abstractmethod
    async def audit_page(self, before: int | None, limit: int) -> list[tuple[int, Audit]]:
        """Changes, the newest first, each with its number; `before` is that of the last one."""
