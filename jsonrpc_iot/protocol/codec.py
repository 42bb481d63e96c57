"""Bytes to messages and back, in JSON.

Decoding looks at the envelope only: params, results and errors stay raw until it is known what
they must be. The common case is one pass of msgspec plus a few checks that cost next to nothing;
whatever it refuses is looked at again, slowly, to find out what to answer.
"""

import re
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType

from ..errors import InvalidRequest, ParseError, RpcError, Unencodable, rpc_error
from .floats import has_nan
from .limits import DEFAULT_LIMITS, Limits
from .messages import (
    ABSENT,
    ErrorObject,
    Failure,
    Id,
    Invalid,
    Message,
    Request,
    Result,
    Result2,
    WireId,
)

Jsonrpc = Literal["2.0"] | UnsetType

_BOM = b"\xef\xbb\xbf"
_MAX_DIGITS = 4300
_DIGITS = b"0123456789"
_RUN_OF_DIGITS = re.compile(rb"\d*")
_LONG_INTEGER = re.compile(rb"(?<![\d.eE+])(?<![eE]-)\d{%d,}(?![\d.eE])" % (_MAX_DIGITS + 1))
_TO_ROUND_BRACKETS = bytes.maketrans(b"{}[]", b"()()")
_NO_STRUCTURE = bytes(set(range(256)) - set(b'{}[]"'))


class _RawId(msgspec.Struct):
    id: Raw


_decode = msgspec.json.Decoder(Message | list[Raw]).decode
_decode_members = msgspec.json.Decoder(dict[str, Raw] | list[Raw]).decode
_decode_raw = msgspec.json.Decoder(Raw).decode
_decode_raw_id = msgspec.json.Decoder(_RawId).decode
_decode_error = msgspec.json.Decoder(ErrorObject).decode
encode = msgspec.json.Encoder().encode

DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class JsonCodec:
    """JSON messages within limits.

    Args:
        limits: of which `nesting` is used here.

    Attributes:
        unsuspicious: up to this many bytes an ASCII message needs no `check`.
    """

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._nesting = limits.nesting
        self.unsuspicious = min(2 * limits.nesting + 1, _MAX_DIGITS)

    def decode(self, data: bytes) -> Message | list[Raw] | Invalid:
        """Decode one message: a request, notification or response, or a batch's raw entries."""
        try:
            message: Message | list[Raw] = _decode(data)
            self.check(data)
        except DECODE_ERRORS:
            return self._explain(data)
        if type(message) is Message and not _is_sound(message):
            return self._explain(data)
        return message

    def check(self, data: bytes) -> None:
        """Refuse what msgspec lets pass in the parts of a message that it skips.

        Raises:
            msgspec.DecodeError: it is nested too deep, or an integer is too long.
            UnicodeDecodeError: it is not UTF-8.
        """
        if not data.isascii():
            str(data, "utf-8")
        if len(data) > self.unsuspicious:
            _check_depth(data, self._nesting)
            _check_digits(data)

    def _explain(self, text: bytes) -> Message | list[Raw] | Invalid:
        """Find out what is wrong with a message that the fast path refused."""
        if text.startswith(_BOM) and not text.startswith(_BOM, len(_BOM)):
            return self.decode(text[len(_BOM) :])
        try:
            value = bytes(_decode_raw(text))
            self.check(text)
            if value[:1] not in (b"{", b"["):
                return Invalid(InvalidRequest())
            members = _decode_members(value)
        except DECODE_ERRORS:
            return Invalid(ParseError())
        return _judge(members) if isinstance(members, dict) else members

    def encode_request(self, request: Request) -> bytes:
        """Encode a request or notification.

        Raises:
            Unencodable: JSON has no form for the params.
        """
        return _encode_finite(request, request.params)

    def encode_result(
        self, id: WireId, result: Any, jsonrpc: Jsonrpc, *, may_hold_nan: bool = True
    ) -> bytes:
        """Encode a successful response.

        Args:
            id: as it came.
            result: any object that msgspec encodes.
            jsonrpc: the member of that name in the request.
            may_hold_nan: whether the result's type leaves room for a float.

        Raises:
            Unencodable: JSON has no form for the result.
        """
        reply = Result(id, result) if jsonrpc is UNSET else Result2("2.0", id, result)
        return _encode_finite(reply, result if may_hold_nan else UNSET)

    def encode_error(
        self, id: WireId, error: RpcError, jsonrpc: Jsonrpc, limit: int | None = None
    ) -> bytes | None:
        """Encode an error response, shortened where needed: first `data` goes, then the message.

        Args:
            id: as it came, `None` when it could not be read.
            error: what to answer.
            jsonrpc: the member of that name in the request.
            limit: bytes that the channel carries, `None` for any number.

        Returns:
            The bytes, or `None` when even the bare error exceeds the limit.
        """
        for message, data in ((error.message, error.data), (error.message, None), ("", None)):
            failure = Failure(jsonrpc, id, ErrorObject(error.code, message, data))
            try:
                encoded = _encode_finite(failure, data)
            except Unencodable:
                continue
            if limit is None or len(encoded) <= limit:
                return encoded
        return None


def wire_id(data: bytes, id: Id) -> WireId:
    """The id to echo: raw where Python would spell the number differently (`1.50`, `-0`)."""
    if type(id) is float or (id == 0 and b"-0" in data):
        return _decode_raw_id(data.removeprefix(_BOM)).id
    return id


def decode_error(raw: Raw) -> RpcError | None:
    """Decode the `error` member of a response; `None` when it is malformed."""
    try:
        error = _decode_error(raw)
    except DECODE_ERRORS:
        return None
    return rpc_error(error.code, error.message, error.data)


def _is_sound(message: Message) -> bool:
    """Whether the members go together."""
    if message.method is UNSET:
        return message.id is not UNSET and (message.result is ABSENT) != (message.error is ABSENT)
    return (
        message.result is ABSENT
        and message.error is ABSENT
        and (message.timeout is UNSET or message.timeout > 0)
        and (message.params is ABSENT or bytes(message.params)[:1] in b"{[n")
    )


def _judge(members: dict[str, Raw]) -> Message | Invalid:
    """Read an object that the fast path refused; of members given twice the last counts."""
    try:
        message = _decode(encode(members))
        if type(message) is Message and _is_sound(message):
            return message
    except DECODE_ERRORS:
        pass
    has_method = "method" in members
    id = _read_id(members)
    id_is_read = id is not None or bytes(members.get("id", b"")) == b"null"
    return Invalid(
        InvalidRequest(),
        id=id,
        jsonrpc=UNSET if id_is_read and "jsonrpc" not in members else "2.0",
        silent="id" not in members and has_method and bytes(members["method"])[:1] == b'"',
        response=not has_method and "id" in members,
        has_outcome="result" in members or "error" in members,
    )


def _read_id(members: dict[str, Raw]) -> WireId:
    if "id" not in members:
        return None
    data = encode({"id": members["id"]})
    try:
        message = _decode(data)
    except DECODE_ERRORS:
        return None
    assert type(message) is Message and message.id is not UNSET
    return wire_id(data, message.id)


def _encode_finite(message: Any, payload: Any) -> bytes:
    """Encode a message whose payload must not hold NaN, which msgspec writes as `null`."""
    try:
        data = encode(message)
        nan = payload is not UNSET and b"null" in data and has_nan(payload)
    except Exception as error:  # an object's own code may run, and raise anything
        raise Unencodable(f"{type(error).__name__}: {error}") from error
    if nan:
        raise Unencodable("NaN and infinities have no form in JSON")
    return data


def _check_depth(data: bytes, limit: int) -> None:
    if data.count(b"{") + data.count(b"[") <= limit:
        return
    structure = _without_escapes(data).translate(_TO_ROUND_BRACKETS, _NO_STRUCTURE)
    structure = structure.replace(b'""', b"")  # strings without brackets, or what lies between two
    brackets = b"".join(structure.split(b'"')[::2])
    for _ in range(limit):
        brackets = brackets.replace(b"()", b"")
        if not brackets:
            return
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
