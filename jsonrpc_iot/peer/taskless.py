"""A call of ours that needs no task: what becomes of it is told to a callback.

That is for who passes calls on, and has nothing else to do until the answer is here. It works on
asyncio alone, on channels that lose nothing and take any number of requests at once.
"""

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any

from msgspec import Raw

from ..channel.clock import asyncio_loop
from ..errors import CallTimeout, JsonRpcIotError
from ..protocol.open_call import OpenCall
from .calls import Calls

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, TimerHandle

Outcome = Raw | JsonRpcIotError
"""The raw result, or what went wrong."""

_LATE_SECONDS = 0.01


class TasklessCall:
    """A call that is open until it is answered, cancelled, or its time is over.

    Args:
        calls: of the connection.
        method: the name to call.
        params: an object or an array of params.
        timeout: seconds to wait, `None` for ever.
        on_end: is called once with what became of it, unless it is cancelled.
        loop: the event loop.

    Raises:
        JsonRpcIotError: the call cannot be made.
    """

    __slots__ = (
        "_call",
        "_calls",
        "_due",
        "_has_waited",
        "_loop",
        "_on_end",
        "_request",
        "_timer",
        "is_sent",
    )

    def __init__(
        self,
        calls: Calls,
        method: str,
        params: Any,
        timeout: float | None,
        on_end: Callable[[Outcome], object],
        loop: "AbstractEventLoop",
    ) -> None:
        self._calls = calls
        self._loop = loop
        self._on_end = on_end
        self._timer: TimerHandle | None = None
        self._has_waited = False
        self._call: OpenCall
        self._call, self._request = calls.open(method, params, self._answer, timeout)
        self.is_sent = calls.push_call(self._request, timeout)
        if not self.is_sent:
            calls.session.give_up(self._call)
        elif timeout is not None and timeout < inf:
            self._due = loop.time() + timeout
            self._timer = loop.call_at(self._due, self._expire)

    def cancel(self) -> None:
        """Wait no more, and cancel the call at the other end, if that understands."""
        self._close()
        cancellation = self._calls.session.give_up(self._call)
        if cancellation is not None and self._calls.is_open:
            self._calls.push(cancellation)

    def _answer(self) -> None:
        self._close()
        outcome = self._call.outcome
        assert outcome is not None
        self._on_end(outcome)

    def _close(self) -> None:
        self._call.release()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._calls.forget(self._request)

    def _expire(self) -> None:
        """Give up; what has arrived by now is read before, if this program was busy."""
        late = self._loop.time() - self._due
        if late > _LATE_SECONDS and not self._has_waited:
            self._has_waited = True
            self._timer = self._loop.call_later(_LATE_SECONDS, self._expire)
            return
        self.cancel()
        self._on_end(CallTimeout(f"{self._call.method}: no answer in time"))


def begin_call(
    calls: Calls,
    method: str,
    params: Any,
    timeout: float | None,
    on_end: Callable[[Outcome], object],
) -> TasklessCall | None:
    """Make a call without a task; `None` where that cannot be, and nothing was sent.

    Args:
        calls: of the connection.
        method: the name to call.
        params: an object or an array of params.
        timeout: seconds to wait, `None` for ever.
        on_end: is called once with what became of it, unless it is cancelled.
    """
    loop = asyncio_loop()
    is_sure = calls.info.reliable and calls.in_flight is None
    if loop is None or not calls.is_open or not is_sure:
        return None
    call = TasklessCall(calls, method, params, timeout, on_end, loop)
    return call if call.is_sent else None
