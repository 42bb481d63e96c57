"""DataPoint units: what is read back, what is refused, and what makes no sense."""

from base64 import b64decode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsonrpc_iot import MalformedFrame
from jsonrpc_iot.protocol.tuya.datapoints import (
    UNIT_OVERHEAD,
    DataPoint,
    DataPointType,
    decode_datapoints,
    encode_datapoints,
    read_datapoints,
)
from jsonrpc_iot.protocol.tuya.frame import Command, FrameDecoder
from tests.vectors import Vector, read_vectors

RAW, BOOL, VALUE, STRING, ENUM, BITMAP = DataPointType

VECTORS = read_vectors("dp")


def named(point: dict[str, Any]) -> DataPoint:
    """A DataPoint as a vector has it."""
    type_ = DataPointType[point["type"].upper()]
    value = b64decode(point["value"]) if type_ is RAW else point["value"]
    return DataPoint(point["id"], type_, value, point.get("size", 0))


POINTS = st.one_of(
    st.builds(DataPoint, st.integers(0, 255), st.just(RAW), st.binary(max_size=300)),
    st.builds(DataPoint, st.integers(0, 255), st.just(BOOL), st.booleans()),
    st.builds(DataPoint, st.integers(0, 255), st.just(VALUE), st.integers(-(2**31), 2**31 - 1)),
    st.builds(DataPoint, st.integers(0, 255), st.just(STRING), st.text(max_size=80)),
    st.builds(DataPoint, st.integers(0, 255), st.just(ENUM), st.integers(0, 255)),
    st.builds(DataPoint, st.integers(0, 255), st.just(BITMAP), st.integers(0, 2**32 - 1)),
    st.builds(
        DataPoint,
        st.integers(0, 255),
        st.just(BITMAP),
        st.integers(0, 255),
        st.sampled_from([1, 2, 4]),
    ),
)


def captured() -> list[bytes]:
    """The DataPoints of all good captures."""
    stream = b"".join(
        bytes.fromhex(vector["hex"])
        for vector in read_vectors("tuya")
        if "source" in vector and not vector["dropped"]
    )
    about = {Command.SET_DATAPOINTS, Command.REPORT_DATAPOINTS, Command.SYNC_REPORT}
    return [frame.data for frame in FrameDecoder().feed(stream, 0) if frame.command in about]


@pytest.mark.parametrize("vector", [pytest.param(each, id=each["name"]) for each in VECTORS])
def test_vectors(vector: Vector) -> None:
    [frame] = FrameDecoder().feed(bytes.fromhex(vector["hex"]), 0)
    expected = [named(each) for each in vector["units"]]
    points, problems = read_datapoints(frame.data)
    assert (points, len(problems)) == (expected, vector["skipped"])
    assert [type(each.value) for each in points] == [type(each.value) for each in expected]
    assert all(isinstance(each.type, DataPointType) for each in points)
    messages = [each.value for each in points if each.id == 232 and each.type is STRING]
    assert messages == vector.get("messages", [])
    if not problems:
        assert encode_datapoints(iter(points)) == frame.data
        assert decode_datapoints(frame.data) == points


def test_captures_come_back() -> None:
    units = captured()
    assert len(units) >= 10
    for data in units:
        points = decode_datapoints(data)
        assert points
        assert encode_datapoints(points) == data


@given(st.lists(POINTS, max_size=5))
def test_units_come_back(points: list[DataPoint]) -> None:
    assert decode_datapoints(encode_datapoints(points)) == points


@given(st.lists(POINTS, min_size=1, max_size=3), st.data())
def test_a_unit_that_is_cut_off(points: list[DataPoint], data: st.DataObject) -> None:
    wire = encode_datapoints(points)
    last = len(encode_datapoints(points[-1:]))
    cut = data.draw(st.integers(1, last - 1))
    with pytest.raises(MalformedFrame, match="cut off"):
        decode_datapoints(wire[:-cut])


@given(st.binary(max_size=40) | st.lists(st.integers(0, 5), max_size=30).map(bytes))
def test_any_bytes_are_units_or_malformed(data: bytes) -> None:
    try:
        points = decode_datapoints(data)
    except MalformedFrame:
        return
    assert encode_datapoints(points) == data


@pytest.mark.parametrize(
    ("unit", "text"),
    [
        ("07 06 0000", "DataPoint 7: unknown type 6"),
        ("07 ff 0001 00", "unknown type 255"),
        ("07 01 0000", "BOOL of 0 bytes"),
        ("07 01 0002 0001", "BOOL of 2 bytes"),
        ("07 01 0001 02", "BOOL is 2"),
        ("07 02 0001 01", "VALUE of 1 bytes"),
        ("07 02 0008 0000000000000001", "VALUE of 8 bytes"),
        ("07 03 0001 ff", "DataPoint 7: a string that is no UTF-8"),
        ("07 04 0002 0001", "ENUM of 2 bytes"),
        ("07 05 0003 000001", "BITMAP of 3 bytes"),
        ("07 05 0000", "BITMAP of 0 bytes"),
        ("07", "1 bytes at byte 0"),
        ("01 01 0001 01 07 01", "2 bytes at byte 5"),
        ("07 00 ffff 0102", "2 of 65535 bytes"),
    ],
)
def test_units_that_make_no_sense(unit: str, text: str) -> None:
    with pytest.raises(MalformedFrame, match=text):
        decode_datapoints(bytes.fromhex(unit))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((256, BOOL, True), "id 256"),
        ((-1, BOOL, True), "id -1"),
        ((1, 6, b""), "DataPoint 1: there is no type 6"),
        ((1, RAW, "text"), "RAW takes bytes, not str"),
        ((1, BOOL, 1), "BOOL takes bool, not int"),
        ((1, VALUE, True), "VALUE takes int, not bool"),
        ((1, VALUE, 2**31), "does not fit 4 bytes with a sign of VALUE"),
        ((1, VALUE, -(2**31) - 1), "does not fit"),
        ((1, VALUE, 1, 4), "size is for a BITMAP, not for VALUE"),
        ((1, STRING, b"bytes"), "STRING takes str, not bytes"),
        ((1, STRING, "\ud800"), "surrogates"),
        ((1, STRING, "ü" * 32768), "65536 bytes"),
        ((1, RAW, bytes(65536)), "65536 bytes"),
        ((1, ENUM, 256), "does not fit 1 bytes of ENUM"),
        ((1, ENUM, -1), "does not fit"),
        ((1, BITMAP, -1), "does not fit"),
        ((1, BITMAP, 2**32), "does not fit 4 bytes of BITMAP"),
        ((1, BITMAP, 256, 1), "does not fit 1 bytes of BITMAP"),
        ((1, BITMAP, 1, 3), "not 3"),
    ],
)
def test_what_no_unit_holds(arguments: tuple[Any, ...], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        DataPoint(*arguments)


def test_a_type_may_be_its_number() -> None:
    number: Any = 3
    assert DataPoint(1, number, "a").type is STRING


def test_the_overhead() -> None:
    assert len(encode_datapoints([DataPoint(1, STRING, "abc")])) == UNIT_OVERHEAD + 3
