"""Several calls in one message, from the caller's side."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar, overload

from ..channel.signal import Signal
from ..channel.trace_context import current_traceparent, part_of_trace
from ..errors import UsageError
from ..peer.calls import Calls
from ..peer.spans import Span, Spans
from ..protocol.open_call import OpenCall

T = TypeVar("T")


class BatchedCall(Generic[T]):
    """A call in a batch, whose result is there when the batch's block has ended."""

    def __init__(self, call: OpenCall, result: type[T]) -> None:
        self._call = call
        self._result = result

    def result(self) -> T:
        """The call's result.

        Raises:
            JsonRpcIotError: what the call came to instead; as in `Client.call`.
            RuntimeError: the batch's block has not ended.
        """
        if self._call.outcome is None:
            raise RuntimeError("a batch is sent when its block ends; there is no result before")
        return self._call.result(self._result)


class CallBatch:
    """Calls and notifications that travel as one message; `Client.batch` makes one.

    Args:
        calls: sends them.
        timeout: seconds to wait for all answers, `None` for ever.
        limit: entries that it may have.
        spans: takes note of each entry.
    """

    def __init__(
        self, calls: Calls, timeout: float | None, limit: int, spans: Spans | None = None
    ) -> None:
        self._connection = calls
        self._timeout = timeout
        self._limit = limit
        self._messages: list[bytes] = []
        self._calls: list[OpenCall] = []
        self._answered = Signal()
        self._spans = spans
        self._begun: list[tuple[Span, OpenCall | None]] = []

    @overload
    def call(self, method: str, params: Any = None) -> BatchedCall[Any]: ...
    @overload
    def call(self, method: str, params: Any = None, *, result: type[T]) -> BatchedCall[T]: ...
    def call(self, method: str, params: Any = None, *, result: Any = Any) -> BatchedCall[Any]:
        """Add a call; see `Client.call`."""
        with self._in_span(method) as span:
            call, request = self._connection.open(method, params, self._note_answer, self._timeout)
        if span is not None:
            self._begun.append((span, call))
        self._calls.append(call)
        self._messages.append(request)
        return BatchedCall(call, result)

    def notify(self, method: str, params: Any = None) -> None:
        """Add a notification."""
        with self._in_span(method) as span:
            traceparent = current_traceparent()
            message = self._connection.session.notification(method, params, traceparent)
        if span is not None:
            self._begun.append((span, None))
        self._messages.append(message)

    async def send(self) -> None:
        """Send all and wait for the answers; an empty batch is not sent."""
        if not self._messages:
            return
        if len(self._messages) > self._limit:
            raise UsageError(
                f"a batch of {len(self._messages)} messages exceeds the limit of {self._limit}"
            )
        if not self._calls:
            self._answered.set()
        message = self._connection.session.codec.join(self._messages)
        await self._connection.exchange(message, self._calls, self._answered, self._timeout)

    def discard(self) -> None:
        """Close the calls that have not been answered."""
        for call in self._calls:
            self._connection.session.give_up(call)
        why = sys.exception()
        for span, entry in self._begun:
            span.end(why if entry is None or entry.outcome is None else entry.outcome)

    @contextmanager
    def _in_span(self, method: str) -> Iterator[Span | None]:
        """Have the request that is made in the block belong to a span of its own."""
        if self._spans is None:
            yield None
            return
        span = self._spans.begin(method)
        with part_of_trace(span.traceparent):
            yield span

    def _note_answer(self) -> None:
        if all(call.outcome is not None for call in self._calls):
            self._answered.set()
