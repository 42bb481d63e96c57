"""The trace that what a task sends belongs to, from where that is known to where requests are made.

It holds for the present task and what that calls, as context variables do.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ..errors import UsageError
from ..protocol.traceparent import read_traceparent

_current: ContextVar[str | None] = ContextVar("jsonrpc_iot.traceparent", default=None)

current_traceparent = _current.get
"""Gives the value for the requests of the present task, `None` where they belong to no trace."""


@contextmanager
def part_of_trace(traceparent: str | None) -> Iterator[None]:
    """Have what the block calls and notifies belong to a trace.

    Requests to devices that know the protocol's extensions say so, as `traceparent`.

    Args:
        traceparent: as `Context.traceparent` has it, or a header of HTTP; `None` for no trace.

    Raises:
        UsageError: that is none, as W3C Trace Context has it.
    """
    known = read_traceparent(traceparent)
    if known is None and traceparent is not None:
        raise UsageError(f"{traceparent!r} is no traceparent, as in 00-{'ab' * 16}-{'cd' * 8}-01")
    token = _current.set(known)
    try:
        yield
    finally:
        _current.reset(token)
