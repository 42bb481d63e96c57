"""Units of DataPoints: what a Tuya module and its MCU tell each other about a device.

A unit is id (1 byte), type (1), length (2, big-endian) and value; several may follow one another in
the data of a frame. Source: Tuya's document "Serial Communication Protocol". Which id means what is
the device's own affair.
"""

import struct
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import NamedTuple, TypeAlias

from msgspec import Struct
from msgspec.structs import force_setattr

from jsonrpc_iot.errors import MalformedFrame

UNIT_OVERHEAD = 4
"""Bytes of a unit besides its value."""

_HEADER = struct.Struct(">BBH")
_BITMAP_SIZES = (1, 2, 4)

Value: TypeAlias = bytes | bool | int | str


class DataPointType(IntEnum):
    """What kind of value a unit holds."""

    RAW = 0
    """Any bytes: `bytes`."""
    BOOL = 1
    """One byte, 0 or 1: `bool`."""
    VALUE = 2
    """Four bytes, big-endian, signed: `int`."""
    STRING = 3
    """UTF-8: `str`."""
    ENUM = 4
    """One byte: `int`."""
    BITMAP = 5
    """One, two or four bytes, big-endian, without a sign: `int`."""


_PYTHON_TYPES: dict[DataPointType, type[Value]] = {
    DataPointType.RAW: bytes,
    DataPointType.BOOL: bool,
    DataPointType.VALUE: int,
    DataPointType.STRING: str,
    DataPointType.ENUM: int,
    DataPointType.BITMAP: int,
}


class DataPoint(Struct, frozen=True):
    """One unit.

    Args:
        id: which DataPoint, 0 to 255.
        type: what kind of value it holds.
        value: of the Python type that goes with `type`.
        size: bytes of a bitmap, 1, 2 or 4; 0 for the least that hold it. What was read keeps the
            size that it had. Of other types the value says it: it is 0.

    Raises:
        ValueError: one of them is of a wrong type or out of its range.
    """

    id: int
    type: DataPointType
    value: Value
    size: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.id <= 0xFF:
            raise ValueError(f"DataPoint id {self.id} is not in 0 to 255")
        try:
            type_ = DataPointType(self.type)
        except ValueError:
            raise self._wrong(f"there is no type {self.type}") from None
        force_setattr(self, "type", type_)
        if type(self.value) is not (python := _PYTHON_TYPES[type_]):
            found = type(self.value).__name__
            raise self._wrong(f"{type_.name} takes {python.__name__}, not {found}")
        if type_ is DataPointType.BITMAP:
            force_setattr(self, "size", self.size or self._least_size())
            if self.size not in _BITMAP_SIZES:
                raise self._wrong(f"a bitmap has 1, 2 or 4 bytes, not {self.size}")
        elif self.size:
            raise self._wrong(f"size is for a BITMAP, not for {type_.name}")
        _pack(self)

    def _least_size(self) -> int:
        assert isinstance(self.value, int)
        return next((size for size in _BITMAP_SIZES if self.value < 1 << 8 * size), 4)

    def _wrong(self, why: str) -> ValueError:
        return ValueError(f"DataPoint {self.id}: {why}")


def _pack(point: DataPoint) -> bytes:
    """The bytes of its value."""
    match point.value:
        case bytes(value):
            packed = value
        case str(text):
            packed = text.encode()
        case bool(truth):
            packed = bytes((truth,))
        case number:
            size, signed = _number_form(point)
            try:
                packed = number.to_bytes(size, "big", signed=signed)
            except OverflowError:
                bits = f"{size} bytes" + (" with a sign" if signed else "")
                raise ValueError(
                    f"DataPoint {point.id}: {number} does not fit {bits} of {point.type.name}"
                ) from None
    if len(packed) > 0xFFFF:
        raise ValueError(f"DataPoint {point.id}: {len(packed)} bytes; a unit holds up to 65535")
    return packed


def _number_form(point: DataPoint) -> tuple[int, bool]:
    """Its bytes, and whether one of the bits is a sign."""
    if point.type is DataPointType.VALUE:
        return 4, True
    return point.size or 1, False


def encode_datapoints(points: Iterable[DataPoint]) -> bytes:
    """Put units one after the other, as a frame carries them."""
    return b"".join(Unit(point.id, point.type, _pack(point)).encode() for point in points)


def decode_datapoints(data: bytes) -> list[DataPoint]:
    """Read all units.

    Args:
        data: of a frame that sets or reports DataPoints.

    Raises:
        MalformedFrame: a unit is cut off, of an unknown type, of a length that its type does not
            have, or holds a value that it cannot have; the text says which.
    """
    return [unit.decode() for unit in split_units(data)]


def read_datapoints(data: bytes) -> tuple[list[DataPoint], list[MalformedFrame]]:
    """Read the units that make sense, and find out what is wrong with the others.

    Args:
        data: of a frame that sets or reports DataPoints.
    """
    points: list[DataPoint] = []
    problems: list[MalformedFrame] = []
    units = split_units(data)
    while True:
        try:
            points.append(next(units).decode())
        except StopIteration:
            return points, problems
        except MalformedFrame as problem:
            problems.append(problem)


class Unit(NamedTuple):
    """A unit as it stands in a frame, of a type and value that may be wrong.

    Args:
        id: which DataPoint.
        type: of `DataPointType` or not.
        data: the value's bytes.
    """

    id: int
    type: int
    data: bytes

    def encode(self) -> bytes:
        """As it stands in a frame."""
        return _HEADER.pack(self.id, self.type, len(self.data)) + self.data

    def decode(self) -> DataPoint:
        """Read it; raises `MalformedFrame` where its type and value make no DataPoint."""
        return _unpack(*self)


def split_units(data: bytes) -> Iterator[Unit]:
    """Find the units one after the other.

    Args:
        data: of a frame that sets or reports DataPoints.

    Raises:
        MalformedFrame: the last one is cut off; those before it were found.
    """
    at = 0
    while at < len(data):
        start = at + UNIT_OVERHEAD
        if start > len(data):
            raise MalformedFrame(f"a unit of {len(data) - at} bytes at byte {at}: it is cut off")
        id, type_, length = _HEADER.unpack_from(data, at)
        at = start + length
        if at > len(data):
            raise MalformedFrame(
                f"DataPoint {id}: cut off, {len(data) - start} of {length} bytes are here"
            )
        yield Unit(id, type_, data[start:at])


def _unpack(id: int, type_: int, packed: bytes) -> DataPoint:
    size = len(packed)
    value: Value
    match type_:
        case DataPointType.RAW:
            value = packed
        case DataPointType.STRING:
            try:
                value = packed.decode()
            except UnicodeDecodeError as error:
                raise MalformedFrame(f"DataPoint {id}: a string that is no UTF-8") from error
        case DataPointType.BOOL if size == 1 and packed[0] <= 1:
            value = packed == b"\1"
        case DataPointType.VALUE if size == 4:
            value = int.from_bytes(packed, "big", signed=True)
        case DataPointType.ENUM if size == 1:
            value = packed[0]
        case DataPointType.BITMAP if size in _BITMAP_SIZES:
            return DataPoint(id, DataPointType.BITMAP, int.from_bytes(packed, "big"), size)
        case _:
            raise MalformedFrame(_why_odd(id, type_, packed))
    return DataPoint(id, DataPointType(type_), value)


def _why_odd(id: int, type_: int, packed: bytes) -> str:
    try:
        name = DataPointType(type_).name
    except ValueError:
        return f"DataPoint {id}: unknown type {type_}"
    if type_ == DataPointType.BOOL and len(packed) == 1:
        return f"DataPoint {id}: BOOL is {packed[0]}, neither 0 nor 1"
    return f"DataPoint {id}: {name} of {len(packed)} bytes"
