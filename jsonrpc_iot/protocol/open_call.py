"""Calls that are not answered yet, and what comes of them."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from msgspec import UNSET, Raw

from ..errors import JsonRpcIotError, MalformedResponse
from .codec.codec import DECODE_ERRORS, Codec
from .items import ReceivedItems
from .messages import Message

T = TypeVar("T")

_NONE: "dict[int, OpenCall]" = {}  # never written to: a server seldom calls, and has many peers


def _nobody() -> None:
    """Be told instead of one who waits no more."""


class OpenCall:
    """A call of ours that is not answered yet.

    Args:
        codec: reads the result.
        id: the request's.
        method: the name that was called.
        on_answer: is called when the outcome is there, and when an item has come.
        items: takes the items of a streamed result.

    Attributes:
        request: what was sent.
        outcome: the raw result, or what went wrong, or `None` while the call is open.
        lost: why no more items can come, once that is so.
    """

    __slots__ = ("_codec", "id", "items", "lost", "method", "on_answer", "outcome", "request")

    def __init__(
        self,
        codec: Codec,
        id: int,
        method: str,
        on_answer: Callable[[], object],
        items: ReceivedItems | None = None,
    ) -> None:
        self._codec = codec
        self.id = id
        self.method = method
        self.items = items
        self.request = b""
        self.outcome: Raw | JsonRpcIotError | None = None
        self.lost: JsonRpcIotError | None = None
        self.on_answer = on_answer

    def answer(self, outcome: Raw | JsonRpcIotError) -> None:
        """Note the outcome and tell whoever waits for it."""
        self.outcome = outcome
        self.on_answer()

    def lose(self, reason: JsonRpcIotError) -> None:
        """Note that no more items can come, and tell whoever waits for them."""
        self.lost = reason
        self.on_answer()

    def release(self) -> None:
        """Note that nobody waits any more."""
        self.on_answer = _nobody

    def result(self, kind: type[T]) -> T:
        """The result of an answered call, decoded into a type.

        Raises:
            JsonRpcIotError: what the call came to instead.
        """
        assert self.outcome is not None
        if not isinstance(self.outcome, Raw):
            raise self.outcome
        return self.decode(self.outcome, kind, "the result")

    def take_result(self, kind: type[T]) -> T:
        """The same for the last time: what is raised leads to no call that leads back to it."""
        outcome, self.outcome = self.outcome, None
        assert outcome is not None
        try:
            if not isinstance(outcome, Raw):
                raise outcome
            return self.decode(outcome, kind, "the result")
        finally:
            del outcome

    def read_error(self, raw: Raw) -> JsonRpcIotError:
        """The exception that the `error` member of a response becomes."""
        error = self._codec.decode_error(raw)
        if error is None:
            return MalformedResponse(f"{self.method}: the error is no JSON-RPC error")
        error.add_note(f"the answer to {self.method!r}")
        return error

    def decode(self, raw: Raw, kind: type[T], what: str) -> T:
        """Decode a part of the answer into a type.

        Raises:
            MalformedResponse: it is not of that type.
        """
        try:
            return self._codec.decode_value(raw, kind)
        except DECODE_ERRORS as error:
            raise MalformedResponse(f"{self.method}: {what} is not as declared: {error}") from None


class OpenCalls:
    """The calls of one end that are not answered yet.

    Args:
        codec: of the messages.

    Attributes:
        by_id: those, oldest first.
        streams: of those that are streamed also the answered ones, until they are closed.
    """

    __slots__ = ("_codec", "by_id", "streams")

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self.by_id: dict[int, OpenCall] = _NONE
        self.streams: dict[int, OpenCall] = _NONE

    def add(self, call: OpenCall) -> None:
        """Note a call that is not answered yet."""
        if self.by_id is _NONE:
            self.by_id = {}
        self.by_id[call.id] = call

    def add_stream(self, call: OpenCall) -> None:
        """Note a call whose result is streamed."""
        if self.streams is _NONE:
            self.streams = {}
        self.streams[call.id] = call

    @property
    def only(self) -> OpenCall | None:
        """The one call, `None` if there is none or another one."""
        return next(iter(self.by_id.values())) if len(self.by_id) == 1 else None

    def stream(self, id: object) -> OpenCall | None:
        """The stream that has that id."""
        return self.streams.get(id) if type(id) is int else None

    def of(self, message: bytes) -> Sequence[OpenCall]:
        """The calls that a message makes, marked as a copy or not."""
        read = self._codec.decode(message)
        envelopes = map(self._codec.decode, map(bytes, read)) if isinstance(read, list) else [read]
        requests = [each for each in envelopes if isinstance(each, Message)]
        ids = [each.id for each in requests if each.method is not UNSET]
        return [self.by_id[id] for id in ids if type(id) is int and id in self.by_id]
