"""Messages in JSON, and what JSON texts may do that msgspec does not look at."""

import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from functools import lru_cache
from itertools import accumulate
from operator import add
from typing import Any, ClassVar, TypeVar

import msgspec
from msgspec import Raw

from ..limits import DEFAULT_LIMITS, Limits
from ..messages import CodecName, Id, WireId
from .codec import GOT_FLOAT, Codec
from .shallow import is_shallow

T = TypeVar("T")

_BOM = b"\xef\xbb\xbf"
_MARK, _MARK_2_0 = b',"retry":true}', b'{"jsonrpc":"2.0",'
_MARK_LATE = b',"timeout":1e-9' + _MARK  # of members given twice the last counts
_MAX_DIGITS = 4300
_LONGEST_FRACTION = 400  # characters of a number that may stand for an integer
_DIGITS = b"0123456789"
_RUN_OF_DIGITS = re.compile(rb"\d*")
_LONG_INTEGER = re.compile(rb"(?<![\d.eE+])(?<![eE]-)\d{%d,}(?![\d.eE])" % (_MAX_DIGITS + 1))
_LONG_NEGATIVE = re.compile(rb"-\d{%d}" % _MAX_DIGITS)
_TO_BITS = bytes.maketrans(b"{}[]", b"1010")
_NO_STRUCTURE = bytes(set(range(256)) - set(b'{}[]"'))
# What eight brackets, opening ones as 1, do to the depth, and how deep they lead meanwhile.
_STEPS = [[1 if byte >> bit & 1 else -1 for bit in range(7, -1, -1)] for byte in range(256)]
_CHANGES = [sum(steps) for steps in _STEPS]
_PEAKS = [max(accumulate(steps)) for steps in _STEPS]


class _RawId(msgspec.Struct):
    id: Raw


_decode_members = msgspec.json.Decoder(dict[str, Raw] | list[Raw]).decode
_decode_any = msgspec.json.Decoder().decode
_decode_raw = msgspec.json.Decoder(Raw).decode
_decode_raw_id = msgspec.json.Decoder(_RawId).decode


class JsonCodec(Codec):
    """JSON messages within limits.

    Args:
        limits: of which `nesting` is used here.
    """

    name: ClassVar[CodecName] = "json"
    batch_bytes = (len("["), len(","))  # the last message's comma is the closing bracket

    _null = b"null"
    nan = b"null"  # msgspec writes NaN like that
    _map_starts = b"{"
    _array_starts = b"["
    _empty_map = b"{}"
    _complaint = b"\x83\xa7jsonrpc\xa32.0\xa2id\xc0\xa5error"

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        super().__init__()
        self.encode = msgspec.json.Encoder().encode
        self._nesting = limits.nesting
        self._unsuspicious = min(2 * limits.nesting, _MAX_DIGITS)  # bytes

    @classmethod
    def decoder(cls, kind: type[T]) -> Callable[[bytes], T]:
        """A function that decodes bytes into a type; see `Codec.decoder`."""
        return msgspec.json.Decoder(kind).decode

    def check(self, data: bytes) -> None:
        """Refuse what msgspec lets pass in the parts of a message that it skips.

        Raises:
            msgspec.DecodeError: it is nested too deep, or an integer is too long.
            UnicodeDecodeError: it is not UTF-8.
        """
        if not data.isascii():
            str(data, "utf-8")
        if len(data) > self._unsuspicious:
            if data.count(b"{") + data.count(b"[") > self._nesting:
                check_depth(data, self._nesting)
            if len(data) > _MAX_DIGITS:
                _check_digits(data)

    def needs_check(self, kind: Any, above: int) -> bool:
        """Whether a message that has been decoded needs a `check` too; see `Codec.needs_check`."""
        return not is_shallow(kind, self._nesting - above, floats=True)

    def decode_params(self, raw: bytes, kind: type[T]) -> T:
        """Decode the params of a request; see `Codec.decode_params`."""
        try:
            return self.decode_value(raw, kind)
        except msgspec.ValidationError as error:
            has_float = GOT_FLOAT in str(error)
            if not has_float and _is_surely_wrong(raw, kind):
                raise
            try:
                return _decode_leniently(raw, kind, _integral if has_float else _verbatim)
            except (msgspec.ValidationError, RecursionError, UnicodeError) as other:
                is_better = has_float and isinstance(other, msgspec.ValidationError)
                raise (other if is_better else error) from None

    def wire_id(self, data: bytes, id: Id) -> WireId:
        """The id to echo: raw where Python would spell the number differently (`1.50`, `-0`)."""
        if type(id) is float or (id == 0 and b"-0" in data):
            return _decode_raw_id(data.removeprefix(_BOM)).id
        return id

    def join(self, messages: Sequence[bytes]) -> bytes:
        """One batch of messages."""
        return b"[" + b",".join(messages) + b"]"

    def mark_retry(self, request: bytes, *, late: bool = False) -> bytes:
        """A request with the mark that says that it is the same again."""
        return request[:-1].removesuffix(b',"retry":false') + (_MARK_LATE if late else _MARK)

    def unmarked(self, request: bytes) -> Iterable[bytes]:
        """What a request may have been before it was marked."""
        found = [request]
        if request.startswith(_MARK_2_0):
            found.append(b"{" + request.removeprefix(_MARK_2_0))
        for each in tuple(found):
            if each.endswith(_MARK):
                bare = each.removesuffix(_MARK_LATE).removesuffix(_MARK)
                found += bare + b"}", bare + b',"retry":false}'
        return found[1:]

    def mark_2_0(self, request: bytes) -> bytes:
        """A request of the IoT dialect as one of JSON-RPC 2.0."""
        return _MARK_2_0 + request[1:]

    def _members(self, data: bytes) -> dict[str, Raw] | list[Raw] | None:
        value = bytes(_decode_raw(data.removeprefix(_BOM)))
        self.check(data)
        return _decode_members(value) if value[:1] in (b"{", b"[") else None


def _is_surely_wrong(text: bytes, kind: Any) -> bool:
    """Whether what msgspec takes for an error is one for us too; `False` when in doubt."""
    if len(text) > _MAX_DIGITS or not _is_plain(kind):
        return False
    try:
        # Of members given twice the last is left.
        msgspec.convert(_decode_any(text), kind, str_keys=True)
    except msgspec.ValidationError as error:
        return GOT_FLOAT not in str(error)
    return False


@lru_cache(512)
def _is_plain(kind: Any) -> bool:
    """Whether values of that type are converted as they are decoded."""
    return is_shallow(kind, DEFAULT_LIMITS.nesting, floats=True)


def _decode_leniently(text: bytes, kind: type[T], fraction: Callable[[str], Raw]) -> T:
    """Decode what msgspec takes for an error and we do not."""
    if _LONG_NEGATIVE.search(text):  # a sign does not count among the 4,300 digits of an integer
        return msgspec.convert(json.loads(text, parse_float=_finite), kind, str_keys=True)
    # Of members given twice the last counts, whatever the first was.
    once = json.loads(text, parse_float=fraction, parse_int=_verbatim)
    return msgspec.json.decode(msgspec.json.encode(once), type=kind)


def _verbatim(number: str) -> Raw:
    return Raw(number.encode())


def _integral(number: str) -> Raw:
    """A number with a fraction of zero as the integer that it is, to the last digit."""
    if len(number) <= _LONGEST_FRACTION and float(number).is_integer():
        exact = Decimal(number)
        whole = exact.to_integral_value()
        if whole == exact:
            return _verbatim(str(int(whole)))
    return _verbatim(number)


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise msgspec.ValidationError("Number out of range")
    return value


def check_depth(data: bytes, limit: int) -> None:
    """Refuse a text that is nested deeper than so many levels.

    Raises:
        msgspec.DecodeError: it is.
    """
    structure = _without_escapes(data).translate(_TO_BITS, _NO_STRUCTURE)
    structure = structure.replace(b'""', b"")  # strings without brackets, or what lies between two
    bits = b"".join(structure.split(b'"')[::2])
    bits += b"0" * (-len(bits) % 8)
    # Eight brackets at a time: megabytes of them would hold up everybody else for seconds.
    eights = int(bits or b"0", 2).to_bytes(len(bits) // 8, "big")
    before = accumulate(map(_CHANGES.__getitem__, eights), initial=0)
    if max(map(add, before, map(_PEAKS.__getitem__, eights)), default=0) > limit:
        raise msgspec.DecodeError(f"nested deeper than {limit} levels")


def _check_digits(data: bytes) -> None:
    """Python refuses integers of more than 4,300 digits; such a run covers one of these places."""
    for at in range(_MAX_DIGITS, len(data), _MAX_DIGITS + 1):
        before = data[at - _MAX_DIGITS : at]
        run = _RUN_OF_DIGITS.match(data, at)
        assert run is not None
        digits = len(before) - len(before.rstrip(_DIGITS)) + run.end() - at
        if digits > _MAX_DIGITS:
            outside_strings = b'""'.join(_without_escapes(data).split(b'"')[::2])
            if _LONG_INTEGER.search(outside_strings):
                raise msgspec.DecodeError(f"integer of more than {_MAX_DIGITS} digits")
            return


def _without_escapes(data: bytes) -> bytes:
    """A JSON text in which each quote begins or ends a string."""
    return data.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in data else data
