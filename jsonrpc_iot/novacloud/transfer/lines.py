"""The lines of an export, one JSON object each; `kind` says what it is.

A device comes before what belongs to it. An export begins with `nova-export` and ends with `end`,
so that one that was cut off is known; a file that people have made needs neither.
"""

from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta, Struct

from ..messages import Timestamp
from ..platform.management_base import Key, Name, Tags, Unit
from ..store.registry import SensorType
from ..store.telemetry_log import Downsample

VERSION = 1
LONGEST_LINE = 1 << 22
"""Bytes; an export's are a sixth of that, unless a value is long."""

Hash: TypeAlias = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", min_length=64, max_length=64)]
Delay: TypeAlias = Annotated[int, Meta(ge=-(1 << 62), le=1 << 62)]
PointRow: TypeAlias = tuple[Timestamp, Delay, Any]
"""The timestamp, how many microseconds after it the value came, and the value."""


class _Line(
    Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    tag_field="kind",
):
    """One line."""


class Header(_Line, frozen=True, tag="nova-export"):
    """The first line: the version of the format."""

    version: int


class DeviceLine(_Line, frozen=True, tag="device"):
    """A device. The hash is the SHA-256 of its key, in hex; `old_key_hash` holds for a time."""

    device_id: str
    name: Name
    key_hash: Hash
    enabled: bool = True
    created: float | None = None
    last_seen: float | None = None
    tags: Tags = []
    old_key_hash: Hash | None = None
    old_key_until: float | None = None


class SensorLine(_Line, frozen=True, tag="sensor"):
    """A sensor of a device."""

    device_id: str
    value_key: Key
    type: SensorType
    unit: Unit | None = None


class ActuatorLine(_Line, frozen=True, tag="actuator"):
    """An actuator of a device."""

    device_id: str
    command_key: Key
    type: SensorType | None = None


class ValuesLine(_Line, frozen=True, tag="values"):
    """Some values of a sensor."""

    device_id: str
    value_key: str
    points: Annotated[list[PointRow], Meta(max_length=10_000)]


class RetentionLine(_Line, frozen=True, tag="retention"):
    """A rule: how long values are kept."""

    days: Annotated[float, Meta(gt=0, le=36_525)]
    device_id: str | None = None
    value_key: Key | None = None
    downsample: Downsample | None = None


class End(_Line, frozen=True, tag="end"):
    """The last line: how many lines are before it, the first one included."""

    lines: int


Line: TypeAlias = Header | DeviceLine | SensorLine | ActuatorLine | ValuesLine | RetentionLine | End

encode = msgspec.json.encode
decode = msgspec.json.Decoder(Line).decode
