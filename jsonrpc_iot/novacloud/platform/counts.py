"""What a platform counts; `platform.stats` shows it."""

from bisect import bisect_left
from collections.abc import Callable
from copy import copy
from heapq import nlargest
from typing import TypeVar

from msgspec import Struct, field
from msgspec.structs import asdict

R = TypeVar("R")

_REMEMBERED_DEVICES = 20_000
_REMEMBERED_KEYS = 8

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds by which durations are counted."""


class Ignored(Struct):
    """Values of one device that were not stored.

    Args:
        unknown: for keys that have no sensor.
        wrong: of another type than the sensor's, or that no sensor can have.
        keys: the first of those keys.
    """

    unknown: int = 0
    wrong: int = 0
    keys: list[str] = []

    def is_new(self, key: str) -> bool:
        """Note a key; says whether it is one more that is remembered."""
        if key in self.keys or len(self.keys) >= _REMEMBERED_KEYS:
            return False
        self.keys.append(key)
        return True

    def with_those(self, others: "Ignored") -> "Ignored":
        """These and those that another node has not stored."""
        keys = [*dict.fromkeys([*self.keys, *others.keys])][:_REMEMBERED_KEYS]
        return Ignored(self.unknown + others.unknown, self.wrong + others.wrong, keys)


class Refused(Struct, frozen=True):
    """When a device was not let in, in Unix seconds, from where, and why."""

    at: float
    address: str
    reason: str


class Problem(Struct, frozen=True):
    """What was wrong with a line of a device, and when, in Unix seconds."""

    at: float
    message: str


class DeviceRecord(Struct, omit_defaults=True):
    """What is known of a device since the platform began.

    Args:
        messages: that made sense.
        bytes: of all lines.
        malformed: lines that made no sense.
        not_finite: lines with NaN or an infinity, whose other values were taken.
        unknown_values: without a sensor.
        wrong_values: of another type than the sensor's.
        duplicates: messages that were stored already.
        lost: messages that the store refused.
        dropped_responses: late, or for a command that nobody sent.
        quick_heartbeats: that came less than 30 s after the last one.
        slowed: times that it sent more than it may, and was read more slowly.
        failed_auths: attempts with this id that were refused.
        last_error: the last thing that was wrong.
        refused: the last attempt that was refused.
    """

    messages: int = 0
    bytes: int = 0
    malformed: int = 0
    not_finite: int = 0
    unknown_values: int = 0
    wrong_values: int = 0
    duplicates: int = 0
    lost: int = 0
    dropped_responses: int = 0
    quick_heartbeats: int = 0
    slowed: int = 0
    failed_auths: int = 0
    last_error: Problem | None = None
    refused: Refused | None = None

    def with_that(self, other: "DeviceRecord") -> "DeviceRecord":
        """This and what another node knows of the same device."""
        both = copy(self)
        for name in self.__struct_fields__:
            mine, its = getattr(self, name), getattr(other, name)
            if isinstance(mine, int):
                setattr(both, name, mine + its)
            elif mine is None or (its is not None and its.at > mine.at):
                setattr(both, name, its)
        return both


class Heard(Struct, omit_defaults=True):
    """What a node knows of a device and no record keeps.

    Args:
        last_seen: when its last message came, in Unix seconds.
        record: what was counted of it.
    """

    last_seen: float | None = None
    record: DeviceRecord | None = None


class Durations(Struct):
    """How long something took.

    Args:
        counts: how often it took at most so many of `BOUNDS`, but more than the one before; the
            last for all that took longer.
        seconds: in all.
    """

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one more."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds


class Counts(Struct):
    """Numbers since the platform began.

    Args:
        connections: that were accepted.
        failed_auths: messages that authenticated nobody.
        messages: of authenticated devices.
        malformed: lines that made no sense.
        values: that were stored.
        unknown_values: without a sensor.
        wrong_values: of another type than the sensor's.
        duplicates: messages that were stored already.
        lost: messages that the store refused.
        responses: to commands.
        dropped_responses: forged, late, or for a command that nobody sent.
        quick_heartbeats: that came less than 30 s after the last one.
        slowed: times that a device sent more than it may, and was read more slowly.
        commits: of what devices report, as they see it.
        refused: the last attempt to authenticate by nobody that is known.
        ignored: the values that were not stored, by device.
        devices: what is known of each.
    """

    connections: int = 0
    failed_auths: int = 0
    messages: int = 0
    malformed: int = 0
    values: int = 0
    unknown_values: int = 0
    wrong_values: int = 0
    duplicates: int = 0
    lost: int = 0
    responses: int = 0
    dropped_responses: int = 0
    quick_heartbeats: int = 0
    slowed: int = 0
    commits: Durations = field(default_factory=Durations)
    refused: Refused | None = None
    ignored: dict[str, Ignored] = field(default_factory=dict)
    devices: dict[str, DeviceRecord] = field(default_factory=dict)

    def ignored_of(self, device_id: str) -> Ignored:
        """The record of a device; the oldest of too many is forgotten."""
        return _of(self.ignored, device_id, Ignored)

    def device(self, device_id: str) -> DeviceRecord:
        """The record of a device; the oldest of too many is forgotten."""
        return _of(self.devices, device_id, DeviceRecord)

    def busiest(self, count: int) -> dict[str, int]:
        """The bytes of those devices that have sent most, most first."""
        most = nlargest(count, self.devices.items(), lambda item: item[1].bytes)
        return {device_id: record.bytes for device_id, record in most}

    @property
    def totals(self) -> dict[str, int]:
        """What is counted of all devices together."""
        return {name: value for name, value in asdict(self).items() if isinstance(value, int)}


def _of(records: dict[str, R], device_id: str, new: Callable[[], R]) -> R:
    if device_id not in records:
        if len(records) >= _REMEMBERED_DEVICES:
            del records[next(iter(records))]
        records[device_id] = new()
    return records[device_id]
