"""Messages in MessagePack (github.com/msgpack/msgpack, spec.md): the same members, fewer bytes.

NaN and infinities, which JSON has no form for, are refused here too, so that a method answers alike
over every link. Binary values travel as they are.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any, ClassVar, TypeVar

import msgspec
from msgspec import Raw

from ..limits import DEFAULT_LIMITS, Limits
from ..messages import CodecName, Id, WireId
from .codec import GOT_FLOAT, Codec
from .floats import has_nan
from .json import check_depth as check_depth_of_json
from .shallow import is_shallow

T = TypeVar("T")

_FIXMAP, _FIXARRAY = 0x80, 0x90
_FIX_ITEMS = 16
_FLOAT64 = 0xCB
# A float whose exponent is all ones, or bytes like it.
_LIKE_NAN = re.compile(rb"\xca[\x7f\xff][\x80-\xff]|\xcb[\x7f\xff][\xf0-\xff]")
_ARRAY16, _ARRAY32, _MAP16, _MAP32 = 0xDC, 0xDD, 0xDE, 0xDF
_NO_HEADS = bytes([*range(_FIXMAP), *range(0xA0, _ARRAY16), *range(_MAP32 + 1, 256)])

_MARK = msgspec.msgpack.encode("retry") + msgspec.msgpack.encode(True)
_MARK_LATE = msgspec.msgpack.encode("timeout") + msgspec.msgpack.encode(1e-9)
_MARK_2_0 = msgspec.msgpack.encode("jsonrpc") + msgspec.msgpack.encode("2.0")

_to_json = msgspec.json.Encoder().encode
_decode_any = msgspec.msgpack.Decoder().decode
_decode_members = msgspec.msgpack.Decoder(dict[Any, Raw]).decode
_decode_entries = msgspec.msgpack.Decoder(list[Raw]).decode


class MsgpackCodec(Codec):
    """MessagePack messages within limits.

    Args:
        limits: of which `nesting` is used here.
    """

    name: ClassVar[CodecName] = "msgpack"
    batch_bytes = (5, 0)

    _null = b"\xc0"
    nan = bytes([_FLOAT64])
    _map_starts = bytes([*range(_FIXMAP, _FIXMAP + _FIX_ITEMS), _MAP16, _MAP32])
    _array_starts = bytes([*range(_FIXARRAY, _FIXARRAY + _FIX_ITEMS), _ARRAY16, _ARRAY32])
    _empty_map = bytes([_FIXMAP])
    _complaint = b'{"jsonrpc":"2.0","id":null,"error":'

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        super().__init__()
        self.encode = msgspec.msgpack.Encoder().encode
        self._nesting = limits.nesting

    @classmethod
    def decoder(cls, kind: type[T]) -> Callable[[bytes], T]:
        """A function that decodes bytes into a type; see `Codec.decoder`."""
        return msgspec.msgpack.Decoder(kind).decode

    def check(self, data: bytes) -> None:
        """Refuse what msgspec lets pass in the parts of a message that it skips, and NaN.

        Raises:
            msgspec.DecodeError: it is nested too deep, or holds NaN or an infinity.
            UnicodeDecodeError: or `DecodeError`: a text in it is not UTF-8.
        """
        value = _decode_any(data)
        if _LIKE_NAN.search(data) and has_nan(value):
            raise msgspec.DecodeError("NaN and infinities have no form in JSON")
        heads = len(data.translate(None, _NO_HEADS))  # of maps and arrays, and bytes like them
        if heads > self._nesting and isinstance(value, dict | list):
            _check_depth(value, self._nesting)

    def needs_check(self, kind: Any, above: int) -> bool:
        """Whether a message that has been decoded needs a `check` too; see `Codec.needs_check`."""
        return not is_shallow(kind, self._nesting - above, floats=False)

    def decode_params(self, raw: bytes, kind: type[T]) -> T:
        """Decode the params of a request; see `Codec.decode_params`."""
        try:
            return self.decode_value(raw, kind)
        except msgspec.ValidationError as error:
            if GOT_FLOAT not in str(error):
                raise
            return self.decode_value(self.encode(_with_integers(_decode_any(raw))), kind)

    def wire_id(self, data: bytes, id: Id) -> WireId:
        """The id to echo: all that MessagePack can say of a number is in its value."""
        return id

    def join(self, messages: Sequence[bytes]) -> bytes:
        """One batch of messages."""
        count = len(messages)
        if count < _FIX_ITEMS:
            head = bytes([_FIXARRAY | count])
        elif count < 1 << 16:
            head = bytes([_ARRAY16]) + count.to_bytes(2, "big")
        else:
            head = bytes([_ARRAY32]) + count.to_bytes(4, "big")
        return head + b"".join(messages)

    def mark_retry(self, request: bytes, *, late: bool = False) -> bytes:
        """A request, which has far fewer members than fit its head, with one more, or two.

        Where it says `retry` or `timeout` already, the last one counts.
        """
        head = bytes([request[0] + 1 + late])
        return head + request[1:] + (_MARK_LATE if late else b"") + _MARK

    def unmarked(self, request: bytes) -> Iterable[bytes]:
        """What a request may have been before it was marked, however often."""
        marks = _MARK, _MARK_LATE, _MARK_2_0
        while mark := next(filter(request.endswith, marks), None):
            request = bytes([(request[0] - 1) & 0xFF]) + request[1:].removesuffix(mark)
            yield request

    def mark_2_0(self, request: bytes) -> bytes:
        """A request of the IoT dialect as one of JSON-RPC 2.0."""
        return bytes([request[0] + 1]) + request[1:] + _MARK_2_0

    def _members(self, data: bytes) -> dict[str, Raw] | list[Raw] | None:
        self.check(data)
        if data[0] in self._array_starts:
            return _decode_entries(data)
        if data[0] not in self._map_starts:
            return None
        members = _decode_members(data)
        return {name: raw for name, raw in members.items() if isinstance(name, str)}


def _with_integers(value: Any) -> Any:
    """The same value, its numbers with a fraction of zero as integers."""
    if isinstance(value, dict):
        return {key: _with_integers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_integers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _check_depth(value: Any, limit: int) -> None:
    try:
        text = _to_json(value)  # it has the same levels, which are counted in C
    except Exception:  # noqa: BLE001  # JSON has no form for some keys and extensions
        _check_each_level(value, limit)
    else:
        check_depth_of_json(text, limit)


def _check_each_level(value: Any, limit: int) -> None:
    level = [value]
    for _ in range(limit):
        maps = [container for container in level if isinstance(container, dict)]
        arrays = [container for container in level if not isinstance(container, dict)]
        keys = chain.from_iterable(maps)  # among them tuples, which were arrays
        parts = chain(keys, *map(dict.values, maps), *arrays)
        level = [part for part in parts if isinstance(part, dict | list | tuple)]
        if not level:
            return
    raise msgspec.DecodeError(f"nested deeper than {limit} levels")
