"""Results that come item by item, from the caller's side."""

import math
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from types import GenericAlias
from typing import Any, Generic, TypeVar, cast

from msgspec import Raw

from ..channel.clock import now
from ..channel.signal import Signal
from ..channel.trace_context import part_of_trace
from ..dispatch.declare.stream import NoItems, Stream
from ..dispatch.turns import Turn
from ..errors import CallTimeout, JsonRpcIotError, MalformedResponse, OutcomeUnknown, RpcError
from ..protocol.items import FIRST_CREDIT, WIDEST, Count, Credit, ReceivedItems
from ..protocol.retries import is_late
from .asking import learn_extensions
from .calls import Calls
from .spans import Span, Spans

T = TypeVar("T")

_LONGEST_PAUSE_SECONDS = 8.0
_REMINDERS_AFTER_ERROR = 2


class RemoteStream(Stream[T]):
    """The items of a call.

    Args:
        find_calls: gives the connection, within the seconds that it is told.
        method: the name to call.
        params: an object or an array of params.
        item: the type of an item.
        timeout: seconds to wait for each item, `None` for ever.
        window: items that may be under way or wait here.
        spans: takes note of the call.

    Raises:
        ValueError: the window has no room for an item.
    """

    def __init__(
        self,
        find_calls: Callable[[float | None], Awaitable[Calls]],
        method: str,
        params: Any,
        item: type[T],
        timeout: float | None,
        window: int = FIRST_CREDIT,
        *,
        spans: Spans | None = None,
    ) -> None:
        if window < 1:
            raise ValueError("the window must have room for an item")
        self._find_calls = find_calls
        self._method = method
        self._params = params
        self._item = item
        self._timeout = timeout
        self._window = window
        self._source: _WholeList[T] | _ItemByItem[T] | None = None
        self._errors: Mapping[int, type[RpcError]] = {}
        self._over = False
        self._spans = spans
        self._span: Span | None = None

    def raise_as(self, errors: Mapping[int, type[RpcError]]) -> "RemoteStream[T]":
        """Raise errors of the device with these codes as the classes that stand for them."""
        self._errors = errors
        return self

    async def __anext__(self) -> T:
        if self._over:
            raise StopAsyncIteration
        deadline = math.inf if self._timeout is None else now() + self._timeout
        try:
            while True:
                if self._source is None:
                    self._source = await self._begin_in_span()
                try:
                    return await self._source.next(deadline)
                except OutcomeUnknown as error:
                    if not self._source.never_ran(error):
                        raise
                    self._source.close()
                    self._source = None
        except (StopAsyncIteration, JsonRpcIotError) as error:
            self._close(error)
            if isinstance(error, RpcError) and self._errors:
                raise error.as_declared(self._errors) from None
            raise

    def ready(self, most: int) -> list[T]:
        """Items that have come already; nobody waits for them.

        Args:
            most: of them.
        """
        return [] if self._source is None else self._source.ready(most)

    async def aclose(self) -> None:
        self._close()

    def __del__(self) -> None:
        # The loop that iterated was left. Whoever collects garbage in another thread, or after the
        # event loop, has nothing to cancel.
        with suppress(Exception):
            self._close()

    def _close(self, why: Exception | None = None) -> None:
        self._over = True
        source, self._source = self._source, None
        if source is not None:
            source.close()
        if self._span is not None:
            self._span.end(None if isinstance(why, StopAsyncIteration) else why)

    async def _begin_in_span(self) -> "_WholeList[T] | _ItemByItem[T]":
        if self._spans is None:
            return await self._begin()
        self._span = self._span or self._spans.begin(self._method)
        with part_of_trace(self._span.traceparent):
            return await self._begin()

    async def _begin(self) -> "_WholeList[T] | _ItemByItem[T]":
        begun = now()
        calls = await self._find_calls(self._timeout)
        if await learn_extensions(calls, self._timeout):
            return _ItemByItem(calls, self._method, self._params, self._item, self._window)
        left = None
        if self._timeout is not None:
            left = max(0.0, begun + self._timeout - now())
        kind = cast(type[list[T]], GenericAlias(list, self._item))
        return _WholeList(await calls.call(self._method, self._params, kind, left, False))


class _WholeList(Generic[T]):
    """The items of a device that knows no streams: all at once."""

    def __init__(self, items: list[T]) -> None:
        self._items = items[::-1]

    async def next(self, deadline: float) -> T:
        """The next item."""
        if not self._items:
            raise StopAsyncIteration
        return self._items.pop()

    def ready(self, most: int) -> list[T]:
        """The next items."""
        return [self._items.pop() for _ in range(min(most, len(self._items)))]

    def never_ran(self, error: OutcomeUnknown) -> bool:
        """Say no: it is over."""
        return False

    def close(self) -> None:
        """Drop the rest."""
        self._items.clear()


class _ItemByItem(Generic[T]):
    """The items of one open call."""

    def __init__(self, calls: Calls, method: str, params: Any, item: type[T], window: int) -> None:
        self._calls = calls
        self._item = item
        self._changed = Signal()
        is_free_to_grow = calls.info.reliable and window == FIRST_CREDIT
        self._items = ReceivedItems(window, WIDEST if is_free_to_grow else window)
        self._call, self._request = calls.open(
            method, params, self._note_change, None, items=self._items
        )
        self._sent = False
        self._silence = calls.session.noise.begin()
        self._opened_at = now()
        self._turn: Turn | None = None
        self._asked: set[int] = set()
        self._patience = _REMINDERS_AFTER_ERROR
        self._pause = calls.info.retry_seconds
        self._thread = threading.get_ident()
        self._wrong: MalformedResponse | None = None

    def never_ran(self, error: OutcomeUnknown) -> bool:
        """Whether the call may be made again, after that answer."""
        return self._items.arrived == 0 and self._calls.never_ran(error, self._opened_at)

    async def next(self, deadline: float) -> T:
        """The next item; `deadline` is the event loop's time."""
        if not self._sent:
            await self._send(deadline)
        if self._wrong is not None:
            raise self._wrong
        while True:
            self._note_end()
            raw = self._items.take()
            if raw is not None:
                return self._read(raw)
            self._check_end()
            await self._wait(deadline)

    def ready(self, most: int) -> list[T]:
        """The next items, as far as they are here and right; `next` tells what is wrong."""
        found: list[T] = []
        while len(found) < most and (raw := self._items.take()) is not None:
            try:
                found.append(self._read(raw))
            except MalformedResponse as error:
                self._wrong = error
                break
        return found

    def _read(self, raw: Raw) -> T:
        if upto := self._items.grant():
            self._more(upto=upto)
        return self._call.decode(raw, self._item, "an item")

    def close(self) -> None:
        """Cancel the call, if it still runs."""
        if threading.get_ident() == self._thread:
            self._leave_turn()
            self._calls.abandon(self._call, self._request, sent=self._sent)

    async def _send(self, deadline: float) -> None:
        """Send the request, where only so many may be open at once in its turn."""
        if self._calls.in_flight is not None:
            left = None if deadline == math.inf else max(0.0, deadline - now())
            self._turn = await self._calls.in_flight.take(self._call.method, left)
        try:
            await self._calls.send(self._request)
            self._sent = True
        finally:
            if not self._sent:
                self._leave_turn()
        if self._items.granted > FIRST_CREDIT:
            self._more(upto=self._items.granted)

    def _leave_turn(self) -> None:
        """Let other requests leave: whoever reads the items may want to make some meanwhile."""
        turn, self._turn = self._turn, None
        if turn is not None:
            turn.leave()

    def _note_end(self) -> None:
        """Find out how many items there are, once the call has succeeded."""
        outcome = self._call.outcome
        if self._items.count is not None or not isinstance(outcome, Raw):
            return
        if not self._items.arrived:
            with suppress(MalformedResponse):  # a device that ignores the wish for a stream
                self._items.fill(self._call.decode(outcome, list[Raw], "the result"))
                return
        try:
            self._items.count = self._call.decode(outcome, Count, "the result").count
        except MalformedResponse:
            kind: Any = Raw if self._item is Raw else Any
            whole = self._call.decode(outcome, kind, "the result")
            raise NoItems(self._call.method, whole) from None

    def _check_end(self) -> None:
        """See whether there is anything to wait for, now that the next item is not here."""
        if isinstance(self._call.outcome, JsonRpcIotError) and not self._may_be_late():
            raise self._call.outcome
        if self._items.is_complete:
            raise StopAsyncIteration
        if self._call.lost is not None:
            raise self._call.lost
        if self._items.count is not None and self._calls.info.reliable:
            raise MalformedResponse(f"{self._call.method}: the stream has ended with items missing")

    def _may_be_late(self) -> bool:
        """Whether items from before an error may be lost or late, and are worth to be asked for."""
        return not self._calls.info.reliable and self._items.arrived > 0 and self._patience > 0

    async def _wait(self, deadline: float) -> None:
        """Wait until something has come. Where messages get lost, remind the other end."""
        pause = math.inf
        if not self._calls.info.reliable:
            pause = self._pause
            self._ask_for(self._items.missing())
        arrived = self._items.arrived
        self._changed = Signal()
        until = min(deadline, now() + pause)
        await self._changed.wait(until)
        if self._items.arrived > arrived:
            self._pause = self._calls.info.retry_seconds
            self._silence = self._calls.session.noise.begin()
        elif self._changed.is_set:
            return
        elif now() >= deadline:
            if isinstance(self._call.outcome, JsonRpcIotError):
                raise self._call.outcome
            raise CallTimeout(self._silence.no_item(self._call.method))
        else:
            self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)
            self._remind()

    def _remind(self) -> None:
        """Send all again that may have been lost on its way to the other end."""
        self._asked.clear()
        if self._call.outcome is None:
            late = is_late(now() - self._opened_at)
            self._calls.push(self._calls.session.mark_retry(self._request, late=late))
            self._more(upto=self._items.granted)
        self._patience -= isinstance(self._call.outcome, JsonRpcIotError)
        self._ask_for(self._items.missing(tail=True))

    def _ask_for(self, missing: list[int]) -> None:
        """Ask for items that were lost, once until the next reminder."""
        new = [seq for seq in missing if seq not in self._asked]
        if new:
            self._asked.update(new)
            self._more(missing=new)

    def _more(self, *, upto: int = 0, missing: Sequence[int] = ()) -> None:
        credit = Credit(self._call.id, upto, missing)
        self._calls.push(self._calls.session.notification("rpc.more", credit))

    def _note_change(self) -> None:
        self._changed.set()
        self._leave_turn()
