"""What is told of each call that a client makes, so that it becomes a part of a trace."""

from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from ..channel.trace_context import part_of_trace

T = TypeVar("T")


class Span(Protocol):
    """One call or notification, as long as it is under way.

    Attributes:
        traceparent: what the request says of the trace, `None` for nothing.
    """

    traceparent: str | None

    def end(self, failure: object = None) -> None:
        """Note that it is over; once it is, nothing happens.

        Args:
            failure: the exception that it ended with, if it is one.
        """


class Spans(Protocol):
    """Takes note of what a client calls."""

    def begin(self, method: str) -> Span:
        """Note a call or notification that is about to be sent."""


async def in_span(spans: Spans, method: str, work: Coroutine[Any, Any, T]) -> T:
    """Do what a call needs as a part of a trace.

    Args:
        spans: takes note of it.
        method: what is called.
        work: calls it.
    """
    span = spans.begin(method)
    try:
        with part_of_trace(span.traceparent):
            result = await work
    except BaseException as failure:
        span.end(failure)
        raise
    span.end()
    return result
