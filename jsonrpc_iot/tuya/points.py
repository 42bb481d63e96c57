"""What the DataPoints of one device are called and may be: the table that its maker has.

Source: Tuya's document "Serial Communication Protocol", types of DataPoints.
"""

import re
from collections.abc import Mapping, Sequence
from keyword import iskeyword
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct
from msgspec.structs import force_setattr, replace

from ..dispatch.declare.entity import Entity
from ..errors import InvalidParams, MalformedFrame, UsageError
from ..protocol.tuya.datapoints import DataPoint, DataPointType, Value

Kind: TypeAlias = Literal["bool", "value", "string", "enum", "bitmap", "raw"]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_TAKEN = ("get", "set", "rpc")
_TYPES: dict[Kind, DataPointType] = {
    "bool": DataPointType.BOOL,
    "value": DataPointType.VALUE,
    "string": DataPointType.STRING,
    "enum": DataPointType.ENUM,
    "bitmap": DataPointType.BITMAP,
    "raw": DataPointType.RAW,
}
_KINDS: dict[DataPointType, Kind] = {type_: kind for kind, type_ in _TYPES.items()}
_RANGES: dict[str, tuple[int, int]] = {
    "value": (-(1 << 31), (1 << 31) - 1),
    "enum": (0, 0xFF),
    "bitmap": (0, (1 << 32) - 1),
}


class Point(Struct, frozen=True, forbid_unknown_fields=True):
    """One DataPoint of a device.

    Args:
        name: of its method and event, and of the value: letters, digits and underscores.
        kind: `bool`, `value` (an integer), `string`, `enum`, `bitmap` (an integer) or `raw`
            (bytes); by default what the device reports.
        min: the least that a `value` may be.
        max: the most.
        values: the names of an `enum`, from 0 on; without them it is a number.
        read_only: the device reports it, and takes none.
        unit: of a `value`, to be shown.
        entity: what it is in a smart home, where that does not follow from the rest; see Home
            Assistant.

    Raises:
        UsageError: they make no sense together.
    """

    name: str
    kind: Kind | None = None
    min: int | None = None
    max: int | None = None
    values: Sequence[str] = ()
    read_only: bool = False
    unit: str | None = None
    entity: Entity | None = None

    def __post_init__(self) -> None:
        problem = ""
        if self.name in _TAKEN:
            problem = "there is a method of that name"
        elif not _NAME.fullmatch(self.name):
            problem = "it takes up to 64 letters, digits and _, a letter first"
        elif iskeyword(self.name):
            problem = "Python has that word itself"
        if problem:
            raise UsageError(f"{self.name!r} cannot be the name of a DataPoint: {problem}")
        is_number = self.min is not None or self.max is not None
        implied: Kind | None = "value" if is_number else "enum" if self.values else self.kind
        if self.kind is None:
            force_setattr(self, "kind", implied)
        if self.kind is not None and self.kind not in _TYPES:
            raise UsageError(f"{self.name}: kind is one of {', '.join(_TYPES)}, not {self.kind!r}")
        if self.kind != implied or (is_number and self.values):
            raise UsageError(f"{self.name}: min and max are for a value, values for an enum")
        force_setattr(self, "values", tuple(self.values))
        if len(set(self.values)) < len(self.values) or len(self.values) > 256:
            raise UsageError(f"{self.name}: up to 256 different values")
        if self.kind == "value":
            low, high = self.range
            least, most = _RANGES["value"]
            if not least <= low <= high <= most:
                raise UsageError(f"{self.name}: there is nothing from {low} to {high} in 32 bits")

    @property
    def range(self) -> tuple[int, int]:
        """The least and the most that a number may be."""
        low, high = _RANGES["value" if self.kind is None else self.kind]
        return (low if self.min is None else self.min, high if self.max is None else self.max)

    @property
    def type(self) -> Any:
        """The type of its values, with the range in its schema, for a description."""
        match self.kind:
            case "bool":
                return bool
            case "string":
                return str
            case "raw":
                return bytes
            case "enum" if self.values:
                return Literal[tuple(self.values)]
            case None:
                return bool | int | str
        low, high = self.range
        schema: dict[str, Any] = {"minimum": low, "maximum": high}
        if self.unit is not None:
            schema["x-unit"] = self.unit
        return Annotated[int, Meta(extra_json_schema=schema)]

    def as_reported(self, kind: DataPointType) -> "Point":
        """The same, of the kind that the device says it is."""
        return replace(self, kind=_KINDS[kind])

    def encode(self, id: int, value: object) -> DataPoint:
        """A value, as the device takes it.

        Args:
            id: of the DataPoint.
            value: of the right type already, unless the kind is not known.

        Raises:
            InvalidParams: it is out of its range; the data has that as `minimum` and `maximum`. Or
                it is of a wrong type, or too long.
        """
        kind = _kind_of(value) if self.kind is None else self.kind
        if kind in _RANGES and isinstance(value, int):
            low, high = self.range if self.kind else _RANGES["value"]
            if not low <= value <= high:
                raise self._wrong(f"Expected {low} to {high}", minimum=low, maximum=high)
        packed = self.values.index(value) if self.values and isinstance(value, str) else value
        try:
            return DataPoint(id, _TYPES[kind], packed)  # type: ignore[arg-type]  # it checks that
        except ValueError as error:
            raise self._wrong(str(error)) from None

    def decode(self, point: DataPoint) -> Value:
        """What a report says.

        Raises:
            MalformedFrame: that is not what the table says.
        """
        if self.kind is not None and point.type is not _TYPES[self.kind]:
            raise MalformedFrame(
                f"DataPoint {point.id} is of type {point.type.name}, but {self.name!r} is "
                f"{self.kind} in the table"
            )
        if not self.values or not isinstance(point.value, int):
            return point.value
        if point.value >= len(self.values):
            raise MalformedFrame(f"DataPoint {point.id}: {self.name!r} has no value {point.value}")
        return self.values[point.value]

    def _wrong(self, message: str, **more: int) -> InvalidParams:
        return InvalidParams(data={"path": f"$.{self.name}", "message": message, **more})


def read_points(points: Mapping[Any, Any]) -> dict[int, Point]:
    """The table of a device.

    Args:
        points: names, or more about them, by the ids of the DataPoints.

    Raises:
        UsageError: there is none, an id is none, or two have one name.
    """
    if not points:
        raise UsageError("a Tuya device needs points: {1: 'switch'}")
    found: dict[int, Point] = {}
    for id, each in points.items():
        if not isinstance(id, int) or not 1 <= id <= 0xFF:
            raise UsageError(f"{id!r} is no DataPoint: ids are 1 to 255")
        point = Point(each) if isinstance(each, str) else each
        if not isinstance(point, Point):
            raise UsageError(f"DataPoint {id}: {each!r} is neither a name nor a Point")
        if any(point.name == other.name for other in found.values()):
            raise UsageError(f"DataPoint {id}: {point.name!r} is the name of another one")
        found[id] = point
    return found


def _kind_of(value: object) -> Kind:
    """The kind of a value whose DataPoint the device has not reported yet."""
    if isinstance(value, bool):
        return "bool"
    return "value" if isinstance(value, int) else "string"
