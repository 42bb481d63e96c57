"""MessagePack put together byte by byte, in all forms of its specification, and read again.

Source: github.com/msgpack/msgpack, spec.md.
"""

import math
import struct
from collections.abc import Sequence
from contextlib import suppress

import msgspec
from hypothesis import strategies as st

_ARRAYS, _MAPS, _STRINGS = (0x90, 0xDC, 0xDD), (0x80, 0xDE, 0xDF), (0xDA, 0xDB)
_SIZES = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_EXTENSIONS = {0xC7: 1, 0xC8: 2, 0xC9: 4}
_FIXED_EXTENSIONS = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
_NUMBERS = {
    0xCA: 4,
    0xCB: 8,
    0xCC: 1,
    0xCD: 2,
    0xCE: 4,
    0xCF: 8,
    0xD0: 1,
    0xD1: 2,
    0xD2: 4,
    0xD3: 8,
}
_TIMESTAMP = 0xFF
_EPOCH_TO_YEAR_1, _EPOCH_TO_YEAR_10000 = -62_135_596_800, 253_402_300_800


def array(items: Sequence[bytes], form: int = 0) -> bytes:
    """An array, its count in one of three forms."""
    return _head(_ARRAYS, form, len(items)) + b"".join(items)


def mapping(pairs: Sequence[tuple[bytes, bytes]], form: int = 0) -> bytes:
    """A map, its count in one of three forms; keys may come twice."""
    return _head(_MAPS, form, len(pairs)) + b"".join(key + value for key, value in pairs)


def text(data: bytes, form: int = 0) -> bytes:
    """A string of these bytes, which need not be UTF-8."""
    if form == 0 and len(data) < 32:
        return bytes([0xA0 | len(data)]) + data
    return bytes([_STRINGS[form > 1]]) + len(data).to_bytes(4 if form > 1 else 2, "big") + data


def extension(code: int, data: bytes) -> bytes:
    """An ext value; code 255 is that of timestamps."""
    return bytes([0xC7, len(data), code]) + data


def _head(heads: Sequence[int], form: int, count: int) -> bytes:
    if form == 0 and count < 16:
        return bytes([heads[0] | count])
    return bytes([heads[1 + (form > 1)]]) + count.to_bytes(4 if form > 1 else 2, "big")


forms = st.integers(0, 2)
strings = st.builds(text, st.text(max_size=6).map(str.encode), forms)
numbers = (
    st.integers(0, 0x7F).map(lambda value: bytes([value]))
    | st.integers(0xE0, 0xFF).map(lambda value: bytes([value]))
    | st.integers(0, 2**64 - 1).map(lambda value: b"\xcf" + value.to_bytes(8, "big"))
    | st.integers(-(2**63), 2**63 - 1).map(lambda value: struct.pack(">Bq", 0xD3, value))
    | st.floats(allow_nan=False, allow_infinity=False).map(lambda x: struct.pack(">Bd", 0xCB, x))
    | st.floats(width=32, allow_nan=False, allow_infinity=False).map(
        lambda value: struct.pack(">Bf", 0xCA, value)
    )
)
plain = st.sampled_from([b"\xc0", b"\xc2", b"\xc3"])
binaries = st.binary(max_size=6).map(lambda data: bytes([0xC4, len(data)]) + data)
extensions = st.builds(extension, st.integers(0, 0x7F), st.binary(max_size=4)) | st.integers(
    0, 2**32 - 1
).map(lambda seconds: b"\xd6\xff" + seconds.to_bytes(4, "big"))
bad = (
    st.sampled_from([math.nan, math.inf, -math.inf]).map(lambda x: struct.pack(">Bd", 0xCB, x))
    | st.sampled_from([math.nan, math.inf]).map(lambda x: struct.pack(">Bf", 0xCA, x))
    | st.sampled_from([b"\xff", b"\xed\xa0\x80", b"\xc0\xaf", b"\xc3"]).map(text)
    | st.builds(extension, st.just(_TIMESTAMP), st.binary(max_size=13))
    | st.sampled_from([b"\xc1", b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdb\xff"])
)


def values(leaves: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Values with these leaves; keys may be anything at all."""
    return st.recursive(
        leaves,
        lambda inner: (
            st.builds(array, st.lists(inner, max_size=3), forms)
            | st.builds(mapping, st.lists(st.tuples(strings | inner, inner), max_size=3), forms)
        ),
        max_leaves=10,
    )


good_values = values(strings | numbers | plain | binaries | extensions)
all_values = good_values | values(strings | numbers | plain | binaries | extensions | bad)


def is_message_pack(data: bytes, levels: int) -> bool:
    """Whether the bytes are what the protocol takes for MessagePack, said without thought of speed.

    What Python has no value for is none: timestamps outside the years 1 to 9999, and keys that hold
    maps or ext values.
    """
    try:
        return _skip(data, 0, levels, is_key=False) == len(data)
    except (IndexError, ValueError):
        return False


def has_twins(data: bytes) -> bool:
    """Whether a map has two keys that Python takes for equal; only the last one's value counts."""
    twins: list[bytes] = []
    with suppress(IndexError, ValueError, msgspec.DecodeError):
        _skip(data, 0, 500, is_key=False, twins=twins)
    return bool(twins)


def _skip(
    data: bytes, at: int, levels: int, *, is_key: bool, twins: list[bytes] | None = None
) -> int:
    """Where the value ends that begins there; raises `ValueError` or `IndexError` if none does."""
    first = data[at]
    at += 1
    if first < 0x80 or first >= 0xE0 or first in (0xC0, 0xC2, 0xC3):
        return at
    if first in _NUMBERS:
        content, at = _take(data, at, _NUMBERS[first])
        kind = {0xCA: ">f", 0xCB: ">d"}.get(first)
        if kind and twins is None and not math.isfinite(struct.unpack(kind, content)[0]):
            raise ValueError
        return at
    if 0xA0 <= first < 0xC0 or first in _SIZES:
        size, at = (first & 0x1F, at) if first < 0xC0 else _count(data, at, _SIZES[first])
        content, at = _take(data, at, size)
        if first < 0xC0 or first >= 0xD9:
            content.decode()
        return at
    if first in _EXTENSIONS or first in _FIXED_EXTENSIONS:
        size = _FIXED_EXTENSIONS.get(first, 0)
        if not size:
            size, at = _count(data, at, _EXTENSIONS[first])
        code, at = _count(data, at, 1)
        content, at = _take(data, at, size)
        if code == _TIMESTAMP:
            _check_timestamp(content)
        elif is_key:
            raise ValueError
        return at
    return _skip_container(data, at, first, levels, is_key=is_key, twins=twins)


def _skip_container(
    data: bytes, at: int, first: int, levels: int, *, is_key: bool, twins: list[bytes] | None
) -> int:
    is_map = 0x80 <= first < 0x90 or first in _MAPS
    if not is_map and not (0x90 <= first < 0xA0 or first in _ARRAYS):
        raise ValueError
    if (is_map and is_key) or not levels:
        raise ValueError
    if first < 0xA0:
        count = first & 0xF
    else:
        count, at = _count(data, at, 2 if first in (0xDC, 0xDE) else 4)
    keys: set[object] = set()
    for _ in range(count):
        if is_map:
            begin, at = at, _skip(data, at, levels - 1, is_key=True, twins=twins)
            if twins is not None:
                (key,) = msgspec.msgpack.decode(mapping([(data[begin:at], b"\0")]))
                twins += [data[begin:at]] if key in keys else []
                keys.add(key)
        at = _skip(data, at, levels - 1, is_key=is_key, twins=twins)
    return at


def _take(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    if at + size > len(data):
        raise ValueError
    return data[at : at + size], at + size


def _count(data: bytes, at: int, size: int) -> tuple[int, int]:
    content, at = _take(data, at, size)
    return int.from_bytes(content, "big"), at


def _check_timestamp(content: bytes) -> None:
    if len(content) == 4:
        return
    if len(content) == 8:
        both = int.from_bytes(content, "big")
        nanoseconds, seconds = both >> 34, both & (2**34 - 1)
    elif len(content) == 12:
        nanoseconds, seconds = struct.unpack(">Iq", content)
    else:
        raise ValueError
    if nanoseconds > 999_999_999 or not _EPOCH_TO_YEAR_1 <= seconds < _EPOCH_TO_YEAR_10000:
        raise ValueError
