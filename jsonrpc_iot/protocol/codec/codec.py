"""Bytes to messages and back: what every codec does, and what it leaves to the format.

Decoding looks at the envelope only: params, results and errors stay raw until it is known what
they must be. The common case is one pass of msgspec plus a few checks that cost next to nothing;
whatever it refuses is looked at again, slowly, to find out what to answer.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Literal, TypeVar, cast

import msgspec
from msgspec import UNSET, Raw, UnsetType

from ...errors import InvalidRequest, ParseError, RpcError, Unencodable, UsageError, rpc_error
from ..messages import (
    ABSENT,
    CodecName,
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
from .floats import has_nan

T = TypeVar("T")

_NULL_AND_ONE = len(b"null") + 1  # bytes by which null is told from anything else

Jsonrpc = Literal["2.0"] | UnsetType
Envelope = Message | list[Raw]

GOT_FLOAT = "got `float`"
"""Is in msgspec's complaint about a number with a fraction."""

_PARAMS = (dict, list, tuple, msgspec.Struct, UnsetType)

DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises; the first where bytes are no UTF-8 too, the second before msgspec 0.23."""


class Codec(ABC):
    """Messages in one format, within limits.

    Attributes:
        name: the format's, as in a URL.
        encode: gives the bytes of any object that msgspec encodes.
        nan: is in the bytes of whatever holds NaN.
    """

    name: ClassVar[CodecName]
    encode: Callable[[Any], bytes]
    nan: ClassVar[bytes]

    batch_bytes: ClassVar[tuple[int, int]]
    """What a batch takes up at the most: by itself, and in addition for each message in it."""

    _null: ClassVar[bytes]
    _map_starts: ClassVar[bytes]
    _array_starts: ClassVar[bytes]
    _empty_map: ClassVar[bytes]
    _complaint: ClassVar[bytes]  # begins the other format's error for what could not be read

    def __init__(self) -> None:
        self._decode_envelope: Callable[[bytes], Envelope] = self.decoder(cast(Any, Envelope))

    @classmethod
    @abstractmethod
    def decoder(cls, kind: type[T]) -> Callable[[bytes], T]:
        """A function that decodes bytes into a type.

        Raises:
            TypeError: msgspec cannot decode into that type.
        """

    @abstractmethod
    def check(self, data: bytes) -> None:
        """Refuse what msgspec lets pass in the parts of a message that it skips.

        Raises:
            msgspec.DecodeError: it is nested too deep, or a number is too long.
            UnicodeDecodeError: or `DecodeError`: it is not UTF-8.
        """

    @abstractmethod
    def needs_check(self, kind: Any, above: int) -> bool:
        """Whether a message that has been decoded needs a `check` too.

        Args:
            kind: the type that its params have been decoded into.
            above: levels of arrays and objects around them.
        """

    @abstractmethod
    def _members(self, data: bytes) -> dict[str, Raw] | list[Raw] | None:
        """The parts of a message that is in order for the format, `None` for a scalar."""

    @abstractmethod
    def wire_id(self, data: bytes, id: Id) -> WireId:
        """The id to echo, as it was given in the message `data`."""

    @abstractmethod
    def join(self, messages: Sequence[bytes]) -> bytes:
        """One batch of messages."""

    @abstractmethod
    def mark_retry(self, request: bytes, *, late: bool = False) -> bytes:
        """A request with the mark that says that it is the same again.

        Args:
            request: as it was sent first.
            late: it comes so late that nothing may begin by it: its timeout is over on arrival.
        """

    @abstractmethod
    def unmarked(self, request: bytes) -> Iterable[bytes]:
        """What a request may have been before `mark_retry` or `mark_2_0`, or both."""

    @abstractmethod
    def mark_2_0(self, request: bytes) -> bytes:
        """A request of the IoT dialect as one of JSON-RPC 2.0."""

    def decode(self, data: bytes) -> Envelope | Invalid:
        """Decode one message: a request, notification or response, or a batch's raw entries."""
        try:
            message = self._decode_envelope(data)
            self.check(data)
        except DECODE_ERRORS:
            return self._explain(data)
        if type(message) is Message and not self._is_sound(message):
            return self._explain(data)
        return message

    def decode_value(self, raw: bytes | Raw, kind: type[T]) -> T:
        """Decode params, a result or an item into a type.

        Raises:
            msgspec.DecodeError: it is not of that type.
            UnicodeDecodeError: or `DecodeError`: it is not UTF-8.
        """
        value: T = _decoder(type(self), cast(Hashable, kind))(raw)
        return value

    def decode_params(self, raw: bytes, kind: type[T]) -> T:
        """Decode the params of a request, leniently where the protocol is more so than msgspec.

        A number with a fraction of zero, such as `40.0`, is an integer where one is wanted.

        Raises:
            msgspec.ValidationError: they are not of that type.
        """
        return self.decode_value(raw, kind)

    def decode_error(self, raw: Raw) -> RpcError | None:
        """Decode the `error` member of a response; `None` when it is malformed."""
        try:
            error = self.decode_value(raw, ErrorObject)
        except DECODE_ERRORS:
            return None
        return rpc_error(error.code, error.message, error.data)

    def as_map(self, raw: bytes) -> bytes | None:
        """Params by name as they are, absent ones as an empty map; `None` for anything else."""
        if not raw or raw == self._null:
            return self._empty_map
        return raw if raw[0] in self._map_starts else None

    def is_batch(self, data: bytes) -> bool:
        """Whether a message is an array."""
        return data[:1] in self._array_starts and data != b""

    def encode_request(self, request: Request) -> bytes:
        """Encode a request or notification.

        Raises:
            Unencodable: the format has no form for the params.
            UsageError: the params are neither an object nor an array.
        """
        params = request.params
        if type(params) is Raw:  # which was read from a message, or made by this codec
            raw = bytes(memoryview(params)[:_NULL_AND_ONE])
        elif not isinstance(params, _PARAMS):
            raw = self._encode_finite(params, params)
        else:
            return self._encode_finite(request, params)
        if not self._can_be_params(raw):
            name = type(params).__name__
            raise UsageError(f"params are an object or an array, and {name} is neither")
        return self._encode_finite(request, request.params)

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
            Unencodable: the format has no form for the result.
        """
        reply = Result(id, result) if jsonrpc is UNSET else Result2("2.0", id, result)
        return self._encode_finite(reply, result if may_hold_nan else UNSET)

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
        message, data = error.message, error.data
        while True:
            failure = Failure(jsonrpc, id, ErrorObject(error.code, message, data))
            try:
                encoded = self._encode_finite(failure, data)
                if limit is None or len(encoded) <= limit:
                    return encoded
            except Unencodable:
                pass
            if data is None and message == "":
                return None
            message, data = message if data is not None else "", None

    def _encode_finite(self, message: Any, payload: Any) -> bytes:
        """Encode a message whose payload must not hold NaN, which JSON has no form for."""
        try:
            data = self.encode(message)
            nan = payload is not UNSET and data.find(self.nan) >= 0 and has_nan(payload)
        except Exception as error:  # an object's own code may run, and raise anything
            raise Unencodable(f"{type(error).__name__}: {error}") from error
        if nan:
            raise Unencodable("NaN and infinities have no form in JSON")
        return data

    def _explain(self, data: bytes) -> Envelope | Invalid:
        """Find out what is wrong with a message that the fast path refused."""
        try:
            members = self._members(data)
        except DECODE_ERRORS:
            # Two ends with different codecs would otherwise answer each other's errors for ever.
            return Invalid(ParseError(), silent=data.startswith(self._complaint))
        if members is None:
            return Invalid(InvalidRequest())
        return self._judge(members) if isinstance(members, dict) else members

    def _is_sound(self, message: Message) -> bool:
        """Whether the members go together."""
        if message.method is UNSET:
            return message.id is not UNSET and (message.result is ABSENT) != (
                message.error is ABSENT
            )
        return (
            message.result is ABSENT
            and message.error is ABSENT
            and (message.timeout is UNSET or message.timeout > 0)
            and (
                message.params is ABSENT
                or self._can_be_params(bytes(memoryview(message.params)[:_NULL_AND_ONE]))
            )
        )

    def _can_be_params(self, raw: bytes) -> bool:
        return raw[0] in self._map_starts or raw[0] in self._array_starts or raw == self._null

    def _judge(self, members: dict[str, Raw]) -> Message | Invalid:
        """Read an object that the fast path refused; of members given twice the last counts."""
        if "result" in members and bytes(members.get("error", b"")) == self._null:
            del members["error"]  # as JSON-RPC 1.0 says that nothing went wrong
        try:
            message = self._decode_envelope(self.encode(members))
            if type(message) is Message and self._is_sound(message):
                return message
        except DECODE_ERRORS:
            pass
        has_method = "method" in members
        id = self._read_id(members)
        id_is_read = id is not None or bytes(members.get("id", b"")) == self._null
        return Invalid(
            InvalidRequest(),
            id=id,
            jsonrpc=UNSET if id_is_read and "jsonrpc" not in members else "2.0",
            silent="id" not in members and has_method and self._is_text(members["method"]),
            response=not has_method and "id" in members,
            has_outcome="result" in members or "error" in members,
        )

    def _read_id(self, members: dict[str, Raw]) -> WireId:
        if "id" not in members:
            return None
        data = self.encode({"id": members["id"]})
        try:
            message = self._decode_envelope(data)
        except DECODE_ERRORS:
            return None
        assert type(message) is Message and message.id is not UNSET
        return self.wire_id(data, message.id)

    def _is_text(self, raw: Raw) -> bool:
        try:
            self.decode_value(raw, str)
        except DECODE_ERRORS:
            return False
        return True


@lru_cache(512)
def _decoder(codec: type[Codec], kind: Hashable) -> Callable[[bytes], Any]:
    return codec.decoder(cast(Any, kind))
