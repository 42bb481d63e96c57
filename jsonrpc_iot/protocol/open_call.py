"""A call that is not answered yet, and what comes of it."""

from collections.abc import Callable
from typing import TypeVar

from msgspec import Raw

from ..errors import JsonRpcIotError, MalformedResponse
from .codec.codec import DECODE_ERRORS, Codec
from .items import ReceivedItems

T = TypeVar("T")


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

    def result(self, kind: type[T]) -> T:
        """The result of an answered call, decoded into a type.

        Raises:
            JsonRpcIotError: what the call came to instead.
        """
        assert self.outcome is not None
        if not isinstance(self.outcome, Raw):
            raise self.outcome
        return self.decode(self.outcome, kind, "the result")

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
