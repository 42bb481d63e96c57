"""Ordinary messages in one pass of msgspec: envelope, method look-up and params together.

Each handler has a Struct of its whole request, tagged with the method's name; their union is one
decoder, which finds the method and checks the params in C. Params by position are a tuple, and a
batch is a list of the union. What has members that nobody knows, or a fraction in its id, is
decoded once more, by a more tolerant decoder. What is in any other way special fits neither, and is
left to the way that explains.
"""

from collections.abc import Callable
from operator import attrgetter
from sys import float_info
from typing import Annotated, Any, ClassVar, Literal, Protocol, TypeAlias, Union, cast

import msgspec
from msgspec import UNSET, DecodeError, Meta, Struct, UnsetType, structs

from ..protocol.codec.codec import Codec
from ..protocol.messages import ABSENT, Id, Message, Result, Result2
from .declare.context import Context
from .table import Entry, HandlerTable

_LEVELS_ABOVE_PARAMS = 2  # the request, and the batch that it may be in

_Never = Annotated[str, Meta(min_length=1, max_length=0)]
_Seconds = Annotated[float, Meta(gt=0, le=float_info.max)]
_IS_PLAIN = attrgetter("is_plain")
_IS_QUICK = attrgetter("is_quick")
_ID = attrgetter("id")

_UsualId = int | str | None


class PlainRequest(Protocol):
    """A request or notification that one pass has decoded and found to be in order.

    Attributes:
        entry: what answers.
        may_hold_nan: the handler's result may hold a float.
        is_plain: the entry needs nothing but the params.
        is_quick: so it does, and its reply needs no second look.
        is_awaited: all there is to do with the handler is to await it.
        needs_check: msgspec may have skipped some of the bytes.
    """

    entry: ClassVar[Entry]
    may_hold_nan: ClassVar[bool]
    is_plain: ClassVar[bool]
    is_quick: ClassVar[bool]
    is_awaited: ClassVar[bool]
    needs_check: ClassVar[bool]
    id: Id | UnsetType
    params: Struct | tuple[Any, ...]
    jsonrpc: Literal["2.0"] | UnsetType
    timeout: float | UnsetType

    def respond(self) -> Result | Result2:
        """Call the handler, if that is plain, and give its response."""

    @staticmethod
    def call(params: Any, context: Context | None, /) -> Any:
        """Call the handler."""


Plain: TypeAlias = PlainRequest | list[PlainRequest]
Decode: TypeAlias = Callable[[bytes], Any]  # a `Plain`, told apart in the fastest way


class _Envelope(Struct, frozen=True, kw_only=True, gc=False):
    """What a plain request may have besides id, method and params, and what it may not have."""

    jsonrpc: Literal["2.0"] | UnsetType = UNSET
    timeout: _Seconds | UnsetType = UNSET
    result: _Never | UnsetType = UNSET
    error: _Never | UnsetType = UNSET
    stream: _Never | UnsetType = UNSET
    retry: _Never | UnsetType = UNSET
    traceparent: _Never | UnsetType = UNSET


class OnePass:
    """The decoders of plain messages to the handlers of one table.

    Args:
        table: has the handlers.
        codec: of the messages.
        off: no message is plain.

    Attributes:
        decode: decodes a usual message, or raises.
    """

    def __init__(self, table: HandlerTable, codec: Codec, *, off: bool) -> None:
        self._table = table
        self._codec = codec
        self._off = off
        self._forget_handlers()
        table.on_change(self._forget_handlers)

    def quick(self, data: bytes, message: Message) -> PlainRequest | None:
        """The request that a message is, if it is usual and quick to answer.

        Args:
            data: the message.
            message: its envelope, read before.
        """
        if not message.id or message.retry is not UNSET or message.stream:
            return None
        if message.traceparent is not ABSENT:
            return None
        quick = self._quick
        if message.method not in (self._find_quick() if quick is None else quick):
            return None
        try:
            request: PlainRequest = self.decode(data)
        except Exception:  # noqa: BLE001  # a param's own code may run; the other way explains it
            return None
        return request

    def decode_unusual(self, data: bytes, error: Exception) -> Any:
        """Decode what `decode` has refused, if it is only unusual; else there is `None`.

        Args:
            data: the message.
            error: what `decode` raised.
        """
        problem = str(error)
        if not ("unknown field" in problem or problem.endswith(".id`")):
            return None
        try:
            return self._decode_unusual(data)
        except Exception:  # noqa: BLE001  # a param's own code may run
            return None

    def is_sound(self, data: bytes) -> bool:
        """Whether also what was skipped of a decoded message is in order."""
        try:
            self._codec.check(data)
        except Exception:  # noqa: BLE001  # the other way explains it
            return False
        return True

    def are_plain(self, data: bytes, requests: list[PlainRequest]) -> bool:
        """Whether all requests of a decoded batch can be answered at once."""
        if not all(map(_IS_QUICK, requests)):
            if not all(map(_IS_PLAIN, requests)) or not self.is_sound(data):
                return False
            if any(type(request.id) is float for request in requests):
                return False
        return 0 not in map(_ID, requests) or b"-0" not in data

    def echoed(self, data: bytes, request: PlainRequest) -> PlainRequest:
        """A decoded request with its id as it is echoed."""
        id = request.id
        if id and type(id) is not float:
            return request
        if isinstance(id, UnsetType) or (wire_id := self._codec.wire_id(data, id)) is id:
            return request
        replaced: PlainRequest = structs.replace(cast(Any, request), id=wire_id)
        return replaced

    def _forget_handlers(self) -> None:
        self._quick: frozenset[object] | None = None  # the methods with `is_quick` requests
        self.decode: Decode = self._decode_first
        self._decode_unusual: Decode = self._decode_first_unusual

    def _decode_first(self, data: bytes) -> Any:
        """Stand in for the decoder until the first message needs it."""
        if self._off:
            raise DecodeError("no message is plain")
        with self._table.lock:
            self.decode = self._decoder(tolerant=False)
        return self.decode(data)

    def _decode_first_unusual(self, data: bytes) -> Any:
        with self._table.lock:
            self._decode_unusual = self._decoder(tolerant=True)
        return self._decode_unusual(data)

    def _find_quick(self) -> frozenset[object]:
        with self._table.lock:
            methods = {} if self._off else self._table.unguarded()[0]
            quick = (name for name, entry in methods.items() if self._is_quick(entry))
            self._quick = found = frozenset[object](quick)
        return found

    def _needs_check(self, entry: Entry) -> bool:
        return self._codec.needs_check(entry.handler.params, _LEVELS_ABOVE_PARAMS)

    def _is_quick(self, entry: Entry) -> bool:
        return entry.plain and not self._needs_check(entry) and not entry.handler.may_hold_nan

    def _decoder(self, *, tolerant: bool) -> Decode:
        usual: Any = Id if tolerant else _UsualId
        methods, notifications = self._table.unguarded()
        kinds = []
        for name, entry in methods.items():
            # The notification may be another's, or one that a connection must know of.
            is_shared = name in self._table.notifications or name.startswith("rpc.")
            id = ("id", usual) if is_shared else ("id", usual | UnsetType, UNSET)
            kinds.append(self._request_type(entry, id, tolerant=tolerant))
        for name, entry in notifications.items():
            if name not in self._table.methods and not name.startswith("rpc."):
                id = ("id", _Never | UnsetType, UNSET)
                kinds.append(self._request_type(entry, id, tolerant=tolerant))
        kind: Any = Union[tuple(kinds)]  # noqa: UP007  # made at run time
        return self._codec.decoder(cast(Any, kind | list[kind]))

    def _request_type(self, entry: Entry, id: tuple[Any, ...], *, tolerant: bool) -> type[Struct]:
        handler = entry.handler
        kind = handler.params if handler.positions is None else handler.params | handler.positions
        params: tuple[Any, ...] = ("params", kind)
        if handler.params_optional:
            params += (msgspec.field(default_factory=handler.params),)
        needs_check = tolerant or self._needs_check(entry)
        return msgspec.defstruct(
            f"Request of {entry.name}",
            [cast(Any, id), cast(Any, params)],
            bases=(_Envelope,),
            namespace={
                "entry": entry,
                "respond": handler.respond,
                "call": staticmethod(handler.call),
                "may_hold_nan": handler.may_hold_nan,
                "is_plain": entry.plain,
                "is_quick": not tolerant and self._is_quick(entry),
                "is_awaited": entry.awaited and not needs_check,
                "needs_check": needs_check,
            },
            tag_field="method",
            tag=entry.name,
            forbid_unknown_fields=not tolerant,
            frozen=True,
            kw_only=True,
            gc=False,
        )
